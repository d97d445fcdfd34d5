"""The operators' verbs on providers: pause and resume survive a restart and hold for every worker."""

from collections.abc import Iterable

from worker.core.clock import Clock
from worker.core.entry import Entry
from worker.core.errors import UnknownRequest
from worker.core.ledger import Ledger
from worker.core.overview import CREDENTIALS, OPERATOR, Pause
from worker.core.states import State

_TO_BE_SENT = frozenset({State.ACCEPTED, State.WAITING})


def held_up(entry: Entry, pauses: Iterable[Pause]) -> str | None:
    """Why this request is not sent, or not looked up, although it is to be, in words.

    Results wait for no pause. Look-ups wait for the one alone that a provider caused by refusing us.
    """
    pause = next((each for each in pauses if each.provider == entry.provider), None)
    waits_for = _what_waits(entry, pause) if pause is not None else None
    if pause is None or waits_for is None:
        return None
    since = f"{pause.since:%Y-%m-%d %H:%M:%S} UTC"
    return f"{pause.provider} is paused by {pause.cause} since {since} ({pause.note}): {waits_for}"


def _what_waits(entry: Entry, pause: Pause) -> str | None:
    if entry.state in _TO_BE_SENT:
        return "nothing is sent until it is resumed"
    if entry.state is State.IN_DOUBT and pause.cause == CREDENTIALS:
        return "nobody asks it, so the request is looked up when that pause ends, or an operator resolves it"
    return None


class ProviderOperations:
    """Pause, resume, and who did so when."""

    def __init__(self, ledger: Ledger, known: frozenset[str], clock: Clock, actor: str) -> None:
        self._ledger = ledger
        self._known = known
        self._clock = clock
        self._actor = actor

    def check(self, provider: str) -> None:
        """Refuse a name that no provider has.

        Raises:
            UnknownRequest: the text lists those there are.
        """
        if provider not in self._known:
            raise UnknownRequest(
                f"no provider is called {provider!r}; there are {', '.join(sorted(self._known))}"
            )

    async def pause(self, provider: str, reason: str) -> str:
        """No new create starts at this provider; its queue fills meanwhile. What is under way is finished."""
        self.check(provider)
        await self._ledger.pause(Pause(provider, OPERATOR, self._actor, reason, self._clock.now()))
        return f"{provider} is paused; every worker follows within its next round of upkeep"

    async def resume(self, provider: str, reason: str) -> str:
        """Creates start again."""
        self.check(provider)
        lifted = await self._ledger.resume(provider, self._actor, reason, self._clock.now())
        return f"{provider} is resumed" if lifted else f"unchanged: {provider} was not paused"
