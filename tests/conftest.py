"""What every test may ask for, and in which order they run."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers"]

# How long an example takes says how busy the machine is, nothing about the code; speed is measured by `make bench`.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

_WHOLE_HOUSES = ("tests/evidence/", "tests/scenarios/", "tests/peers/", "tests/local/", "tests/rabbitmq/")
_LOOK_INSIDE = ("tests/core/", "tests/operations/", "tests/pitfalls/", "tests/evidence/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests mostly wait for processes come first: begun last, one of them would run alone at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(_WHOLE_HOUSES))


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that a worker runs on, but for those that must see whether it rests, or cut its sockets."""
    looks_inside = item.nodeid.startswith(_LOOK_INSIDE)
    return {"loop": asyncio.new_event_loop if looks_inside else uvloop.new_event_loop}
