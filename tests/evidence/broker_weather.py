"""Bad weather between a worker and its broker: what a network does to connections, in both directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.evidence.broker_side import Place
from tests.evidence.proxy import Direction, FaultProxy, Kind, Trouble
from tests.evidence.result import RunResult
from tests.evidence.scenario import Cue, Scenario
from tests.evidence.troubled_house import TroubledHouse
from worker.core.clock import SystemClock

_IN_THE_MIDDLE = (9, 300, 1001, 2503, 5003)
"""Bytes after which a connection ends: inside the handshake, the declarations, a delivery."""


@dataclass(frozen=True, slots=True)
class Spell:
    """One kind of weather.

    Attributes:
        name: What it is called in the results.
        troubles: What every connection meets, open ones at once and new ones from their beginning; of several, each
            new connection draws one.
        seconds: How long it lasts.
    """

    name: str
    troubles: Sequence[Trouble]
    seconds: float


def spells(*, short: float, long: float, everything: bool = True) -> Sequence[Spell]:
    """Every kind, in each direction: what a connection survives or dies of at once is short, silence is long.

    Without `everything` each direction has its turn with the short ones, and silence comes once.
    """
    both = (None, *Direction)
    return (
        Spell("delayed", [Trouble(kind=Kind.DELAY, seconds=0.3)], short),
        Spell("cut", [Trouble(kind=Kind.CUT)], short),
        Spell("reset", [Trouble(kind=Kind.RESET)], short),
        *(_spell(Kind.HALF_CLOSE, way, short) for way in Direction),
        *(_spell(Kind.STALL, way, short) for way in (both if everything else Direction)),
        *(_torn(way, short) for way in Direction),
        *(_spell(Kind.BLACK_HOLE, way, long) for way in (both if everything else (Direction.DOWN,))),
    )


def _spell(kind: Kind, direction: Direction | None, seconds: float) -> Spell:
    words = "both ways" if direction is None else direction.value
    return Spell(
        f"{kind.value.replace('_', ' ')} {words}", [Trouble(kind=kind, direction=direction)], seconds
    )


def _torn(direction: Direction, seconds: float) -> Spell:
    torn = [Trouble(kind=Kind.BYTE_LIMIT, direction=direction, after_bytes=after) for after in _IN_THE_MIDDLE]
    return Spell(f"byte limit {direction.value}", torn, seconds)


async def weather(
    place: Place, coming: Sequence[Spell], *, settings: Mapping[str, str], seed: int = 1
) -> RunResult:
    """One spell after the other while requests flow; after each the worker must be back before the next begins."""
    async with (
        FaultProxy("127.0.0.1", place.node.port, seed=seed) as proxy,
        place.house(proxy_port=proxy.port, settings=settings) as house,
    ):
        scenario = Scenario(_cues(coming, proxy, house), SystemClock())
        async with house.requests_flow():
            await scenario.play()
        assert not scenario.failed, scenario.failed
        house.faults.update({f"broker connection {kind}": times for kind, times in proxy.applied.items()})
        return await house.result(f"{len(coming)} kinds of bad weather before the broker")


def _cues(coming: Sequence[Spell], proxy: FaultProxy, house: TroubledHouse) -> Sequence[Cue]:
    cues: list[Cue] = []
    at = 0.0
    for spell in coming:
        cues.append(Cue(at, spell.name, partial(_begin, spell, proxy)))
        at += spell.seconds
        cues.append(Cue(at, f"after {spell.name}", partial(_end, spell, proxy, house)))
    return cues


async def _begin(spell: Spell, proxy: FaultProxy) -> None:
    proxy.weather({trouble: 1 / len(spell.troubles) for trouble in spell.troubles})
    proxy.now(spell.troubles[0])


async def _end(spell: Spell, proxy: FaultProxy, house: TroubledHouse) -> None:
    proxy.heal()
    await house.back(spell.name)
