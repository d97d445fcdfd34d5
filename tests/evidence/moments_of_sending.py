"""The moments at which a create is on its way (1 to 9), and those after its answer (12 to 15)."""

import asyncio
from collections.abc import Sequence

from contracts.reason import ReasonCode as Code
from contracts.result import Evidence
from tests.evidence.moments import (
    Moment,
    absent,
    assert_evidence,
    faulty,
    for_a_person,
    found,
    in_doubt,
    issues_credentials,
    killed_at,
    looks,
    network,
    network_meanwhile,
    retried,
    run_again,
    unanswered,
)
from tests.evidence.moments_world import ANSWER_WITHIN, Stage
from tests.evidence.proxy import Direction, Kind, Trouble
from tests.providers.bench import CANARY, GATEWAY, PHONE, POSTCODE, PROVIDERS
from worker.core.observer import Moved
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.sandbox import Fault

CUT, RESET = Trouble(kind=Kind.CUT), Trouble(kind=Kind.RESET)
SWALLOWED = Trouble(kind=Kind.BLACK_HOLE, direction=Direction.DOWN)
IMPATIENT = {"listen_for": 2.5}
"""For answers that never come; in true seconds, of which a busy machine may take some before the create is sent."""


def up(size: int) -> Trouble:
    """Of the request only so many bytes pass."""
    return Trouble(kind=Kind.BYTE_LIMIT, direction=Direction.UP, after_bytes=size)


# 1 and 2: around the intent


async def ledger_full(stage: Stage) -> None:
    """The intent cannot be written."""
    stage.worker.ledger.failing = {"record send"}
    await stage.ask()
    stage.worker.ledger.failing = set()


async def frozen(stage: Stage) -> None:
    """The process stands still between the durable intent and the first byte, until after the answer was due."""
    go_on = stage.worker.ledger.hold("record send", "after")
    await stage.deliver()
    await stage.until_called("record send")
    stage.place.clock.advance(ANSWER_WITHIN)
    go_on.set()
    await stage.rest()


INTENT: Sequence[Moment] = (
    *(
        Moment(
            number=1,
            how=how,
            provider=provider,
            table="N",
            bring=bring,
            verdict=None,
            reason=None,
            seen=None,
            state=State.ACCEPTED,
            then=run_again,
        )
        for how, bring in (("ledger full", ledger_full), ("killed", killed_at("record send", "before")))
        for provider in (PHONE, POSTCODE)
    ),
    *(
        in_doubt(
            2,
            "killed",
            killed_at("record send", "after"),
            Code.WORKER_DIED,
            None,
            provider=provider,
            happened=False,
            arrived=False,
            state=State.IN_DOUBT,
            then=for_a_person if provider == POSTCODE else absent,
        )
        for provider in PROVIDERS
    ),
    Moment(
        number=2,
        how="frozen, then awake",
        table="U",
        bring=frozen,
        verdict=Verdict.NOT_DONE,
        reason=Code.UNREACHABLE,
        seen="connecting",
        state=State.WAITING,
        then=retried,
        why="the process lives and sends nothing after the answer was due, so it knows that nothing was sent",
    ),
)

# 3: no connection


async def vanished(stage: Stage) -> None:
    """Nobody listens any more when the create is to be sent."""
    go_on = stage.worker.ledger.hold("record send", "after")
    await stage.deliver()
    await stage.until_called("record send")
    await stage.proxy.refuse()
    go_on.set()
    await stage.rest()
    await stage.proxy.accept()


async def nameless(stage: Stage) -> None:
    """The provider's name is unknown."""
    await stage.restart("http://provider.invalid")
    await stage.ask()
    await stage.restart()


async def no_tls(stage: Stage) -> None:
    """What answers speaks no TLS."""
    await stage.restart(f"https://{stage.proxy.host}:{stage.proxy.port}")
    await stage.ask()
    await stage.restart()


async def stalled_handshake(stage: Stage) -> None:
    """The connection is there, and the handshake never ends."""
    await stage.restart(f"https://{stage.proxy.host}:{stage.proxy.port}", connect_timeout=0.2)
    await network(Trouble(kind=Kind.STALL))(stage)
    await stage.restart()


async def stalled_in_all(stage: Stage) -> None:
    """The same, ended by the limit for the whole exchange: the same class of exception as moment 6."""
    await stage.restart(f"https://{stage.proxy.host}:{stage.proxy.port}", connect_timeout=30, listen_for=0.4)
    await network(Trouble(kind=Kind.STALL))(stage)
    await stage.restart()


UNSENT: Sequence[Moment] = tuple(
    Moment(
        number=3,
        how=how,
        provider=provider,
        table="N",
        bring=bring,
        verdict=Verdict.NOT_DONE,
        reason=Code.UNREACHABLE,
        seen="connecting",
        state=State.WAITING,
        then=retried,
    )
    for how, bring, providers in (
        ("refused", vanished, PROVIDERS),
        ("unknown name", nameless, (PHONE, POSTCODE)),
        ("no TLS", no_tls, (PHONE, POSTCODE)),
        ("handshake stalled", stalled_handshake, (PHONE, POSTCODE)),
        ("handshake stalled, whole exchange timed out", stalled_in_all, (PHONE, POSTCODE)),
    )
    for provider in providers
)

# 4 and 5: the connection ends without an answer

LOST: Sequence[Moment] = (
    *(
        in_doubt(
            4, how, network(trouble), Code.CONNECTION_LOST, provider=provider, happened=False, arrived=False
        )
        for how, trouble, provider in (
            ("closed after accept", CUT, PHONE),
            ("closed after accept", CUT, CANARY),
            ("closed after accept", CUT, POSTCODE),
            ("reset after accept", RESET, PHONE),
            ("reset after accept", RESET, GATEWAY),
            ("closed in the head", up(60), PHONE),
            ("closed in the head", up(60), POSTCODE),
            ("closed in the body", up(400), PHONE),
            ("closed in the body", up(400), POSTCODE),
        )
    ),
    *(
        in_doubt(5, how, faulty(fault), Code.CONNECTION_LOST, provider=provider, happened=happened)
        for how, fault, happened in (
            ("closed, account opened", Fault.CUT_AFTER_CREATE, True),
            ("closed, nothing opened", Fault.CUT_BEFORE_CREATE, False),
            ("reset, account opened", Fault.RESET_AFTER_CREATE, True),
        )
        for provider in PROVIDERS
    ),
    *(
        in_doubt(5, how, network_meanwhile(trouble), Code.CONNECTION_LOST, provider=provider)
        for how, trouble in (("closed by the network", CUT), ("reset by the network", RESET))
        for provider in (PHONE, POSTCODE)
    ),
)

# 6: no answer in time


async def unanswered_in_time(stage: Stage) -> None:
    """The answer was due, and the create is still listened for."""
    await unanswered(stage)
    await doubted(stage)


async def refused_late(stage: Stage) -> None:
    """The same, with an answer on its way that will say no."""
    stage.let_go_wrong(Fault.SLOW, until="answer")
    stage.let_go_wrong(Fault.STATUS, status=422, body='{"@error": {"@message": "no"}}')
    await stage.deliver()
    await stage.until(lambda: stage.received == 1)
    await doubted(stage)


async def doubted(stage: Stage) -> None:
    """Let the answer be due, and wait until the doubt is recorded."""
    stage.place.clock.advance(ANSWER_WITHIN)
    await stage.until(lambda: stage.place.watch.all(Moved, enters=State.IN_DOUBT) != [])


async def answered_late(stage: Stage) -> None:
    """The late answer settles it; until then nobody looks, and nothing is sent again."""
    await listened(stage)
    assert [one.verdict for one in await stage.attempts()] == [Verdict.DONE]
    assert_evidence(stage, Evidence.LATE_ANSWER)
    if issues_credentials(stage.provider):
        issued = stage.accounts[0].issued
        assert {name: issued[name] for name in stage.credentials} == stage.credentials


async def answered_late_with_a_no(stage: Stage) -> None:
    """The late answer proves that nothing was done, and the request ends with it."""
    await listened(stage)
    assert [one.verdict for one in await stage.attempts()] == [Verdict.NOT_DONE]
    assert (await stage.entry()).reason is Code.PROVIDER_VALIDATION


async def listened(stage: Stage) -> None:
    """A round of upkeep while the create is listened for, then the answer."""
    before = looks(stage)
    await stage.worker.upkeep.once()
    assert (looks(stage), stage.received) == (before, 1)
    stage.sandbox.gate("answer").set()
    await stage.rest()


async def unanswered_for_good(stage: Stage) -> None:
    """The doubt is recorded when the answer was due, and the connection is given up later."""
    stage.proxy.next(*stage.before_create, SWALLOWED)
    await stage.deliver()
    await stage.until_made()
    await doubted(stage)
    await stage.rest()


SILENT: Sequence[Moment] = (
    *(
        in_doubt(
            6,
            "answered late",
            unanswered_in_time,
            Code.NO_ANSWER,
            None,
            provider=provider,
            state=State.IN_DOUBT,
            then=answered_late,
            end=State.PROVISIONED,
        )
        for provider in PROVIDERS
    ),
    in_doubt(
        6,
        "refused late",
        refused_late,
        Code.NO_ANSWER,
        None,
        happened=False,
        then=answered_late_with_a_no,
        end=State.REJECTED,
        accounts=0,
        creates=1,
    ),
    *(
        in_doubt(
            6, "answer swallowed", network(SWALLOWED), Code.NO_ANSWER, provider=provider, settings=IMPATIENT
        )
        for provider in PROVIDERS
    ),
    in_doubt(
        6,
        "answer stalled",
        network(Trouble(kind=Kind.STALL, direction=Direction.DOWN)),
        Code.NO_ANSWER,
        settings=IMPATIENT,
    ),
    in_doubt(
        6,
        "request swallowed",
        network(Trouble(kind=Kind.BLACK_HOLE, direction=Direction.UP)),
        Code.NO_ANSWER,
        happened=False,
        arrived=False,
        settings=IMPATIENT,
    ),
    in_doubt(
        6,
        "never answered",
        unanswered_for_good,
        Code.NO_ANSWER,
        settings=IMPATIENT,
    ),
)

# 7 and 8: the worker ends while it waits


async def killed_waiting(stage: Stage) -> None:
    """The process is killed after the account was opened, before it is answered."""
    await unanswered(stage)
    await stage.rescued()


async def killed_waiting_for_nothing(stage: Stage) -> None:
    """The process is killed while the provider has read the create and does nothing about it."""
    stage.let_go_wrong(Fault.SLOW, until="never")
    await stage.deliver()
    await stage.until(lambda: stage.received == 1)
    await stage.rescued()


async def told_to_stop(stage: Stage) -> None:
    """The process is told to stop: it lets the create go on as long as it may, then leaves its row sending."""
    stopping = asyncio.Event()
    running = asyncio.create_task(stage.service(drain=0.3).run(stopping))
    await unanswered(stage)
    stopping.set()
    await stage.until(lambda: stage.worker.desk.lanes[stage.provider].stopped)
    assert stage.proxy.connections == 1
    assert not await running
    assert (await stage.entry()).state is State.SENDING
    await stage.rescued()


ENDED: Sequence[Moment] = tuple(
    in_doubt(
        number,
        how,
        bring,
        Code.WORKER_DIED,
        None,
        provider=provider,
        happened=happened,
        state=State.IN_DOUBT,
        then=for_a_person if provider == POSTCODE else found if happened else absent,
    )
    for number, how, bring, happened, providers in (
        (7, "account opened", killed_waiting, True, PROVIDERS),
        (7, "nothing opened", killed_waiting_for_nothing, False, (PHONE, CANARY)),
        (8, "drain too short", told_to_stop, True, (PHONE, POSTCODE)),
        (12, "killed before the commit", killed_at("record provision", "before"), True, PROVIDERS),
    )
    for provider in providers
)
