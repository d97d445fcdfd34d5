"""Each row of each provider's rules decides when it should, says what it should, and none is left untried."""

import pytest

from tests.providers.bench import PROVIDERS, Bench
from tests.providers.cases import Case, common
from tests.providers.known import KNOWN
from worker.core.rules import COMMON
from worker.core.verdict import Verdict
from worker.providers import discover

CASES = {name: (*common(name, known.own_shape), *known.cases) for name, known in KNOWN.items()}
ROWS = [
    pytest.param(name, case, id=f"{name}-{case.rule_id}") for name, cases in CASES.items() for case in cases
]


@pytest.mark.parametrize(("provider", "case"), ROWS)
async def test_row(bench: Bench, provider: str, case: Case) -> None:
    """What the sandbox is told to answer is judged by the row, as the row is meant."""
    case.arrange(bench)
    handler = bench.handler(provider, **case.settings)
    order = bench.order(handler, case.parameters, **case.order)
    outcome = await bench.run(handler, order, vanishes=case.vanishes, too_late=case.too_late)
    seen = (outcome.verdict, outcome.reason, outcome.retry, outcome.effect)
    assert (outcome.rule_id, seen) == (case.rule_id, case.expected), case.reason
    assert not (case.too_late and bench.sandbox.creates(provider).attempted), case.reason
    assert (outcome.created is not None) == (outcome.verdict is Verdict.DONE), case.reason


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_row_is_tried(provider: str) -> None:
    """A row that no case exercises has not been shown to do anything."""
    rules = {rule.id for rule in discover()[provider].RULES}
    assert {case.rule_id for case in CASES[provider]} == rules


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_row_has_a_source(provider: str) -> None:
    """Each row says where it is written, has an id of its own, and the common rows close the list."""
    rules = tuple(discover()[provider].RULES)
    assert all(rule.source for rule in rules)
    assert len({rule.id for rule in rules}) == len(rules)
    assert rules[-len(COMMON) :] == COMMON


@pytest.mark.parametrize("provider", PROVIDERS)
def test_only_a_refusal_by_somebody_else_is_sent_again(provider: str) -> None:
    """A row may say *retry* only with *not done*, and *in doubt* is never sent again by itself."""
    assert all(rule.verdict is Verdict.NOT_DONE for rule in discover()[provider].RULES if rule.retry)
