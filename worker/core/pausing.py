"""The pause of a provider, in the ledger and in its lane. A person's pause is never turned into one of ours."""

from worker.core.desk import Desk
from worker.core.observer import LaneState
from worker.core.overview import CREDENTIALS, OPERATOR, Pause
from worker.core.verdict import Outcome


async def pause(desk: Desk, provider: str, outcome: Outcome) -> None:
    """The provider refuses us: ask it no more until it takes our credentials again.

    Raises:
        LedgerUnavailable: it could not be remembered; nothing is paused.
    """
    note = f"{outcome.reason}: {outcome.message or 'the provider refuses our credentials or address'}"
    await desk.ledger.pause(Pause(provider, CREDENTIALS, desk.worker, note, desk.clock.now()))
    lane = desk.lanes[provider]
    if lane.state is not LaneState.PAUSED_BY_OPERATOR:
        lane.pause(LaneState.PAUSED_BY_CREDENTIALS, note)


async def lift_our_pause(desk: Desk, provider: str) -> None:
    """The provider takes our credentials again. An operator's pause, made while it was asked, stays.

    Raises:
        LedgerUnavailable: it stays paused.
    """
    words = "the provider takes our credentials again"
    if await desk.ledger.lift(provider, CREDENTIALS, desk.worker, words, desk.clock.now()):
        desk.lanes[provider].pause(None, words)


async def follow_pauses(desk: Desk) -> None:
    """What an operator, or another worker, paused or resumed holds here as well from now on.

    Raises:
        LedgerUnavailable: nothing is known.
    """
    pauses = {each.provider: each for each in await desk.ledger.pauses()}
    for name, lane in desk.lanes.items():
        found = pauses.get(name)
        if found is None:
            lane.pause(None, "resumed")
        else:
            by_operator = found.cause == OPERATOR
            state = LaneState.PAUSED_BY_OPERATOR if by_operator else LaneState.PAUSED_BY_CREDENTIALS
            lane.pause(state, found.note)
