"""Rules broken on purpose: a simulation that does not notice them would prove nothing by being content."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final
from unittest.mock import patch

from contracts.reason import ReasonCode
from tests.plain_ledger import Tables
from tests.plain_ledger import changes as plain_changes
from tests.plain_ledger.tables import Row
from worker.core import late, states
from worker.core.broker import Delivery
from worker.core.burial import Burial
from worker.core.calls import Calls
from worker.core.change import Change, Event
from worker.core.clock import SteadyClock
from worker.core.entrance import read
from worker.core.entry import Entry
from worker.core.errors import PublishUnconfirmed
from worker.core.lanes import Slot
from worker.core.pipeline import Pipeline
from worker.core.provider import Finding, Provider, ProviderSettings
from worker.core.recording import Stage
from worker.core.retry import Decision, Retry, after_look_up
from worker.ledger import changes
from worker.ledger.writer import Batch

Mutant = Callable[[], Any]

_ONE: Final = "at most one account"


@contextmanager
def in_doubt_is_not_done() -> Iterator[None]:
    """The retry policy sends again whatever it heard nothing of, as most loops around a create do."""

    def doubt(reason: ReasonCode, now: datetime, _look_up_after: float | None) -> Retry:
        return Retry(reason, now, counts=True)

    with patch("worker.core.retry._doubt", doubt):
        yield


@contextmanager
def absent_at_the_first_look() -> Iterator[None]:
    """A look-up that finds nothing is believed at once."""

    def absent(_entry: object, now: datetime, _settings: object, **_: bool) -> Retry:
        return Retry(ReasonCode.CONFIRMED_ABSENT, now, counts=False)

    with patch("worker.core.retry._absent", absent):
        yield


@contextmanager
def dead_means_not_done() -> Iterator[None]:
    """What a dead worker left sending is simply sent again."""

    def not_done(now: datetime, actor: str, note: str) -> Change:
        return Change(states.NOT_DONE, now, ReasonCode.WORKER_DIED, actor, due_at=now, note=note)

    def rescued(batch: Batch, row: Any, now: datetime, actor: str, note: str) -> None:
        changes.apply(batch, row.request_id, row.fence, not_done(now, actor, note))

    def rescued_plainly(tables: Tables, row: Row, now: datetime, actor: str, note: str) -> None:
        plain_changes.apply(tables, row, not_done(now, actor, note))

    real, plain = "worker.ledger.claims._doubt", "tests.plain_ledger.claims.doubt"
    with patch(real, rescued), patch(plain, rescued_plainly):
        yield


@contextmanager
def marked_before_confirmed() -> Iterator[None]:
    """An event is marked published, and then published."""

    async def publish(self: Pipeline, event: Event) -> None:
        desk = self._desk
        await desk.ledger.mark_published(event.event_id, desk.clock.now())
        with suppress(PublishUnconfirmed):
            await desk.publisher.publish(
                desk.events.body_of(event),
                event_id=event.event_id,
                event_type=event.event_type,
                routing_key=event.routing_key,
            )

    with patch.object(Pipeline, "publish", publish):
        yield


@contextmanager
def acknowledged_before_kept() -> Iterator[None]:
    """A delivery is acknowledged when it was read, and then accepted."""
    careful = Pipeline._take

    async def take(self: Pipeline, delivery: Delivery, slot: Slot) -> bool:
        if not hasattr(read(self._desk, delivery.message), "reason"):
            await delivery.ack()
        return await careful(self, delivery, slot)

    with patch.object(Pipeline, "_take", take):
        yield


@contextmanager
def late_creates_leave() -> Iterator[None]:
    """A worker that was frozen after its intent sends when it wakes."""
    with patch.object(Pipeline, "_in_time", lambda *_: lambda: True):
        yield


@contextmanager
def judged_when_it_is_known() -> Iterator[None]:
    """What a look-up found is judged by the time at which it is known, not by that of the asking."""
    asked = Calls.look_up
    known_at: list[datetime] = []

    async def look_up(self: Calls, provider: Provider, entry: Entry) -> Finding:
        finding = await asked(self, provider, entry)
        known_at[:] = [self._desk.clock.now()]
        return finding

    def judge(
        finding: Finding, entry: Entry, *, now: datetime, is_late: bool, settings: ProviderSettings
    ) -> Decision:
        return after_look_up(finding, entry, now=max(now, *known_at), is_late=is_late, settings=settings)

    with patch.object(Calls, "look_up", look_up), patch("worker.core.pipeline.after_look_up", judge):
        yield


@contextmanager
def late_keys_are_thrown_away() -> Iterator[None]:
    """A key that comes once others have found its account is noted as seen, and forgotten."""
    settles = late.settles

    def settles_no_key(*about: Any) -> Stage | None:
        stage = settles(*about)
        return None if stage is Stage.ANSWERED_WHILE_HELD else stage

    with patch.object(late, "settles", settles_no_key):
        yield


@contextmanager
def late_accounts_are_thrown_away() -> Iterator[None]:
    """An account that comes once a person was asked, because nobody could look it up, is noted and forgotten."""

    def only_keys(entry: Entry, *_: object, **__: object) -> bool:
        return entry.reason is ReasonCode.CREDENTIALS_LOST

    with patch.object(late, "_is_missing", only_keys):
        yield


@contextmanager
def rejections_are_dated_anew() -> Iterator[None]:
    """Whether a dead letter came before is not asked."""

    async def unknown(*_: object) -> None:
        return None

    with patch.object(Burial, "_known", unknown):
        yield


@contextmanager
def the_time_of_day_is_believed() -> Iterator[None]:
    """Rows are dated by what the machine's clock was set to."""
    with patch.object(SteadyClock, "now", SteadyClock.time_of_day):
        yield


MUTANTS: Final[Mapping[str, tuple[Mutant, str, tuple[str, ...]]]] = {
    "in doubt is not done": (in_doubt_is_not_done, "doubtful-providers", (_ONE, "rejected is true")),
    "absent at the first look": (absent_at_the_first_look, "doubtful-providers", (_ONE,)),
    "dead means not done": (dead_means_not_done, "killed-with-the-answer", (_ONE,)),
    "judged when it is known": (judged_when_it_is_known, "frozen-before-the-judgement", (_ONE,)),
    "the time of day is believed": (the_time_of_day_is_believed, "wrong-clocks", (_ONE,)),
    "late creates leave": (late_creates_leave, "frozen-before-the-first-byte", (_ONE,)),
    "late keys are thrown away": (
        late_keys_are_thrown_away,
        "frozen-with-the-answer",
        ("credentials arrive",),
    ),
    "late accounts are thrown away": (
        late_accounts_are_thrown_away,
        "frozen-with-the-answer",
        ("credentials arrive",),
    ),
    "rejections are dated anew": (
        rejections_are_dated_anew,
        "letters-long-forgotten",
        ("the same event for the same outcome",),
    ),
    "marked before confirmed": (marked_before_confirmed, "forgetful-broker", ("every end is told",)),
    "acknowledged before kept": (
        acknowledged_before_kept,
        "killed-at-the-acknowledgement",
        ("never lost", "a used key with other content is refused"),
    ),
}
"""Each with the weather in which it shows, and the promises of which one must be seen to break."""
