"""One-off errands of the program: check, declare, submit."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

from worker import ledger
from worker.bootstrap import advice, broker, clients, parts
from worker.core.broker import Message
from worker.core.clock import SystemClock
from worker.core.errors import (
    BrokerUnavailable,
    ConfigurationError,
    PublishUnconfirmed,
    TopologyMismatch,
    WorkerError,
)
from worker.ledger.fit import revision_of
from worker.ledger.reader import Reader
from worker.ledger.schema import REVISION
from worker.ledger.urls import store_at
from worker.operations.dead_letters import Republish
from worker.rabbitmq import declaration
from worker.rabbitmq.admin import Admin, Results
from worker.rabbitmq.calls import NOT_FOUND, Refused
from worker.settings import Settings

_NO_PROVIDER = "no provider is configured; set for example PROVISIONER_PROVIDERS__CANARY_SPEECH__API_KEY"
_OWN_ANSWER_WITHIN = 2.0
"""Seconds after the answer to an earlier request with the same key."""


def require_runnable(configured: Settings) -> None:
    """Refuse to start a worker that could never do anything.

    Raises:
        ConfigurationError: RabbitMQ or every provider is missing from the settings.
    """
    broker.connection(configured)
    if not configured.providers:
        raise ConfigurationError(f"{_NO_PROVIDER}, or try `provisioner dev`, which pretends all four")


@dataclass(frozen=True, slots=True)
class Gap:
    """One queue or exchange that is not known to be as wanted, in words, and what helps.

    Attributes:
        what: The words.
        remedy: What helps.
        compared: Whether it is known to differ; else the broker did not let this user compare it.
    """

    what: str
    remedy: str
    compared: bool


async def declare_topology(configured: Settings) -> None:
    """Create what is missing on the broker.

    Raises:
        TopologyMismatch: something is there with other arguments.
        BrokerUnavailable: no answer.
    """
    async with _admin(configured) as admin:
        await admin.declare()


async def check_topology(configured: Settings) -> list[Gap]:
    """How the broker differs from what is wanted, or could not be compared with it, with the command that helps."""
    return [_gap(deviation) for deviation in await _deviations(configured)]


def _gap(deviation: declaration.Deviation) -> Gap:
    match deviation:
        case declaration.Difference(argument=""):
            return Gap(str(deviation), "`provisioner topology declare` creates it", compared=True)
        case declaration.Difference():
            return Gap(str(deviation), deviation.remedy, compared=True)
        case declaration.Uncompared():
            return Gap(str(deviation), deviation.remedy, compared=False)
        case _:
            assert_never(deviation)


async def _deviations(configured: Settings) -> list[declaration.Deviation]:
    async with _admin(configured) as admin:
        return await admin.check()


@asynccontextmanager
async def _admin(configured: Settings) -> AsyncIterator[Admin]:
    where, wanted = broker.connection(configured), broker.topology(configured)
    try:
        async with Admin.connect(where, wanted) as admin:
            yield admin
    except BrokerUnavailable as error:
        refusal = error.__cause__ if isinstance(error, PublishUnconfirmed) else error
        if isinstance(refusal, Refused) and refusal.code == NOT_FOUND:
            raise ConfigurationError(
                f"{refusal}; `provisioner topology declare` creates what is missing"
            ) from None
        raise


@asynccontextmanager
async def requests_exchange(configured: Settings) -> AsyncIterator[Republish]:
    """A connection to RabbitMQ on which messages can be published again as requests."""
    async with _admin(configured) as admin:
        yield admin.publish_again


async def submit(
    configured: Settings,
    event: Mapping[str, Any],
    routing_key: str,
    wait: float | None,
    published: Callable[[], None],
) -> dict[str, Any] | None:
    """Publish one request; with `wait`, its result event, or None when none came in that many seconds.

    The result may be that of an earlier request with the same key; its `causationid` tells.

    Args:
        configured: The settings.
        event: The request.
        routing_key: Where it goes.
        wait: Seconds; None to be content with the broker's confirmation.
        published: Called once the broker confirmed it.
    """
    async with _admin(configured) as admin, AsyncExitStack() as stack:
        # Listening begins before publishing, or a quick result would be missed.
        results = None if wait is None else await stack.enter_async_context(admin.results())
        await admin.publish_request(json.dumps(event).encode(), routing_key=routing_key)
        published()
        if results is None or wait is None:
            return None
        answer = await _answer_to(event, results, wait)
    return _told(answer) if answer is not None else None


async def _answer_to(event: Mapping[str, Any], results: Results, seconds: float) -> Message | None:
    """The result that this very request caused, else the one of its key.

    The same content again is answered by the event of the first request, other content by a rejection of its own:
    where the first request ends meanwhile, that may come a moment later.
    """
    answer = await results.wait_for(lambda message: _answers(message, event), seconds=seconds)
    if answer is None or _is_caused_by(answer, event):
        return answer
    own = await results.wait_for(lambda message: _is_caused_by(message, event), seconds=_OWN_ANSWER_WITHIN)
    return own or answer


def _is_caused_by(message: Message, event: Mapping[str, Any]) -> bool:
    return event.get("id") is not None and _told(message).get("causationid") == event.get("id")


def _answers(message: Message, event: Mapping[str, Any]) -> bool:
    """Whether it is the answer to this request; what others publish there may be anything."""
    told = _told(message)
    data, asked = told.get("data"), event.get("data")
    if not isinstance(data, dict) or "outcome" not in data:
        return False
    key = asked.get("idempotency_key") if isinstance(asked, dict) else None
    same_key = (
        key is not None
        and data.get("request_source") == event.get("source")
        and data.get("idempotency_key") == key
    )
    return same_key or _is_caused_by(message, event)


def _told(message: Message) -> dict[str, Any]:
    try:
        told = json.loads(message.body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a check of one part found."""

    part: str
    well: bool
    words: str


async def check(configured: Settings, *, online: bool) -> list[Diagnosis]:
    """Look at every part that the settings name; online also reach for it. Changes nothing."""
    diagnoses = [Diagnosis("settings", well=True, words="all values are valid")]
    diagnoses.append(await _tried("sealing keys", partial(_check_keys, configured)))
    diagnoses.append(await _tried("consumer keys", partial(_check_consumer_keys, configured)))
    if not configured.providers:
        diagnoses.append(Diagnosis("providers", well=False, words=_NO_PROVIDER))
    diagnoses.append(Diagnosis("encryption", well=True, words=advice.on_encryption(configured)))
    diagnoses.append(Diagnosis("stopping", well=True, words=advice.on_stopping(configured)))
    if online:
        diagnoses.append(await _tried("rabbitmq", partial(_check_broker, configured)))
        diagnoses.append(await _tried("ledger", partial(_check_ledger, configured)))
        diagnoses += await _check_providers(configured)
    return diagnoses


async def _tried(part: str, look: Callable[[], Awaitable[str]]) -> Diagnosis:
    try:
        return Diagnosis(part, well=True, words=await look())
    except WorkerError as error:
        return Diagnosis(part, well=False, words=str(error))


async def _check_keys(configured: Settings) -> str:
    own = configured.sealing_keys_file()
    is_own = configured.sealing.keys_file is None and own is not None
    if is_own and own is not None and not own.exists() and not parts.ledger_exists(configured):
        return f"{own} will be made at the first start"
    parts.sealer(configured, may_create=False)
    return "usable"


async def _check_consumer_keys(configured: Settings) -> str:
    box = parts.credential_box(configured)
    if troubles := box.troubles():
        raise ConfigurationError("; ".join([*troubles, *box.in_use()]))
    if not box.in_use():
        return advice.without_consumer_keys(configured)
    return "; ".join(["usable", *box.in_use()])


async def _check_broker(configured: Settings) -> str:
    deviations = await _deviations(configured)
    words = "; ".join(f"{gap.what}: {gap.remedy}" for gap in map(_gap, deviations))
    if not deviations:
        return "reached; exchanges and queues are as wanted"
    if configured.broker.declare and all(_is_missing(deviation) for deviation in deviations):
        return f"reached; the first start will declare {len(deviations)} exchanges and queues"
    if not configured.broker.declare and all(isinstance(it, declaration.Uncompared) for it in deviations):
        return f"reached; nothing is missing, but {words}"
    raise TopologyMismatch(words)


def _is_missing(deviation: declaration.Deviation) -> bool:
    return isinstance(deviation, declaration.Difference) and not deviation.argument


async def _check_ledger(configured: Settings) -> str:
    url, database = configured.ledger.url.get_secret_value(), configured.ledger.sqlite_file()
    if database is not None and not database.parent.is_dir():
        raise ConfigurationError(f"the folder of {database} is missing; is its volume mounted?")
    if not parts.ledger_exists(configured):
        return f"{database} will be made at the first start"
    found = await _schema(url)
    if found is None:
        return "reached; its tables will be made at the first start"
    if database is not None and found < REVISION:
        return f"reached; the first start will bring it from schema {found} to {REVISION}"
    async with ledger.open_ledger(url, exclusive=False) as opened:
        await opened.check()
    return "reached; a small write was durable"


async def _schema(url: str) -> str | None:
    reader = Reader(store_at(url))
    try:
        return await reader.ask(revision_of)
    finally:
        await reader.close()


async def _check_providers(configured: Settings) -> list[Diagnosis]:
    async with AsyncExitStack() as stack:
        handlers = await clients.handlers(configured, stack, SystemClock())
        probes = {name: await handler.probe() for name, handler in handlers.items()}
    return [Diagnosis(name, well=probe.healthy, words=probe.detail) for name, probe in probes.items()]
