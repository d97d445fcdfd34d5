"""The matrix: every step between delivery and settled event, in every setting, with an account made and without."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.evidence.crash_row import Row, Setting, Way
from tests.evidence.doomed_worker import Commit
from worker.core.states import State
from worker.core.steps import Step

_PROVIDERS: Final = ("phone_com", "gateway360", "canary_speech", "postcode_eu")
_LOOKED_UP: Final = ("gateway360", "phone_com", "canary_speech")
_ONE_EXCHANGE: Final = ("phone_com", "gateway360")
"""A look-up of theirs is one exchange, without a token before it."""
_EVERYWHERE: Final = tuple(Setting)
_ALONE: Final = (Setting.SQLITE, Setting.POSTGRESQL)


@dataclass(frozen=True, slots=True)
class Point:
    """One or more rows: one for each setting, each with one of the providers in turn."""

    what: Mapping[str, Any]
    providers: tuple[str, ...]
    settings: tuple[Setting, ...]

    def rows(self, turn: int) -> Iterator[Row]:
        """Where the account may exist and nobody knows, SQLite sees all providers: each ends in its own way."""
        for number, setting in enumerate(self.settings, start=turn):
            in_turn = self.providers[number % len(self.providers)]
            row = Row(**{"way": Way.ANSWERED, **self.what}, setting=setting, provider=in_turn)
            if row.in_doubt and setting is Setting.SQLITE:
                yield from (replace(row, provider=provider) for provider in self.providers)
            else:
                yield row


def _points(
    *names: Step | Commit,
    providers: tuple[str, ...] = _PROVIDERS,
    settings: tuple[Setting, ...] = _EVERYWHERE,
    **what: Any,
) -> Iterator[Point]:
    return (Point({"point": name, **what}, providers, settings) for name in names)


_ANSWERED: Final = (Step.STATUS_READ, Step.ANSWER_READ, Step.JUDGED)
_AS_NEW: Final = (State.ACCEPTED,)
_DOUBT: Final = (State.IN_DOUBT,)
_EXCHANGE: Final[Mapping[str, Any]] = {"after": Step.INTENDED, "states": (State.SENDING,)}
_UNASKED: Final[Mapping[str, Any]] = {"asked": False}
_CUT: Final[Mapping[str, Any]] = {"way": Way.CUT_MADE, "made": True, "providers": _LOOKED_UP}
_CUT_UNMADE: Final[Mapping[str, Any]] = {"way": Way.CUT_UNMADE, "providers": _LOOKED_UP}
_REFUSED: Final[Mapping[str, Any]] = {"way": Way.REFUSED, "providers": ("gateway360",)}
_INVALID: Final[Mapping[str, Any]] = {"way": Way.INVALID, "asked": False}
_PROVISIONED: Final[Mapping[str, Any]] = {"made": True, "states": (State.PROVISIONED,)}

POINTS: Final = (
    # Intake and preparing: nothing was intended, nothing was sent.
    *_points(Step.DELIVERED, Step.READ, **_UNASKED),
    *_points(Step.ACCEPTED, Step.BEGUN, Step.PREPARED, states=_AS_NEW, **_UNASKED),
    # Execution begins beside the acknowledgement; here it has a token to fetch first.
    *_points(Step.ACKNOWLEDGED, states=_AS_NEW, providers=("canary_speech",), **_UNASKED),
    # Intended, and not a byte has left: aiohttp tells both "sent" moments before it writes.
    *_points(Step.INTENDED, states=(State.SENDING,), **_UNASKED),
    *_points(Step.CONNECTING, Step.HEADERS_SENT, Step.REQUEST_SENT, **_UNASKED, **_EXCHANGE),
    # The provider has the create, and is silent.
    *_points(Step.REQUEST_SENT, way=Way.SILENT_UNMADE, lingers=True, **_EXCHANGE),
    *_points(Step.REQUEST_SENT, way=Way.SILENT_MADE, lingers=True, made=True, **_EXCHANGE),
    *_points(Step.REQUEST_SENT, way=Way.SILENT_MADE_LATER, lingers=True, **_EXCHANGE),
    *_points(Step.DOUBTED, way=Way.SILENT_UNMADE, states=_DOUBT),
    *_points(Step.DOUBTED, way=Way.SILENT_MADE, made=True, states=_DOUBT),
    *_points(Step.DOUBTED, way=Way.SILENT_MADE_LATER, states=_DOUBT),
    # An answer was read, and only the dead knew it.
    *_points(*_ANSWERED, made=True, **_EXCHANGE),
    *_points(*_ANSWERED, way=Way.LIMITED, **_EXCHANGE),
    *_points(*_ANSWERED, **_REFUSED, **_EXCHANGE),
    *_points(Step.STATUS_READ, way=Way.LATE, after=Step.INTENDED, made=True, states=_DOUBT),
    *_points(Step.JUDGED, way=Way.LATE, after=Step.DOUBTED, made=True, states=_DOUBT),
    # The verdict is durable; perhaps its event was heard.
    *_points(Step.RECORDED, Step.CONFIRMED, Step.SETTLED, **_PROVISIONED),
    *_points(Step.RECORDED, Step.CONFIRMED, Step.SETTLED, states=(State.REJECTED,), **_REFUSED),
    *_points(Step.RECORDED, way=Way.LIMITED, states=(State.WAITING,)),
    *_points(Step.RECORDED, way=Way.CUT_MADE, made=True, states=(State.IN_DOUBT, State.HELD)),
    *_points(Step.RECORDED, way=Way.LATE, after=Step.DOUBTED, **_PROVISIONED),
    # Look-ups: the finding is in memory, or the look-up's own exchange is under way.
    *_points(Step.LOOKED_UP, states=_DOUBT, **_CUT),
    *_points(Step.LOOKED_UP, states=_DOUBT, **_CUT_UNMADE),
    *_points(
        Step.HEADERS_SENT, way=Way.CUT_MADE, count=2, made=True, states=_DOUBT,
        providers=_ONE_EXCHANGE, settings=_ALONE,
    ),
    *_points(
        Step.ANSWER_READ, way=Way.CUT_MADE, made=True, states=_DOUBT,
        providers=_ONE_EXCHANGE, settings=_ALONE,
    ),
    # What cannot become a request, and what almost did not.
    *_points(Step.REJECTED, Step.BURYING, Step.BURIED, Step.BURIAL_ENDED, **_INVALID),
    *_points(Step.CONFIRMED, Step.SETTLED, **_INVALID),
    *_points(Step.ACCEPTED, way=Way.MISROUTED, states=_AS_NEW, settings=_ALONE, **_UNASKED),
    # The thread that writes the ledger, around the COMMIT of each promise.
    *_points(Commit.COMMITTING, after=Step.READ, **_UNASKED),
    *_points(Commit.COMMITTED, after=Step.READ, states=_AS_NEW, **_UNASKED),
    *_points(Commit.COMMITTING, after=Step.PREPARED, states=_AS_NEW, **_UNASKED),
    *_points(Commit.COMMITTED, after=Step.PREPARED, states=(State.SENDING,), **_UNASKED),
    *_points(Commit.COMMITTING, after=Step.JUDGED, made=True, states=(State.SENDING,)),
    *_points(Commit.COMMITTED, after=Step.JUDGED, **_PROVISIONED),
    *_points(Commit.COMMITTING, after=Step.JUDGED, way=Way.LIMITED, states=(State.SENDING,)),
    *_points(Commit.COMMITTED, after=Step.JUDGED, way=Way.LIMITED, states=(State.WAITING,)),
    *_points(*Commit, after=Step.CONFIRMED, **_PROVISIONED),
    *_points(Commit.COMMITTING, after=Step.LOOKED_UP, states=_DOUBT, **_CUT),
    *_points(Commit.COMMITTED, after=Step.LOOKED_UP, states=(State.PROVISIONED, State.HELD), **_CUT),
    *_points(*Commit, after=Step.LOOKED_UP, states=_DOUBT, **_CUT_UNMADE),
    *_points(*Commit, after=Step.BURYING, **_INVALID),
    # The next worker dies at the same place.
    *_points(Step.BEGUN, states=_AS_NEW, deaths=2, settings=_ALONE, **_UNASKED),
    *_points(
        Step.INTENDED, states=(State.SENDING,), deaths=2, settings=_ALONE, providers=_LOOKED_UP, **_UNASKED
    ),
    *_points(Step.CONFIRMED, deaths=2, settings=_ALONE, **_PROVISIONED),
    *_points(Step.LOOKED_UP, states=_DOUBT, deaths=2, settings=_ALONE, **_CUT),
    *_points(Step.BURIED, deaths=2, settings=_ALONE, **_INVALID),
)  # fmt: skip

_ROTATION: Final = (*_ALONE, *_ALONE, Setting.THREE)


def matrix() -> tuple[Row, ...]:
    """Every row."""
    return tuple(row for number, point in enumerate(POINTS) for row in point.rows(number))


def chosen(rows: Sequence[Row], turn: int = 0) -> tuple[Row, ...]:
    """One row for each point, the settings mixed; another turn chooses others, the same turn always the same."""
    by_point: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_point[row.point].append(row)
    return tuple(_one_of(group, turn + number) for number, group in enumerate(by_point.values()))


def _one_of(group: Sequence[Row], turn: int) -> Row:
    wanted = _ROTATION[turn % len(_ROTATION)]
    fitting = [row for row in group if row.setting is wanted and row.deaths == 1]
    return fitting[turn // len(_ROTATION) % len(fitting)]
