"""Several workers under one command, as one Python process keeps but one core busy.

They have nothing in common but broker and ledger, just like workers on several machines.
"""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

from worker import settings as settings_edge
from worker import telemetry
from worker.service import stop_on_signals
from worker.settings import Settings

_PR_SET_PDEATHSIG = 1
_FAREWELL = signal.SIGINT
_OWN_COMMAND = (sys.executable, "-m", "worker", "run")


async def run_several(configured: Settings) -> int:
    """Run `worker.processes` workers until SIGTERM; the highest of their exit codes.

    When one ends by itself the others are told to end as well: whoever supervises this command starts all of them anew,
    and nobody believes in five workers where there are four. A worker that a signal ended counts as failed (1).

    They are told by SIGINT. Some supervisors send SIGTERM to every process of a service, and a worker that hears the
    same signal twice ends at once, in the middle of its creates.
    """
    telemetry.configure_logs(
        configured.log.level, configured.log.format, secrets=settings_edge.secret_values(configured)
    )
    with stop_on_signals() as stopping:
        workers = [await _started(configured, number) for number in range(configured.worker.processes)]
        await _first_end(workers, stopping)
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.send_signal(_FAREWELL)
        codes = await asyncio.gather(*(worker.wait() for worker in workers))
    return max(1 if code < 0 else code for code in codes)


async def _started(configured: Settings, number: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *_OWN_COMMAND,
        env={**os.environ, **_own_settings(configured, number)},
        preexec_fn=_ending_with(os.getpid()),
        start_new_session=True,  # Ctrl-C in a terminal is for the command, which passes it on once
    )


def _own_settings(configured: Settings, number: int) -> Mapping[str, str]:
    """The environment wins over every other place in which these may be set."""
    port = configured.monitoring.of_process(number).port
    return {"PROVISIONER_WORKER__PROCESSES": "1", "PROVISIONER_MONITORING__PORT": str(port)}


def _ending_with(parent: int) -> Callable[[], None]:
    """Between fork and exec: whatever ends the command, even SIGKILL, tells its workers to end."""
    prctl = ctypes.CDLL(None).prctl

    def begin() -> None:
        # A shell that starts things in the background has it ignored.
        signal.signal(_FAREWELL, signal.SIG_DFL)
        prctl(_PR_SET_PDEATHSIG, int(_FAREWELL), 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), _FAREWELL)

    return begin


async def _first_end(workers: Sequence[Process], stopping: asyncio.Event) -> None:
    """Wait until one ends, or until told to stop."""
    ends = [asyncio.create_task(worker.wait()) for worker in workers]
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait({*ends, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    for worker in workers:
        if worker.returncode is not None:
            structlog.get_logger("worker.several").error(
                "worker_process_ended",
                pid=worker.pid,
                code=worker.returncode,
                effect="the others are ended too",
            )
