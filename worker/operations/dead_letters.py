"""The operators' verbs on dead letters."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from worker.core.broker import Message
from worker.core.burial import is_cut, unpacked
from worker.core.clock import Clock
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.errors import NotAllowed, SealBroken, UnknownRequest
from worker.core.ledger import Ledger
from worker.core.sealing import Sealer
from worker.operations.verbs import Effect

Republish = Callable[[Message], Awaitable[None]]
"""Publishes a message to the requests exchange and waits for the broker's confirmation."""


@dataclass(frozen=True, slots=True)
class LetterPlan:
    """What a verb would do to one dead letter, and the words for it. A deed may be blocked where no plan was."""

    letter: DeadLetter
    effect: Effect
    words: str


class DeadLetterOperations:
    """Look at, replay and discard dead letters. They are states, not deletions."""

    def __init__(self, ledger: Ledger, sealer: Sealer, clock: Clock, actor: str) -> None:
        self._ledger = ledger
        self._sealer = sealer
        self._clock = clock
        self._actor = actor

    async def find(self, dead_letter_id: str) -> DeadLetter:
        """One dead letter.

        Raises:
            UnknownRequest: none has this id.
        """
        letter = await self._ledger.dead_letter(dead_letter_id)
        if letter is None:
            raise UnknownRequest(
                f"no dead letter has the id {dead_letter_id!r}; see `provisioner dead-letters list`"
            )
        return letter

    def message(self, letter: DeadLetter) -> Message:
        """The message itself. It may hold what its sender thinks secret: show it only when asked to.

        Raises:
            SealBroken: the key that sealed it is not in the keyring.
        """
        return unpacked(self._opened(letter))

    def is_cut(self, letter: DeadLetter) -> bool:
        """Whether the body was too large to be kept whole; False also where nothing of it can be opened."""
        try:
            return is_cut(self._opened(letter))
        except SealBroken:
            return False

    def plan_replay(self, letter: DeadLetter) -> LetterPlan:
        """What a replay would do."""
        if letter.state is not LetterState.OPEN:
            return LetterPlan(letter, Effect.NOTHING, f"it is {letter.state} already")
        if self.is_cut(letter):
            words = (
                f"it had {letter.size} bytes, too many to be read, and only its beginning was kept: its sender must "
                "send it again, smaller"
            )
            return LetterPlan(letter, Effect.BLOCKED, words)
        words = (
            "is published again to provisioning.requests; the ledger decides whether it is new, same or a conflict; "
            "ask its sender first, who may have ordered again under another key"
        )
        return LetterPlan(letter, Effect.WILL, words)

    def plan_discard(self, letter: DeadLetter) -> LetterPlan:
        """What a discard would do."""
        if letter.state is not LetterState.OPEN:
            return LetterPlan(letter, Effect.NOTHING, f"it is {letter.state} already")
        return LetterPlan(letter, Effect.WILL, "is closed; the row and its reason stay")

    async def replay(self, planned: LetterPlan, reason: str, republish: Republish) -> str:
        """Publish first, then mark: dying in between publishes it twice, which the ledger absorbs.

        A message without an id of its own is given the row's, or the client library would make one up: by that it is
        known should it die again.

        Raises:
            NotAllowed: only the beginning of its body is there, and nothing was published; or it was published again,
                but the row changed since it was planned and stays as it is.
            SealBroken: the key that sealed the message is not in the keyring.
        """
        if planned.effect is Effect.NOTHING:
            return f"unchanged: {planned.words}"
        if planned.effect is Effect.BLOCKED:
            raise NotAllowed(f"dead letter {planned.letter.dead_letter_id}: {planned.words}")
        message = self.message(planned.letter)
        await republish(replace(message, message_id=message.message_id or planned.letter.dead_letter_id))
        try:
            return await self._mark(planned.letter, LetterState.REPLAYED, reason)
        except NotAllowed as error:
            raise NotAllowed(f"the message was published again, but {error}") from None

    async def discard(self, planned: LetterPlan, reason: str) -> str:
        """Close it.

        Raises:
            NotAllowed: the row changed since it was planned, and stays as it is.
        """
        if planned.effect is Effect.NOTHING:
            return f"unchanged: {planned.words}"
        return await self._mark(planned.letter, LetterState.DISCARDED, reason)

    def _opened(self, letter: DeadLetter) -> bytes:
        return self._sealer.open(letter.sealed_message, f"dead_letter:{letter.dead_letter_id}")

    async def _mark(self, letter: DeadLetter, state: LetterState, reason: str) -> str:
        await self._ledger.change_dead_letter(
            letter.dead_letter_id, state, self._actor, reason, self._clock.now(), seen_at=letter.changed_at
        )
        return f"{letter.dead_letter_id} is {state} now"
