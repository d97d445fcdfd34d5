"""Whoever asks for accounts: sane requests, the same ones again, other content under a used key, and nonsense."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from tests.simulation.broker import Broker
from tests.simulation.scene import Scene
from tests.simulation.vendors import TAKEN
from tests.simulation.weather import Fault
from worker.core.broker import Message
from worker.rabbitmq.topology import request_key

_SOURCE: Final = "urn:simulated:shop"
_TAKEN_BEFORE: Final = 0.01  # how many names belong to somebody else already
_MISTYPED: Final = 0.02  # how many requests are published under a key that no queue takes
_STRUCTURED: Final = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class Asked:
    """One message that the broker took.

    Attributes:
        key: Idempotency key; None where none can be read.
        content: What tells it from other content under the same key.
        is_request: Whether it is a request that can be run.
    """

    message_id: str
    key: str | None
    content: str
    is_request: bool


@dataclass
class Upstream:
    """Publishes requests and remembers each that the broker confirmed."""

    scene: Scene
    broker: Broker
    requests: int
    asked: list[Asked] = field(default_factory=list)
    _published: int = 0

    def begin(self) -> None:
        """Ask for one account after the other, at the seed's pace."""
        self._next(0)

    @property
    def over(self) -> bool:
        """Whether every request was asked for."""
        return self._published >= self.requests

    def _next(self, number: int) -> None:
        if number >= self.requests:
            return
        scene = self.scene
        self._ask(number)
        if scene.strikes(Fault.NONSENSE):
            self._talk_nonsense(number)
        scene.loop.after(scene.dice.expovariate(scene.weather.arrivals), self._next, number + 1)

    # --- sane -----------------------------------------------------------------------------------------------------

    def _ask(self, number: int) -> None:
        scene, dice = self.scene, self.scene.dice
        provider = dice.choice(self.broker.providers)
        key = f"{provider}-{number}{TAKEN if dice.random() < _TAKEN_BEFORE else ''}"
        data: dict[str, Any] = {
            "idempotency_key": key,
            "provider": provider,
            "parameters": {"company": key},
        }
        if scene.strikes(Fault.DEADLINE):
            data["deadline"] = (scene.true_time() + timedelta(seconds=scene.between(1.0, 150.0))).isoformat()
        if scene.strikes(Fault.DRY_RUN):
            data["dry_run"] = True
        self._publish(f"m-{number}", data, request_key(provider), content="first")
        self._published += 1
        while scene.strikes(Fault.REPEAT):
            scene.loop.after(scene.between(0.0, 60.0), self._repeat, number, data, scene.dice.random())

    def _repeat(self, number: int, data: Mapping[str, Any], which: float) -> None:
        """The very same message, the same request in another message, or other content under its key."""
        if self.scene.quiet:
            return
        self.scene.trace.faults[Fault.REPEAT] += 1
        again = f"m-{number}-again-{len(self.asked)}"
        where = request_key(data["provider"])
        if which < 0.5:
            self._publish(f"m-{number}", data, where, content="first")
        elif which < 0.8:
            self._publish(again, data, where, content="first")
        else:
            other = {**data, "parameters": {**data["parameters"], "note": "another"}}
            self._publish(again, other, where, content="another")

    def _publish(self, message_id: str, data: Mapping[str, Any], routing_key: str, *, content: str) -> None:
        if self.scene.dice.random() < _MISTYPED:
            routing_key = "request.mistyped"  # no queue takes it; it is a good request all the same
        event = {
            "specversion": "1.0",
            "id": f"e-{message_id}",
            "source": _SOURCE,
            "type": "account.requested.v1",
            "data": data,
        }
        message = Message(
            json.dumps(event).encode(),
            "",
            routing_key,
            content_type=_STRUCTURED,
            message_id=message_id,
        )
        self._put(message, Asked(message_id, data["idempotency_key"], content, is_request=True))

    # --- nonsense -------------------------------------------------------------------------------------------------

    def _talk_nonsense(self, number: int) -> None:
        scene = self.scene
        scene.trace.faults[Fault.NONSENSE] += 1
        message_id = f"nonsense-{number}"
        envelope = {"specversion": "1.0", "id": message_id, "source": _SOURCE, "type": "account.requested.v1"}
        key = {"idempotency_key": message_id}
        body = scene.dice.choice(
            (
                b"\xff\xfe no text",
                b"{",
                json.dumps({**envelope, "data": {**key, "provider": "elsewhere", "parameters": {}}}).encode(),
                json.dumps({**envelope, "data": {**key, "provider": "keyed", "parameters": {}}}).encode(),
                json.dumps({**envelope, "data": {**key, "prvider": "keyed"}}).encode(),
            )
        )
        routing_key = request_key(scene.dice.choice((*self.broker.providers, "nowhere")))
        message = Message(body, "", routing_key, content_type=_STRUCTURED, message_id=message_id)
        self._put(message, Asked(message_id, None, "nonsense", is_request=False))
        while scene.strikes(Fault.REPEAT):
            scene.loop.after(scene.between(0.0, 60.0), self._talk_it_again, message)

    def _talk_it_again(self, message: Message) -> None:
        if not self.scene.quiet:
            self.scene.trace.faults[Fault.REPEAT] += 1
            self._put(message, Asked(message.message_id or "", None, "nonsense", is_request=False))

    def _put(self, message: Message, asked: Asked) -> None:
        """The broker confirms what it takes; until then it is not a request that could be lost."""
        self.broker.later(0.0, self._confirmed, message, asked)

    def _confirmed(self, message: Message, asked: Asked) -> None:
        self.scene.trace.tell("upstream", f"asks {asked.message_id}")
        self.asked.append(asked)
        self.broker.put(message)
