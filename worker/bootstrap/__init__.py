"""The composition root: settings become objects here and nowhere else.

Each name below is loaded when it is first asked for, so that a command waits only for the libraries that it needs:
who lists requests wants no broker, and who asks for help wants neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.bootstrap.broker import definitions, topology
    from worker.bootstrap.errands import (
        Diagnosis,
        Gap,
        check,
        check_topology,
        declare_topology,
        requests_exchange,
        require_runnable,
        submit,
    )
    from worker.bootstrap.keeping import (
        NEWEST,
        BackedUp,
        MovedLedger,
        back_up_ledger,
        cancel_move,
        ledger_revisions,
        ledger_standing,
        migrate_ledger,
        move_ledger,
    )
    from worker.bootstrap.loop import run
    from worker.bootstrap.office import OfficeParts, open_office
    from worker.bootstrap.parts import provider_settings, settings
    from worker.bootstrap.several import run_several
    from worker.bootstrap.worker import run_worker
    from worker.ledger.migrating import MigrationStep
    from worker.ledger.moving import Progress
    from worker.ledger.standing import LedgerStanding
    from worker.telemetry.tracebacks import describe, summarize
else:
    _HOMES = {
        "worker.bootstrap.broker": {"definitions", "topology"},
        "worker.bootstrap.errands": {
            "Diagnosis", "Gap", "check", "check_topology", "declare_topology", "require_runnable",
            "requests_exchange", "submit",
        },
        "worker.bootstrap.keeping": {
            "NEWEST", "BackedUp", "MovedLedger", "back_up_ledger", "cancel_move", "ledger_revisions", "ledger_standing",
            "migrate_ledger", "move_ledger",
        },
        "worker.bootstrap.loop": {"run"},
        "worker.bootstrap.office": {"OfficeParts", "open_office"},
        "worker.bootstrap.parts": {"provider_settings", "settings"},
        "worker.bootstrap.several": {"run_several"},
        "worker.bootstrap.worker": {"run_worker"},
        "worker.ledger.migrating": {"MigrationStep"},
        "worker.ledger.moving": {"Progress"},
        "worker.ledger.standing": {"LedgerStanding"},
        "worker.telemetry.tracebacks": {"describe", "summarize"},
    }  # fmt: skip

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(home), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "NEWEST",
    "BackedUp",
    "Diagnosis",
    "Gap",
    "LedgerStanding",
    "MigrationStep",
    "MovedLedger",
    "OfficeParts",
    "Progress",
    "back_up_ledger",
    "cancel_move",
    "check",
    "check_topology",
    "declare_topology",
    "definitions",
    "describe",
    "ledger_revisions",
    "ledger_standing",
    "migrate_ledger",
    "move_ledger",
    "open_office",
    "provider_settings",
    "requests_exchange",
    "require_runnable",
    "run",
    "run_several",
    "run_worker",
    "settings",
    "submit",
    "summarize",
    "topology",
]
