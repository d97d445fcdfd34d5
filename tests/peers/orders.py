"""The requests of a schedule: drawn from a seed, laid out in the queues before the worker starts."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.demo.cast import canary_speech, gateway360, phone_com, postcode_eu
from worker.demo.mailbox import Mailbox

_MAKERS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "canary_speech": canary_speech,
    "phone_com": phone_com,
    "gateway360": gateway360,
    "postcode_eu": postcode_eu,
}
PROVIDERS = tuple(_MAKERS)
_PUBLISHERS = 50


@dataclass(frozen=True, slots=True)
class Order:
    """One request.

    Attributes:
        key: Its idempotency key.
        name: What the account shall be called, at no provider twice.
    """

    key: str
    provider: str
    name: str


def draw_orders(requests: int, seed: int) -> list[Order]:
    """So many requests, evenly over the providers."""
    draws = random.Random(f"names of {seed}")
    return [
        Order(
            f"order-{number}",
            PROVIDERS[number % len(PROVIDERS)],
            f"order-{number}-{draws.getrandbits(32):08x}",
        )
        for number in range(requests)
    ]


def parameters_of(order: Order) -> dict[str, Any]:
    """What is asked of the provider."""
    return _MAKERS[order.provider](order.name)


async def publish(mailbox: Mailbox, orders: Sequence[Order]) -> None:
    """Lay them out; all are confirmed when this returns."""
    waiting = iter(orders)

    async def some() -> None:
        for order in waiting:
            await mailbox.ask(order.key, order.provider, parameters_of(order))

    await asyncio.gather(*(some() for _ in range(_PUBLISHERS)))
