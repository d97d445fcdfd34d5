"""One request on the provider port, from its last byte read to its answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from worker.sandbox import wire
from worker.sandbox.fault_plan import FaultPlan, PlannedRule
from worker.sandbox.faults import Fault, Rule
from worker.sandbox.misbehaviour import DISTORTIONS, MASKS, REFUSALS, Stage
from worker.sandbox.provider import Answer, Call, Operation, RefusedError
from worker.sandbox.router import Found, NotFound, Router
from worker.sandbox.state import ReceivedRequest

_NO_BODY_READ = (ConnectionError, web.RequestPayloadError)


@dataclass(frozen=True, slots=True)
class Time:
    """How the sandbox lets time pass: sleeping, and gates that tests open by name."""

    sleep: Callable[[float], Awaitable[object]]
    gate: Callable[[str], asyncio.Event]

    async def wait(self, rule: Rule) -> None:
        """Waits for the rule's gate, or its seconds, or not at all."""
        if rule.until is not None:
            await self.gate(rule.until).wait()
        elif rule.seconds:
            await self.sleep(rule.seconds)


class Exchange:
    """Answers requests: finds the provider, lets the plan interfere, and keeps what was received."""

    def __init__(
        self, router: Router, plan: FaultPlan, time: Time, later: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._router = router
        self._plan = plan
        self._time = time
        self._later = later

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The response to a request; never raises for anything that a client can send."""
        found = self._router.find(request.method, request.path)
        if isinstance(found, NotFound):
            return _not_found(found)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return wire.respond(found.provider.error(413, "The request body is too large."))
        except _NO_BODY_READ:
            return wire.Cut()
        number = _note(found, request, body)
        call = Call(number, request.headers, request.query, body, found.arguments)
        return await self._answer(found, call, request.query_string)

    async def _answer(self, found: Found, call: Call, query: str) -> web.StreamResponse:
        chosen = self._plan.choose(found.provider.name, found.route.operation, call.body, query)
        if chosen.slow is not None:
            await self._time.wait(chosen.slow)
        if chosen.fault is None:
            return wire.respond(_work(found, call))
        return await self._misbehave(chosen.fault, found, call)

    async def _misbehave(self, planned: PlannedRule, found: Found, call: Call) -> web.StreamResponse:
        rule = planned.rule
        if refuse := REFUSALS.get(rule.fault):
            return refuse(rule, found.provider)
        if rule.fault is Fault.DELAYED_CREATE:
            self._later(self._work_later(rule, found, call))
            return wire.Cut()
        mask = MASKS.get(rule.fault)
        if mask is not None and not rule.creates:
            return mask(rule)
        answer = _work(found, call)
        if answer.status >= 400:
            self._plan.give_back(planned)
            return wire.respond(answer)
        if mask is not None:
            return mask(rule)
        stage = Stage(found.provider, self._time.wait, self._later)
        return await DISTORTIONS[rule.fault](rule, answer, stage)

    async def _work_later(self, rule: Rule, found: Found, call: Call) -> None:
        await self._time.wait(rule)
        _work(found, call)


def _work(found: Found, call: Call) -> Answer:
    try:
        return found.route.handle(call)
    except RefusedError as refused:
        return refused.answer


def _note(found: Found, request: web.BaseRequest, body: bytes) -> int:
    operation = found.route.operation
    names = tuple(request.headers)
    received = ReceivedRequest(operation, request.method, request.path, request.query_string, names, body)
    return found.provider.book.note(received, is_create=operation is Operation.CREATE)


def _not_found(missing: NotFound) -> web.StreamResponse:
    message = "Method not allowed" if missing.status == 405 else "Not found"
    if missing.provider is None:
        return wire.respond_text(missing.status, message)
    return wire.respond(missing.provider.error(missing.status, message))
