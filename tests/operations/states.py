"""Ways to bring one request into each state, as the core itself does it."""

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.reason import ReasonCode
from tests.builders import make_done, make_message, make_outcome
from tests.core.operating import operate
from tests.core.world import World
from worker.core.observer import LaneState
from worker.core.retry import RetryPolicy
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.operations.verbs import Verb

Way = Callable[[World], Awaitable[None]]
NOT_NOW = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True)


async def accepted(world: World) -> None:
    """In the ledger, nobody works on it."""
    world.lane.pause(LaneState.PAUSED_BY_OPERATOR, "for the test")
    await world.bury(make_message())


async def waiting(world: World) -> None:
    """The provider said not now."""
    world.place.acme.creates.then(NOT_NOW)
    await world.ask()


async def sending(world: World) -> None:
    """The provider still thinks."""
    world.place.acme.creates.held()
    await world.ask()


async def in_doubt(world: World, **data: Any) -> None:
    """The connection broke after the create was sent."""
    world.place.acme.creates.then(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST))
    await world.ask(**data)


async def held_in_doubt(world: World) -> None:
    """Look-ups did not settle the doubt."""
    world.place.acme.settings = world.place.acme.settings.model_copy(update={"give_up_look_ups_after": 10.0})
    await in_doubt(world)
    await world.go_round(after=16)


async def held_with_account(world: World) -> None:
    """The account is known, one of its credentials is not."""
    world.place.acme.creates.then(make_done(missing=("api_key",)))
    await world.ask()


async def held_exhausted(world: World) -> None:
    """The attempts are used up, and every one of them created nothing."""
    object.__setattr__(world.desk, "policy", RetryPolicy(attempts=1))
    await waiting(world)


async def provisioned(world: World) -> None:
    """All went well."""
    await world.ask()


async def rejected(world: World) -> None:
    """The provider said no for good."""
    world.place.acme.creates.then(make_outcome(Verdict.NOT_DONE, reason=ReasonCode.NAME_TAKEN))
    await world.ask()


async def abandoned_unsent(world: World) -> None:
    """An operator closed it before anything was sent."""
    await accepted(world)
    await operate(world, Verb.ABANDON)


async def abandoned_in_doubt(world: World) -> None:
    """An operator closed it although the account may exist."""
    await in_doubt(world)
    await operate(world, Verb.ABANDON)


async def abandoned_with_account(world: World) -> None:
    """An operator closed it although the account exists."""
    await held_with_account(world)
    await operate(world, Verb.ABANDON)


WAYS: dict[Way, State] = {
    accepted: State.ACCEPTED,
    waiting: State.WAITING,
    sending: State.SENDING,
    in_doubt: State.IN_DOUBT,
    held_in_doubt: State.HELD,
    held_with_account: State.HELD,
    held_exhausted: State.HELD,
    provisioned: State.PROVISIONED,
    rejected: State.REJECTED,
    abandoned_unsent: State.ABANDONED,
    abandoned_in_doubt: State.ABANDONED,
    abandoned_with_account: State.ABANDONED,
}
"""Each way, and the state it ends in."""
