"""Rules between settings: each value may be fine by itself and the whole still wrong."""

import math
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from worker.core.provider import ProviderSettings
from worker.settings.groups import (
    CredentialsSettings,
    Group,
    LedgerSettings,
    MonitoringSettings,
    RetrySettings,
    SealingSettings,
    UpkeepSettings,
    WorkerSettings,
)

_WHY_SETTLE = "that nothing is found may be believed only when the create can no longer be running"

_LAST_PORT = 65535

Broken = tuple[tuple[str, ...], str]
"""The path of the setting to change, and what it must be."""


def broken_rules(groups: Mapping[str, Group], providers: Mapping[str, ProviderSettings]) -> Iterator[Broken]:
    """Every broken rule among the groups that are valid by themselves; the others are left out."""
    retry, credentials, ledger, upkeep, sealing, worker, monitoring = map(
        groups.get, ("retry", "credentials", "ledger", "upkeep", "sealing", "worker", "monitoring")
    )
    if isinstance(retry, RetrySettings):
        yield from _retry(retry)
    if isinstance(credentials, CredentialsSettings):
        yield from _credentials(credentials)
    if isinstance(ledger, LedgerSettings) and isinstance(upkeep, UpkeepSettings):
        yield from _lease(ledger, upkeep)
    if isinstance(ledger, LedgerSettings) and isinstance(sealing, SealingSettings):
        yield from _sealing(ledger, sealing)
    if isinstance(worker, WorkerSettings) and isinstance(ledger, LedgerSettings):
        yield from _processes(worker, ledger)
    if isinstance(worker, WorkerSettings) and isinstance(monitoring, MonitoringSettings):
        yield from _ports(worker, monitoring)
    for name, settings in providers.items():
        for field, sentence in _provider(settings):
            yield ("providers", name, field), sentence


def _retry(retry: RetrySettings) -> Iterator[Broken]:
    if retry.cap < retry.base:
        yield ("retry", "cap"), "must not be below retry.base"
    if retry.max_age < retry.cap:
        yield ("retry", "max_age"), "must not be below retry.cap"


def _credentials(credentials: CredentialsSettings) -> Iterator[Broken]:
    if credentials.keys is not None and credentials.keys_file is not None:
        yield ("credentials", "keys_file"), "must not be set beside credentials.keys: one of the two"


def _lease(ledger: LedgerSettings, upkeep: UpkeepSettings) -> Iterator[Broken]:
    # A worker shows a sign of life each round; a missed one or two must not make it dead.
    if ledger.lease < 3 * upkeep.interval:
        yield ("ledger", "lease"), "must be at least three times upkeep.interval"


def _sealing(ledger: LedgerSettings, sealing: SealingSettings) -> Iterator[Broken]:
    if sealing.keys is not None and sealing.keys_file is not None:
        yield ("sealing", "keys_file"), "must not be set beside sealing.keys: one of the two"
    if ledger.sqlite_file() is None and sealing.keys is None and sealing.keys_file is None:
        yield (
            ("sealing", "keys_file"),
            "(or sealing.keys) must be set, because the ledger is on PostgreSQL: all workers need the same keys",
        )


def _processes(worker: WorkerSettings, ledger: LedgerSettings) -> Iterator[Broken]:
    if worker.processes > 1 and ledger.sqlite_file() is not None:
        yield (
            ("worker", "processes"),
            "must be 1 while ledger.url names a file: several workers need PostgreSQL",
        )


def _ports(worker: WorkerSettings, monitoring: MonitoringSettings) -> Iterator[Broken]:
    if monitoring.of_process(worker.processes - 1).port > _LAST_PORT:
        yield ("monitoring", "port"), "must leave a port for each of worker.processes up to 65535"


def _provider(settings: ProviderSettings) -> Iterator[tuple[str, str]]:
    yield from _finite(settings)
    if not _is_web_address(settings.base_url):
        yield "base_url", "must be http:// or https:// and a host, without user and password"
    if settings.answer_within <= settings.connect_timeout:
        yield "answer_within", "must be above connect_timeout: connecting is part of it"
    if settings.listen_for < settings.answer_within:
        yield "listen_for", "must not be below answer_within: listening goes on after the doubt begins"
    if settings.settle < settings.answer_within + settings.listen_for:
        yield "settle", f"must not be below answer_within and listen_for together: {_WHY_SETTLE}"
    if settings.give_up_look_ups_after <= settings.settle:
        yield "give_up_look_ups_after", "must be above settle: else no look-up could ever be believed"


def _finite(settings: ProviderSettings) -> Iterator[tuple[str, str]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, float) and not math.isfinite(value):
            yield name, "must be a finite number"
    schedule = settings.look_up_schedule
    if not schedule or not all(math.isfinite(wait) and wait > 0 for wait in schedule):
        yield "look_up_schedule", "must be one or more numbers above 0"


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
