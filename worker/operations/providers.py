"""The operators' verbs on providers: pause and resume survive a restart and hold for every worker."""

from collections.abc import Iterable

from worker.core.clock import Clock
from worker.core.entry import Entry
from worker.core.errors import UnknownRequest
from worker.core.ledger import Ledger
from worker.core.overview import OPERATOR, Pause
from worker.core.states import State

_TO_BE_SENT = frozenset({State.ACCEPTED, State.WAITING})


def held_up(entry: Entry, pauses: Iterable[Pause]) -> str | None:
    """Why this request is not sent although it is to be, in words. Look-ups and results do not wait for a pause."""
    pause = next((each for each in pauses if each.provider == entry.provider), None)
    if pause is None or entry.state not in _TO_BE_SENT:
        return None
    return (
        f"{pause.provider} is paused by {pause.cause} since {pause.since:%Y-%m-%d %H:%M:%S} UTC ({pause.note}): "
        "nothing is sent until it is resumed"
    )


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
