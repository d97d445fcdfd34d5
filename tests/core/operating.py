"""An operator's hands in the tests of the core."""

from typing import cast

from pydantic import SecretStr

from tests.core.world import World
from worker.core.ledger import Ledger
from worker.operations.accounts import Account
from worker.operations.requests import RequestOperations
from worker.operations.verbs import Verb, plan

REASON = "the vendor's support said so"
ACTOR = "ada"


def operations(world: World, actor: str = ACTOR) -> RequestOperations:
    """The verbs on requests, on the ledger of a world."""
    place = world.place
    return RequestOperations(
        cast("Ledger", world.ledger),
        place.keyring,
        place.box,
        world.desk.recorder,
        place.clock,
        actor,
        parents={},
    )


async def operate(
    world: World, verb: Verb, account_id: str | None = None, key: str = "order-1", **known: str
) -> str:
    """Carry out a verb on a request as it is now; `known` are credentials by name, and there will be no others."""
    credentials = {name: SecretStr(value) for name, value in known.items()}
    account = Account(account_id, credentials, without_credentials=True) if account_id else None
    return await operations(world).carry_out(plan(verb, await world.entry(key)), REASON, account)
