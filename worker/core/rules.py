"""Rules as data: which answer means what. Each provider lists its own; the common ones close every list."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contracts.reason import ReasonCode
from worker.core.verdict import Created, Effect, Moment, Outcome, Verdict


class Shape(StrEnum):
    """What a provider's reader made of the body."""

    NOTHING = "nothing"  # no status line was read
    SUCCESS = "success"  # the promised answer with a usable account id
    INCOMPLETE = "incomplete"  # the promised kind of answer, but something in it is missing
    ANOTHER = "another"  # the promised kind of answer, about another account than the one that was asked for
    ERROR = "error"  # the provider's own way of saying no
    FOREIGN = "foreign"  # anything else: HTML, another program's JSON, nothing at all


@dataclass(frozen=True, slots=True)
class Reading:
    """The facts of one exchange, as rules match them.

    Attributes:
        moment: The last thing seen on the wire.
        shape: What the body is.
        status: HTTP status, where a status line was read.
        error_id: The provider's own error id.
        message: The provider's own words, already free of secrets.
        failure: What broke below HTTP, as one of the words of ``Exchange.failure`` ("timeout", "closed", ...).
        wait: Seconds the provider asked us to wait.
        about_name: Whether a refusal may be about the name, so that an account of our own may be what is in its way.
        sent_before: Whether an earlier attempt of the same request was begun, whatever was made of it.
        after_doubt: Whether an earlier attempt of it ever was in doubt.
        created: The account, for the shape SUCCESS (or INCOMPLETE with a known id).
    """

    moment: Moment
    shape: Shape
    status: int | None = None
    error_id: str | None = None
    message: str | None = None
    failure: str | None = None
    wait: float | None = None
    about_name: bool = False
    sent_before: bool = False
    after_doubt: bool = False
    created: Created | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: when it applies, what it means, and where that is written.

    ``None`` in a condition means "any". The first rule that applies decides.
    """

    id: str
    verdict: Verdict
    reason: ReasonCode
    source: str
    shapes: frozenset[Shape] | None = None
    statuses: frozenset[int] | None = None
    error_ids: frozenset[str] | None = None
    moments: frozenset[Moment] | None = None
    failures: frozenset[str] | None = None
    about_name: bool | None = None
    sent_before: bool | None = None
    after_doubt: bool | None = None
    retry: bool = False
    effect: Effect = Effect.NONE

    def applies(self, reading: Reading) -> bool:
        """Whether every condition of this rule holds for the reading."""
        return (
            _within(self.shapes, reading.shape)
            and _within(self.statuses, reading.status)
            and _within(self.error_ids, reading.error_id)
            and _within(self.moments, reading.moment)
            and _within(self.failures, reading.failure)
            and self.about_name in (None, reading.about_name)
            and self.sent_before in (None, reading.sent_before)
            and self.after_doubt in (None, reading.after_doubt)
        )


def judge(rules: Sequence[Rule], reading: Reading) -> Outcome:
    """The outcome by the first rule that applies; what no rule knows is in doubt."""
    rule = next((rule for rule in rules if rule.applies(reading)), UNLISTED)
    return Outcome(
        verdict=rule.verdict,
        reason=rule.reason,
        rule_id=rule.id,
        moment=reading.moment,
        retry=rule.retry,
        effect=rule.effect,
        status=reading.status,
        error_id=reading.error_id,
        message=reading.message,
        wait=reading.wait,
        created=reading.created,
    )


def _within(wanted: frozenset[Any] | None, value: object) -> bool:
    return wanted is None or value in wanted


NOT_SENT = frozenset({Moment.PREPARING, Moment.CONNECTING})
SENT = frozenset(Moment) - NOT_SENT

UNLISTED = Rule(
    id="common.unlisted",
    verdict=Verdict.IN_DOUBT,
    reason=ReasonCode.UNEXPECTED_STATUS,
    source="design: anything unlisted is in doubt",
)

COMMON: tuple[Rule, ...] = (
    Rule(
        id="common.too_late",
        verdict=Verdict.NOT_DONE,
        reason=ReasonCode.UNREACHABLE,
        source="reliability.md b.2, moment 2: a worker that was frozen after its intent sends nothing when it wakes",
        moments=NOT_SENT,
        failures=frozenset({"too_late"}),
        retry=True,
    ),
    Rule(
        id="common.not_sent",
        verdict=Verdict.NOT_DONE,
        reason=ReasonCode.UNREACHABLE,
        source="reliability.md b.2, moment 3: no request header left",
        moments=NOT_SENT,
        retry=True,
        effect=Effect.OUTAGE,
    ),
    Rule(
        id="common.no_answer",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.NO_ANSWER,
        source="reliability.md b.2, moment 6",
        shapes=frozenset({Shape.NOTHING}),
        failures=frozenset({"timeout"}),
        effect=Effect.OUTAGE,
    ),
    Rule(
        id="common.garbled_status_line",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.GARBLED_ANSWER,
        source="reliability.md b.2, moment 9",
        shapes=frozenset({Shape.NOTHING}),
        failures=frozenset({"garbled"}),
        effect=Effect.OUTAGE,
    ),
    Rule(
        id="common.connection_lost",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.CONNECTION_LOST,
        source="reliability.md b.2, moments 4 and 5",
        shapes=frozenset({Shape.NOTHING}),
        effect=Effect.OUTAGE,
    ),
    Rule(
        id="common.moved",
        verdict=Verdict.NOT_DONE,
        reason=ReasonCode.REDIRECTED,
        source="RFC 9110 15.4: the same request is wanted elsewhere; never followed (reliability.md b.2, moment 22)",
        statuses=frozenset({301, 307, 308}),
        retry=True,
        effect=Effect.PAUSE,
    ),
    Rule(
        id="common.redirect",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.REDIRECTED,
        source="RFC 9110 15.4.3 and 15.4.4: 302 and 303 may follow a request that was carried out",
        statuses=frozenset(range(300, 400)),
        effect=Effect.PAUSE,
    ),
    Rule(
        id="common.answer_too_large",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.ANSWER_TOO_LARGE,
        source="reliability.md b.2, moment 11",
        failures=frozenset({"too_large"}),
    ),
    Rule(
        id="common.success_unreadable",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.UNREADABLE_ANSWER,
        source="reliability.md b.2, moments 10 and 11",
        statuses=frozenset(range(200, 300)),
    ),
    Rule(
        id="common.server_error",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.SERVER_ERROR,
        source="reliability.md b.2, moments 20 and 21",
        statuses=frozenset(range(500, 600)),
        effect=Effect.OUTAGE,
    ),
    Rule(
        id="common.foreign_limit",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.UNREADABLE_ANSWER,
        source="reliability.md b.2, moment 19: a limiter that is not the provider's own may stand behind it",
        shapes=frozenset({Shape.FOREIGN}),
        statuses=frozenset({429}),
        effect=Effect.LIMIT,
    ),
    Rule(
        id="common.foreign",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.UNREADABLE_ANSWER,
        source="reliability.md b.2, moment 16: a page that is not the provider's own proves nothing",
        shapes=frozenset({Shape.FOREIGN}),
        effect=Effect.OUTAGE,
    ),
    UNLISTED,
)
