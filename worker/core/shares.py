"""What all workers of one provider share: its slots, and the waits it asked for.

Each worker has a part of the slots; together the parts never exceed the provider's concurrency. They are kept in the
ledger and divided anew in each round of upkeep. A part is a lease: a worker that has not renewed it for the time after
which others take it for dead begins nothing more, so what others then take is free indeed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Wish:
    """What one worker asks of one provider's slots.

    Attributes:
        limit: Slots of the provider over all workers.
        keeps: Slots that this worker uses, or may take before it hears the answer; what it had above that it has
            given back.
        leaves: It begins nothing new (it ends, is paused, or its breaker is open); others may have its part.
        wait_until: Until when the provider asked this worker to wait; None when it did not.
    """

    limit: int
    keeps: int
    leaves: bool = False
    wait_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What it gets.

    Attributes:
        slots: Creates that it may have under way when it begins one more.
        wait_until: Until when the provider asked any worker to wait; may lie in the past.
    """

    slots: int
    wait_until: datetime


def fair_part(limit: int, members: Collection[str], member: str) -> int:
    """The same for all; what is left over goes to the first ones by name, so that it stays where it is."""
    rank = sorted(members).index(member)
    return limit // len(members) + (rank < limit % len(members))


def settled(wish: Wish, *, has: int, others: int, part: int) -> int:
    """How many slots a worker has from now on.

    What it let go of is free; more it takes only out of what nobody has, and never above its fair part.

    Args:
        wish: What it asks for.
        has: What it had.
        others: What all others have together.
        part: Its fair part.
    """
    kept = min(has, wish.keeps)
    return kept if wish.leaves else max(kept, min(part, wish.limit - others))
