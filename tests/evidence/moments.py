"""What a row of the table of moments is, and the verbs in which its rows are told.

The table is the failure taxonomy of a POST that must not be repeated (reliability.md b.2): 26 moments at which a create
can fail, the verdict each deserves, and what has to follow.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.providers import discover as contracts
from contracts.reason import ReasonCode as Code
from contracts.result import AccountProvisioned, Evidence
from tests.evidence.moments_world import LOOK_UP_EVERY, Stage
from tests.evidence.proxy import Trouble
from tests.providers.bench import PHONE
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.providers import discover
from worker.sandbox import Fault, Operation

Act = Callable[[Stage], Awaitable[None]]

WORDS: Mapping[int, str] = {
    1: "before the ledger row sending is durable",
    2: "row sending durable, process dies before any byte",
    3: "waiting for a pool slot, DNS, connect, TLS",
    4: "server closes at once after accept, request partly or fully in the socket",
    5: "request fully sent, connection closed or reset, no status line",
    6: "request fully sent, no answer in time",
    7: "process killed while waiting",
    8: "our task is cancelled (shutdown, channel closed) while waiting",
    9: "garbled status line",
    10: "2xx status seen, body cut or stalled",
    11: "2xx, body is not the promised JSON, or lacks the id, or has the wrong type",
    12: "2xx with id, process dies before the ledger commit",
    13: "id stored, one-time credential not yet delivered",
    14: "ledger says created, event not confirmed",
    15: "event confirmed, ack lost",
    16: "400, 401, 403, 404, 405, 415, 422 with the provider's own error body; a bare page is in doubt",
    17: "409 or already exists",
    18: "408",
    19: "429",
    20: "500, 502, 504, 52x",
    21: "503",
    22: "3xx",
    23: "202 or pending",
    24: "look-up says absent right after a time-out",
    25: "look-up says present with our marker",
    26: "look-up finds two with our marker",
}
"""The table's own words."""

Letter = Literal["N", "D", "U"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One way in which one moment is brought about at one provider, and what must come of it.

    Attributes:
        number: Which moment of the table.
        how: How it is brought about, in words.
        table: The table's verdict: N certainly not done, D certainly done, U in doubt.
        bring: Brings it about, up to the record of the verdict.
        verdict: As recorded with the newest attempt; None where none was begun, or its answer may still come.
        reason: As recorded with the row; None where there is none.
        seen: The last moment on the wire, as recorded with the attempt; None where nobody lived to record it.
        state: Of the row then.
        then: What follows, with what must hold on the way.
        end: The state in which the row stays.
        accounts: How many exist at the provider in the end.
        creates: How many creates the provider has read in the end.
        settings: What the worker's provider is told beyond the usual.
        why: Where the record differs from the table's letter: why that is right.
    """

    number: int
    how: str
    table: Letter
    provider: str = PHONE
    bring: Act
    verdict: Verdict | None
    reason: Code | None
    seen: str | None
    state: State
    then: Act
    end: State = State.PROVISIONED
    accounts: int = 1
    creates: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    def __str__(self) -> str:
        """A test's name."""
        return f"{self.number}-{self.provider}-{self.how.replace(' ', '_')}"


def issues_credentials(provider: str) -> bool:
    """Whether the provider makes credentials up, so that nobody knows them once its answer is lost."""
    contract = contracts()[provider]
    return bool(contract.Credentials.model_fields.keys() - contract.Parameters.model_fields.keys())


def in_doubt(
    number: int,
    how: str,
    bring: Act,
    reason: Code,
    seen: str | None = "request_sent",
    *,
    provider: str = PHONE,
    happened: bool = True,
    arrived: bool = True,
    **more: Any,
) -> Moment:
    """A moment after which nobody can tell: looked up where that is possible, a person's business where it is not.

    Args:
        number: Of the moment.
        how: As in `Moment`.
        bring: As in `Moment`.
        reason: As in `Moment`.
        seen: As in `Moment`.
        provider: As in `Moment`.
        happened: Whether the provider has opened the account.
        arrived: Whether it has read the create at all.
        more: Further fields of the moment.
    """
    blind = not discover()[provider].CAN_LOOK_UP
    key_lost = issues_credentials(provider) and happened
    again = not happened and not blind
    plain: dict[str, Any] = {
        "table": "U",
        "state": State.HELD if blind else State.IN_DOUBT,
        "then": unchanged if blind else found if happened else absent,
        "end": State.HELD if blind or key_lost else State.PROVISIONED,
        "accounts": int(happened or again),
        "creates": int(arrived) + int(again),
    }
    return Moment(
        number=number,
        how=how,
        bring=bring,
        provider=provider,
        reason=reason,
        seen=seen,
        **{"verdict": Verdict.IN_DOUBT, **plain, **more},
    )


# How a moment is brought about


def faulty(fault: Fault, **options: Any) -> Act:
    """The provider does this to the create."""

    async def bring(stage: Stage) -> None:
        stage.let_go_wrong(fault, **options)
        await stage.ask()

    return bring


def network(trouble: Trouble) -> Act:
    """The network does this to the create's connection."""

    async def bring(stage: Stage) -> None:
        stage.proxy.next(*stage.before_create, trouble)
        await stage.ask()

    return bring


def network_meanwhile(trouble: Trouble) -> Act:
    """The network does this once the provider has opened the account and has not answered yet."""

    async def bring(stage: Stage) -> None:
        await unanswered(stage)
        stage.proxy.now(trouble)
        await stage.rest()

    return bring


async def unanswered(stage: Stage) -> None:
    """The provider has opened the account, and answers only when the test opens the gate `answer`."""
    stage.let_go_wrong(Fault.LATE_ANSWER, until="answer")
    await stage.deliver()
    await stage.until_made()


def killed_at(call: str, when: Literal["before", "after"]) -> Act:
    """The worker dies before or after a call of the ledger; another one begins and finds what it left."""

    async def bring(stage: Stage) -> None:
        stage.worker.ledger.hold(call, when)
        await stage.deliver()
        await stage.until_called(call)
        await stage.rescued()

    return bring


# What follows


async def unchanged(stage: Stage) -> None:
    """Nothing happens any more by itself."""
    before, received = await stage.entry(), stage.received
    for _ in range(6):
        await stage.later(LOOK_UP_EVERY)
    after = await stage.entry()
    assert (after.state, after.reason, after.fence) == (before.state, before.reason, before.fence)
    assert stage.received == received


async def found(stage: Stage) -> None:
    """The first look-up finds the account and adopts its id; where its one-time key is lost a person is asked."""
    await stage.later(LOOK_UP_EVERY)
    entry = await stage.entry()
    assert entry.account_id == stage.accounts[0].id
    assert len(await stage.attempts()) == 1
    if entry.state is State.PROVISIONED:
        assert_evidence(stage, Evidence.LOOK_UP)
    else:
        assert (entry.state, entry.reason) == (State.HELD, Code.CREDENTIALS_LOST)


async def absent(stage: Stage) -> None:
    """Look-ups that find nothing are believed after the settle time and when two agree; only then it is sent again."""
    received = stage.received
    for absences in (0, 0, 1):
        await stage.later(LOOK_UP_EVERY)
        entry = await stage.entry()
        assert (entry.state, entry.absences) == (State.IN_DOUBT, absences)
    await stage.later(LOOK_UP_EVERY)
    entry = await stage.entry()
    assert (entry.state, entry.reason) == (State.WAITING, Code.CONFIRMED_ABSENT)
    assert stage.received == received
    await stage.later()
    assert [one.verdict for one in await stage.attempts()] == [Verdict.IN_DOUBT, Verdict.DONE]


async def retried(stage: Stage) -> None:
    """It is sent again by itself, once its wait is over, and succeeds."""
    assert await stage.worker.ledger.real.pauses() == []
    await stage.later(LOOK_UP_EVERY)
    assert [one.verdict for one in await stage.attempts()] == [Verdict.NOT_DONE, Verdict.DONE]


async def run_again(stage: Stage) -> None:
    """It is run as if it had just come."""
    for _ in range(2):
        await stage.later(40.0)
    assert len(await stage.attempts()) == 1
    assert_evidence(stage, Evidence.ANSWER)


async def unpaused(stage: Stage) -> None:
    """The provider is paused and nothing is sent, until a probe shows that it takes our calls; then it goes on."""
    received = stage.received
    await stage.later(LOOK_UP_EVERY)
    assert [pause.cause for pause in await stage.worker.ledger.real.pauses()] == ["credentials"]
    assert stage.received == received
    await stage.later(60.0)
    assert await stage.worker.ledger.real.pauses() == []
    await stage.later(LOOK_UP_EVERY)


async def for_a_person(stage: Stage) -> None:
    """Nobody can look it up, so a person is asked, and nothing more happens by itself."""
    await stage.later(LOOK_UP_EVERY)
    assert (await stage.entry()).state is State.HELD
    await unchanged(stage)


def assert_evidence(stage: Stage, evidence: Evidence) -> None:
    """The newest result says that the account exists, and how that is known."""
    result = stage.results[-1]
    assert isinstance(result, AccountProvisioned)
    assert result.data.evidence is evidence


def looks(stage: Stage) -> int:
    """How many look-ups the provider has read."""
    return sum(one.operation == Operation.LOOK_UP for one in stage.sandbox.requests(stage.provider))
