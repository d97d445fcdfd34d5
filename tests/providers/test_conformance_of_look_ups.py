"""What every look-up promises, asked of each handler that can: `Absent` is what allows a second create."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.providers.bench import PROVIDERS, Bench
from tests.providers.known import KNOWN
from worker.core.provider import Absent, Doubt, Finding, Found, Order, Prepared, Several, Unclear
from worker.core.verdict import Outcome, Verdict
from worker.providers import Handler, discover
from worker.sandbox import Fault, Operation

LOOKED_UP = [name for name, handler in discover().items() if handler.CAN_LOOK_UP]
every_look_up = pytest.mark.parametrize("provider", LOOKED_UP)

FAILURES: Mapping[str, Mapping[str, Any]] = {
    **{
        fault.value: {"fault": fault}
        for fault in (
            Fault.RATE_LIMITED,
            Fault.UNAVAILABLE,
            Fault.SERVER_ERROR_BEFORE_CREATE,
            Fault.CUT_BEFORE_CREATE,
            Fault.RESET_AFTER_CREATE,
            Fault.GARBLED_STATUS_LINE,
            Fault.HTML_WITH_200,
            Fault.TRUNCATED_BODY,
            Fault.EMPTY_BODY,
            Fault.UNAUTHORIZED,
            Fault.FORBIDDEN,
        )
    },
    "no answer": {"fault": Fault.LATE_ANSWER, "until": "never"},
    "moved": {"fault": Fault.REDIRECT, "location": "http://127.0.0.1:1/"},
    "somebody's 404": {"fault": Fault.STATUS, "status": 404, "body": "<h1>Not found</h1>"},
    "empty object": {"fault": Fault.STATUS, "status": 200, "body": "{}"},
    "null": {"fault": Fault.STATUS, "status": 200, "body": "null"},
    "only accepted": {"fault": Fault.STATUS, "status": 202, "body": "{}"},
}
"""Everything that can become of a read without its being an answer."""

every_failure = pytest.mark.parametrize("failure", FAILURES)
every_read = pytest.mark.parametrize("operation", [Operation.LOOK_UP, Operation.TOKEN])
BRIEFLY = {"answer_within": 1.0}


def was_hit(bench: Bench) -> bool:
    """Whether any call met the fault: not every handler needs a token, or asks before it creates."""
    return any(planned.applied for planned in bench.sandbox.faults.planned())


async def cut(bench: Bench, handler: Handler, order: Order, fault: Fault) -> tuple[Outcome, Doubt]:
    """One attempt that nobody can judge; later ones are sound again."""
    bench.break_creates(fault)
    attempt = await bench.run_with_baseline(handler, order)
    bench.sandbox.faults.clear()
    return attempt


async def opened_meanwhile(bench: Bench, provider: str, parameters: Mapping[str, Any]) -> Finding:
    """What is found after an attempt that made nothing, while somebody else opened an account like this."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    _, doubt = await cut(bench, handler, order, Fault.CUT_BEFORE_CREATE)
    outcome = await bench.run(handler, bench.order(handler, parameters))
    assert outcome.verdict is Verdict.DONE
    return await handler.look_up(order, doubt)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_ability_is_declared(bench: Bench, provider: str) -> None:
    """Who says that it can look up asks the provider; who says it cannot asks nothing and finds nothing out."""
    handler = bench.handler(provider)
    finding = await handler.look_up(bench.order(handler), Doubt(bench.clock.now(), {}))
    assert bool(bench.sandbox.requests(provider)) == handler.CAN_LOOK_UP
    assert handler.CAN_LOOK_UP or isinstance(finding, Unclear)


@every_look_up
async def test_account_of_a_cut_create_is_found(bench: Bench, provider: str) -> None:
    """The account that was made is found by the look-up, under its id."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    outcome, doubt = await cut(bench, handler, order, Fault.CUT_AFTER_CREATE)
    finding = await handler.look_up(order, doubt)
    assert outcome.verdict is Verdict.IN_DOUBT
    assert isinstance(finding, Found)
    assert finding.created.account_id == bench.sandbox.accounts(provider)[0].id
    assert finding.evidence["matching"] == [finding.created.account_id]


@every_look_up
async def test_found_account_is_told_as_the_answer_tells_it(bench: Bench, provider: str) -> None:
    """Whether an answer or a look-up names the account, it has the same id and fits the same contract."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    outcome, doubt = await bench.run_with_baseline(handler, order)
    finding = await handler.look_up(order, doubt)
    assert isinstance(finding, Found)
    assert outcome.created is not None
    assert finding.created.account_id == outcome.created.account_id
    assert finding.created.account == outcome.created.account


@every_look_up
async def test_create_that_did_not_happen_is_absent(bench: Bench, provider: str) -> None:
    """Where nothing was made the provider's answer says so."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    _, doubt = await cut(bench, handler, order, Fault.CUT_BEFORE_CREATE)
    assert isinstance(await handler.look_up(order, doubt), Absent)


@every_look_up
async def test_account_that_shows_late_is_found_late(bench: Bench, provider: str) -> None:
    """A lagging read first says absent; asked again it says found, so one absence proves nothing."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    bench.break_creates(Fault.LAGGING_READ, until="visible")
    _, doubt = await bench.run_with_baseline(handler, order)
    assert isinstance(await handler.look_up(order, doubt), Absent)
    bench.sandbox.gate("visible").set()
    await bench.sandbox.settle()
    assert isinstance(await handler.look_up(order, doubt), Found)


@every_look_up
@every_read
@every_failure
async def test_failed_read_is_unclear(
    bench: Bench, provider: str, operation: Operation, failure: str
) -> None:
    """A read that fails proves nothing, whatever it fails with: the account does exist."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    _, doubt = await bench.run_with_baseline(handler, order)
    bench.break_reads(operation=operation, **FAILURES[failure])
    finding = await bench.handler(provider, **BRIEFLY).look_up(order, doubt)
    assert isinstance(finding, Unclear if was_hit(bench) else Found)


@every_look_up
@every_read
@every_failure
async def test_nothing_is_sent_after_a_failed_read(
    bench: Bench, provider: str, operation: Operation, failure: str
) -> None:
    """Who asks before a create needs the answer, or a later look-up cannot tell ours from what was there."""
    bench.break_reads(operation=operation, **FAILURES[failure])
    handler = bench.handler(provider, **BRIEFLY)
    prepared = await handler.prepare(bench.order(handler))
    assert isinstance(prepared, Outcome if was_hit(bench) else Prepared)
    assert not isinstance(prepared, Outcome) or prepared.verdict is Verdict.NOT_DONE


@every_look_up
async def test_refused_credentials_are_unclear(bench: Bench, provider: str) -> None:
    """Wrong credentials of ours say nothing about the account."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    _, doubt = await bench.run_with_baseline(handler, order)
    wrong = {name: "wrong" for name, it in bench.credentials_of(provider).items() if isinstance(it, str)}
    assert isinstance(await bench.handler(provider, **wrong).look_up(order, doubt), Unclear)


@every_look_up
async def test_equal_account_that_was_there_before_is_not_ours(bench: Bench, provider: str) -> None:
    """Where a second account may bear the name, the first one is not taken for it: `prepare` noted who was there."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    await bench.run(handler, order)
    _, doubt = await cut(bench, handler, order, Fault.CUT_BEFORE_CREATE)
    finding = await handler.look_up(order, doubt)
    await bench.run(handler, order)
    names_repeat = bench.sandbox.creates(provider).made == 2
    assert not (names_repeat and isinstance(finding, Found))


@every_look_up
async def test_two_accounts_of_one_create_are_several(bench: Bench, provider: str) -> None:
    """Which of two equal accounts is ours only a person can tell, unless the provider allows but one of the name."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    prepared = await handler.prepare(order)
    assert isinstance(prepared, Prepared)
    for _ in range(2):
        await handler.create(order, prepared)
    finding = await handler.look_up(order, Doubt(bench.clock.now(), prepared.baseline))
    names_repeat = bench.sandbox.creates(provider).made == 2
    assert isinstance(finding, Several if names_repeat else Found)


@every_look_up
async def test_account_of_another_name_is_not_ours(bench: Bench, provider: str) -> None:
    """An account that came in the same moment, under another name, proves nothing of ours."""
    assert isinstance(await opened_meanwhile(bench, provider, KNOWN[provider].another), Absent)


@pytest.mark.parametrize("provider", [name for name in LOOKED_UP if KNOWN[name].namesake])
async def test_namesake_is_not_ours(bench: Bench, provider: str) -> None:
    """An account that bears the name, and otherwise is somebody else's, is never taken for ours."""
    assert not isinstance(await opened_meanwhile(bench, provider, KNOWN[provider].namesake), Found)


@every_look_up
async def test_late_account_stops_the_next_create(bench: Bench, provider: str) -> None:
    """What came after its absence was proven may be ours: no second one is opened, by us or by the provider."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    _, doubt = await cut(bench, handler, order, Fault.CUT_AFTER_CREATE)
    again = replace(order, sent_before=True, baseline=doubt.baseline)
    prepared = await handler.prepare(again)
    if isinstance(prepared, Prepared):
        await handler.create(again, prepared)
    assert bench.sandbox.creates(provider).made == 1
