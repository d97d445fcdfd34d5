"""A provider's good answers, kept call by call, and played again with one of them spoilt."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import JsonValue

from tests.providers.bench import Bench
from worker.core.clock import Clock
from worker.core.provider import Doubt, Order, Prepared, ProviderSettings
from worker.core.verdict import Moment, Outcome
from worker.exchange import Exchange, Http, Limits, Request
from worker.provider_kit import json_bytes
from worker.providers import Handler

Call = tuple[str, str]
"""Method and address."""

VERBS = ("prepare", "create", "look_up", "probe")
ODD: tuple[JsonValue, ...] = (None, 7, [], {}, "")


@dataclass(frozen=True)
class Answer:
    """What one call is answered instead.

    Attributes:
        body: JSON.
        status: None is that of the good answer.
        why: What is wrong with it, for whoever sees a test fail.
        is_sound: Whether it is spoilt only by another value of the same type, which a provider may well give.
    """

    body: JsonValue
    status: int | None = None
    why: str = ""
    is_sound: bool = False


def spoilt(value: JsonValue, where: str = "") -> Iterator[Answer]:
    """Each copy of a good answer of which one part, at any depth, is missing or something else."""
    for key, inner in _parts(value):
        here = f"{where}/{key}"
        if isinstance(value, dict):
            rest = {name: part for name, part in value.items() if name != key}
            yield Answer(rest, why=f"{here} is missing")
        for odd in ODD:
            yield Answer(_put(value, key, odd), why=f"{here} is {odd!r}", is_sound=type(odd) is type(inner))
        for deeper in spoilt(inner, here):
            yield replace(deeper, body=_put(value, key, deeper.body))


def with_other(value: JsonValue, old: JsonValue, new: JsonValue) -> JsonValue:
    """JSON data in which each value that is `old` is `new` instead."""
    if isinstance(value, dict):
        return {name: with_other(inner, old, new) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_other(inner, old, new) for inner in value]
    return new if value == old else value


def _parts(value: JsonValue) -> list[tuple[Any, JsonValue]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _put(value: Any, key: Any, part: JsonValue) -> JsonValue:
    copy = value.copy()
    copy[key] = part
    changed: JsonValue = copy
    return changed


@dataclass
class Recording:
    """Passes each call on and keeps what was answered."""

    http: Http
    answers: dict[Call, Exchange] = field(default_factory=dict)

    async def exchange(self, request: Request, limits: Limits) -> Exchange:
        answer = await self.http.exchange(request, limits)
        self.answers[request.method, request.url] = answer
        return answer


@dataclass(frozen=True)
class Playing:
    """Gives each call the answer that was kept; nothing listens where none was."""

    answers: Mapping[Call, Exchange]

    async def exchange(self, request: Request, limits: Limits) -> Exchange:
        nobody = Exchange(Moment.CONNECTING, failure="refused")
        return self.answers.get((request.method, request.url), nobody)


@dataclass(frozen=True)
class Tape:
    """One good create, from preparing to looking it up, with the answers to every call by the verb that made it."""

    kind: type[Handler]
    settings: ProviderSettings
    clock: Clock
    order: Order
    prepared: Prepared
    doubt: Doubt
    outcome: Outcome
    calls: Mapping[str, Mapping[Call, Exchange]]

    async def try_all(self, verb: str, call: Call, answers: Iterator[Answer]) -> list[tuple[Answer, Any]]:
        """What the handler makes of each of these answers to one of the verb's calls, all others being good."""
        return [(answer, await self._try(verb, call, answer)) for answer in answers]

    def good(self, verb: str, call: Call) -> JsonValue:
        """The body of the good answer."""
        return self.calls[verb][call].json()

    async def _try(self, verb: str, call: Call, answer: Answer) -> object:
        good = self.calls[verb][call]
        spoilt_one = replace(good, status=answer.status or good.status, body=json_bytes(answer.body))
        handler = self.kind(self.settings, Playing({**self.calls[verb], call: spoilt_one}), self.clock)
        try:
            return await run(verb, handler, self.order, self.prepared, self.doubt)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the handler raised
            pytest.fail(
                f"{verb} of {self.kind.name} raised {problem!r} when {' '.join(call)} was answered "
                f"{spoilt_one.status} {answer.body!r} ({answer.why})"
            )


async def run(verb: str, handler: Handler, order: Order, prepared: Prepared, doubt: Doubt) -> object:
    """One verb of the port."""
    match verb:
        case "prepare":
            return await handler.prepare(order)
        case "create":
            return await handler.create(order, prepared)
        case "look_up":
            return await handler.look_up(order, doubt)
        case _:
            return await handler.probe()


async def record(bench: Bench, provider: str) -> Tape:
    """Let everything go well once; each verb has a handler of its own, which has no token yet."""
    settings, calls = bench.handler(provider).settings, {}
    order = bench.order(bench.handler(provider))
    prepared, doubt, outcome = Prepared(None), Doubt(bench.clock.now(), {}), None
    for verb in VERBS:
        recording = Recording(bench.http)
        handler = type(bench.handler(provider))(settings, recording, bench.clock)
        result = await run(verb, handler, order, prepared, doubt)
        calls[verb] = recording.answers
        if isinstance(result, Prepared):
            prepared, doubt = result, Doubt(bench.clock.now(), result.baseline)
        elif isinstance(result, Outcome):
            outcome = result
    assert outcome is not None
    assert outcome.created is not None
    return Tape(type(handler), settings, bench.clock, order, prepared, doubt, outcome, calls)
