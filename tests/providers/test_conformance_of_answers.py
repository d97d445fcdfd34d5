"""What every handler promises of answers that are not what they should be, whichever call they answer."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic import JsonValue

from tests.providers.bench import PROVIDERS, Bench, example_of
from tests.providers.known import KNOWN
from tests.providers.tape import VERBS, Answer, Tape, record, spoilt, with_other
from worker.core.provider import Absent, Found, Prepared, Probe, Several, Taken, Unclear
from worker.core.verdict import Created, Outcome, Verdict

every_provider = pytest.mark.parametrize("provider", PROVIDERS)
STATUSES = (200, 400, 401, 403, 404, 408, 409, 422, 429, 500, 503)
CERTAIN_FAILURES = {401, 403, 429, 500, 503}
"""With these nobody has looked, whatever the body says."""

RESULTS: dict[str, tuple[type, ...]] = {
    "prepare": (Prepared, Outcome, Several),
    "create": (Outcome,),
    "look_up": (Found, Absent, Taken, Several, Unclear),
    "probe": (Probe,),
}
FAILED: dict[str, Callable[[Any], bool]] = {
    "create": lambda outcome: outcome.verdict is not Verdict.DONE,
    "look_up": lambda finding: isinstance(finding, Unclear),
    "probe": lambda probe: not probe.healthy,
}
HOSTILE: list[JsonValue] = [
    None,
    [],
    "text",
    7,
    {},
    {"id": [], "accountId": {}, "result": [], "@error": "x", "exception": 7, "status": None, "message": {}},
    {"status": "ok", "result": {"user_name": 7, "password": [], "api_key": {}}},
    {"status": "error", "error_id": {"a": 1}, "error_msg": [1]},
    {"@error": {"@message": 7, "fields": 7, "@rateLimit": 7}},
    {"@error": {"@message": "m", "fields": [[], {"name": 7}, None], "@rateLimit": {"Retry-After": "soon"}}},
    {"id": True, "accountId": True},
    {"id": -1, "accountId": -1},
    {"id": "\u0000", "accountId": "\u202e"},
    {"id": 10**30, "accountId": 10**30},
]


def refusals(provider: str) -> Iterator[Answer]:
    """Errors in the provider's own shape, sound and spoilt, and what is in nobody's shape, under every status."""
    own = KNOWN[provider].own_shape
    bodies = [dict(own), *(one.body for one in spoilt(dict(own))), *HOSTILE]
    return (Answer(body, status, "a refusal") for status in STATUSES for body in bodies)


async def tried(tape: Tape, verb: str, *, good: bool) -> AsyncIterator[tuple[Answer, Any]]:
    """What the verb makes of each of its calls' good answers, spoilt, or else of refusals."""
    for call in tape.calls[verb]:
        answers = spoilt(tape.good(verb, call)) if good else refusals(tape.kind.name)
        for answer, result in await tape.try_all(verb, call, answers):
            yield answer, result


@every_provider
@pytest.mark.parametrize("verb", VERBS)
async def test_no_answer_raises(bench: Bench, provider: str, verb: str) -> None:
    """Whatever JSON any call is answered with becomes one of the results that the port knows."""
    tape = await record(bench, provider)
    for good in (True, False):
        async for answer, result in tried(tape, verb, good=good):
            assert isinstance(result, RESULTS[verb]), answer


@every_provider
async def test_only_a_usable_id_is_a_success(bench: Bench, provider: str) -> None:
    """An account is named by the id that stands in the answer, and a secret that is not there is told as missing."""
    tape = await record(bench, provider)
    good = tape.outcome.created
    assert good is not None
    async for answer, outcome in tried(tape, "create", good=True):
        assert (outcome.created is not None) == (outcome.verdict is Verdict.DONE), answer
        assert outcome.created is None or outcome.created.account_id in {good.account_id, "7"}, answer
        assert outcome.created is None or whole(outcome.created) == whole(good), answer


def whole(created: Created) -> set[str]:
    """Names of the secrets that are handed over, each of them a text, or told as missing."""
    values = [value.get_secret_value() for value in created.secrets.values()]
    assert all(isinstance(value, str) and value for value in values), values
    return {*created.secrets, *created.missing}


@every_provider
async def test_no_refusal_is_a_success(bench: Bench, provider: str) -> None:
    """Neither an error nor somebody else's answer opens an account, whatever its status."""
    tape = await record(bench, provider)
    for verb in ("prepare", "create"):
        async for answer, result in tried(tape, verb, good=False):
            assert not isinstance(result, Outcome) or result.verdict is not Verdict.DONE, answer


@every_provider
async def test_good_answer_with_an_error_status_is_no_success(bench: Bench, provider: str) -> None:
    """The body of a good answer under an error's status opens no account and finds none, and shows nobody healthy."""
    tape = await record(bench, provider)
    for verb, has_failed in FAILED.items():
        for call in tape.calls[verb]:
            body = tape.good(verb, call)
            answers = (Answer(body, status, "an error's status") for status in sorted(CERTAIN_FAILURES))
            for answer, result in await tape.try_all(verb, call, answers):
                assert has_failed(result), answer


@every_provider
async def test_account_that_cannot_be_read_is_not_absent(bench: Bench, provider: str) -> None:
    """Ours stands in the answer; while any part of that cannot be read, nobody says that it is not there."""
    tape = await record(bench, provider)
    async for answer, finding in tried(tape, "look_up", good=True):
        assert answer.is_sound or not isinstance(finding, Absent), answer


@every_provider
async def test_account_shown_under_another_name_is_not_ours(bench: Bench, provider: str) -> None:
    """Whether the provider heeds what it was asked for is not trusted: an account of another name is not ours."""
    tape = await record(bench, provider)
    for call in tape.calls["look_up"]:
        good = tape.good("look_up", call)
        other = good
        for name, another in KNOWN[provider].another.items():
            other = with_other(other, example_of(provider)[name], another)
        for answer, finding in await tape.try_all("look_up", call, iter([Answer(other, why="another name")])):
            assert other == good or not isinstance(finding, Found), answer


@every_provider
async def test_refused_look_up_is_unclear(bench: Bench, provider: str) -> None:
    """Refused credentials, a limit and a broken server say nothing about the account; no refusal shows it."""
    tape = await record(bench, provider)
    async for answer, finding in tried(tape, "look_up", good=False):
        assert not isinstance(finding, Found), answer
        assert isinstance(finding, Unclear) or answer.status not in CERTAIN_FAILURES, answer


@every_provider
async def test_refused_probe_is_ill(bench: Bench, provider: str) -> None:
    """A provider that refuses our credentials, or answers with an error of its server, is not healthy."""
    tape = await record(bench, provider)
    async for answer, probe in tried(tape, "probe", good=False):
        assert not probe.healthy or answer.status not in CERTAIN_FAILURES, answer
