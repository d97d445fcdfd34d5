"""The HTTP client: whatever it raises once the create is out, nobody takes it for a no."""

import builtins
from types import ModuleType
from typing import Any, NoReturn

import aiohttp
import pytest

from tests.providers.bench import PROVIDERS, Bench, SetClock
from worker.core.provider import Prepared
from worker.core.verdict import Moment, Verdict
from worker.http_client import HttpClient
from worker.sandbox import Sandbox


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_every_kind_of_error_after_the_send_is_in_doubt(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pitfalls 50, 51: a class nobody thought of, or one that claims a status, says no more than a lost answer does."""
    kinds = [*classes_in(aiohttp), *classes_in(builtins), Unheard]
    clock = SetClock()
    async with Sandbox(now=clock.now) as sandbox, HttpClient() as http:
        bench = Bench(sandbox, http, clock)
        handler = bench.handler(provider)
        order = bench.order(handler)
        prepared = await handler.prepare(order)
        assert isinstance(prepared, Prepared)
        wrong = []
        for kind in kinds:
            monkeypatch.setattr(aiohttp.ClientResponse, "start", raising(kind))
            outcome = await handler.create(order, prepared)
            if (outcome.verdict, outcome.moment, outcome.status) != (
                Verdict.IN_DOUBT,
                Moment.REQUEST_SENT,
                None,
            ):
                wrong.append((kind.__name__, outcome))
        assert wrong == []
        assert sandbox.creates(provider).attempted == len(kinds) > 80, "each was sent, and once"


READ_REALLY = aiohttp.ClientResponse.start


class Unheard(Exception):
    """What a later release may raise."""


def classes_in(module: ModuleType) -> list[type[Exception]]:
    """The exceptions that a module makes public and that can be made without arguments."""
    found = [value for value in vars(module).values() if isinstance(value, type)]
    unusable = (Warning, StopIteration, ExceptionGroup)
    return [kind for kind in found if issubclass(kind, Exception) and not issubclass(kind, unusable)]


def raising(kind: type[Exception]) -> object:
    """The status line comes, and with it an error that says nothing but a status nobody sent."""

    async def start(*arguments: Any) -> NoReturn:
        await READ_REALLY(*arguments)
        error = kind.__new__(kind)
        error.__dict__["status"] = 400
        raise error

    return start
