"""Secrets: an error in the middle of sending is told with its place and none of the values that lay there."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from tests.core.world import Place, open_world
from tests.fakes import Watch
from worker.core.observer import Fact
from worker.core.provider import Order
from worker.core.states import State
from worker.telemetry import LogObserver, configure_logs

CANARY = "canary-in-a-local-9Qf"


class Telling(Watch):
    """Remembers the facts and logs them as a worker does."""

    def __init__(self) -> None:
        super().__init__()
        self._logs = LogObserver("worker-1")

    def tell(self, fact: Fact) -> None:
        super().tell(fact)
        self._logs.tell(fact)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    handlers, levels = logging.root.handlers[:], (logging.root.level, logging.getLogger("worker").level)
    yield
    logging.captureWarnings(capture=False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(levels[0])
    logging.getLogger("worker").setLevel(levels[1])
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["json", "pretty"])
async def test_an_error_while_sending_tells_its_place_and_none_of_its_locals(
    place: Place, form: Literal["json", "pretty"]
) -> None:
    """Pitfall 53: the frames of the send function are in the log; what its variables held, and its words, are not."""
    stream = io.StringIO()
    configure_logs("debug", form, stream=stream)
    place.watch = Telling()

    async def send(order: Order) -> None:
        headers = {"Authorization": f"Bearer {CANARY}", "for": order.request_id}
        raise LookupError(f"no way to send {headers} with {CANARY}")

    place.acme.while_sending = send
    async with open_world(place) as world:
        entry = await world.ask()
    assert entry.state is State.IN_DOUBT
    said = stream.getvalue()
    assert "in send" in said
    assert "LookupError" in said
    assert CANARY not in said
    if form == "json":
        assert all(json.loads(line) for line in said.splitlines())
