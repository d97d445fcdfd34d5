"""Which rule applies to which request, how often, and what a rule may not say."""

from typing import Any

import pytest

from worker.sandbox import Fault, Operation, Rule, Sandbox
from worker.sandbox.fault_plan import FaultPlan
from worker.sandbox.rule_json import read_rule, show_rule

CUT = Fault.CUT_BEFORE_CREATE


def _hits(plan: FaultPlan, count: int, **call: Any) -> list[bool]:
    values = {"provider": "phone_com", "operation": Operation.CREATE, "body": b"", "query": "", **call}
    return [plan.choose(**values).fault is not None for _ in range(count)]


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan(["phone_com", "gateway360"], seed=7)


@pytest.mark.parametrize(
    ("rule", "call", "hits", "reason"),
    [
        ({}, {}, 1, "creates of every provider by default"),
        ({}, {"operation": Operation.LOOK_UP}, 0, "only creates by default"),
        ({"operation": None}, {"operation": Operation.TOKEN}, 1, "None is every operation"),
        ({"operation": Operation.PROBE}, {}, 0, "another operation"),
        ({"provider": "phone_com"}, {}, 1, "this provider"),
        ({"provider": "gateway360"}, {}, 0, "another provider"),
        ({"match": "order-7"}, {"body": b'{"username":"order-7"}'}, 1, "stands in the body"),
        ({"match": "order-7"}, {"body": b'{"username":"order-8"}'}, 0, "stands nowhere"),
        (
            {"match": "filters[username]=a"},
            {"query": "filters%5Busername%5D=a"},
            True,
            "in the decoded query",
        ),
        ({"match": "limit=5"}, {"query": "limit=5"}, 1, "in the raw query"),
        ({"match": "\ud800"}, {"body": b"x"}, 0, "a lone surrogate is in nothing"),
        ({"rate": 0}, {}, 0, "never"),
    ],
)
def test_a_rule_singles_out_requests(
    plan: FaultPlan, rule: dict[str, Any], call: dict[str, Any], hits: int, reason: str
) -> None:
    """A rule applies where provider, operation and match all fit."""
    plan.add(Rule(fault=CUT, **rule))
    assert sum(_hits(plan, 1, **call)) == hits, reason


def test_times_bounds_a_rule(plan: FaultPlan) -> None:
    """A rule with times applies so often and then no more."""
    plan.add(Rule(fault=CUT, times=2))
    assert _hits(plan, 4) == [True, True, False, False]
    assert [planned.applied for planned in plan.planned()] == [2]


def test_the_first_fitting_rule_applies(plan: FaultPlan) -> None:
    """Of two rules that fit the earlier one applies until it is used up."""
    plan.add(Rule(fault=Fault.FORBIDDEN, times=1), Rule(fault=CUT))
    first, second = (plan.choose("phone_com", Operation.CREATE, b"", "").fault for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.rule.fault, second.rule.fault) == (Fault.FORBIDDEN, CUT)


def test_rates_come_from_the_seed(plan: FaultPlan) -> None:
    """The same seed draws the same faults, another seed others, and the share is about the rate."""
    rule = Rule(fault=CUT, rate=0.3)
    same, other = FaultPlan(["phone_com"], seed=7), FaultPlan(["phone_com"], seed=8)
    for each in (plan, same, other):
        each.add(rule)
    drawn = _hits(plan, 1000)
    assert drawn == _hits(same, 1000)
    assert drawn != _hits(other, 1000)
    assert 240 < sum(drawn) < 360


def test_reset_draws_again_and_clear_does_not(plan: FaultPlan) -> None:
    """Both drop every rule; reset also goes back to the start of the seed."""
    rule = Rule(fault=CUT, rate=0.5)
    plan.add(rule)
    drawn = _hits(plan, 50)
    plan.reset()
    assert plan.planned() == ()
    plan.add(rule)
    assert _hits(plan, 50) == drawn
    plan.clear()
    plan.add(rule)
    assert _hits(plan, 50) != drawn


def test_rules_are_added_all_or_none(plan: FaultPlan) -> None:
    """A rule for an unknown provider is refused, and with it those beside it."""
    with pytest.raises(ValueError, match="there is no provider 'nobody'"):
        plan.add(Rule(fault=CUT), Rule(fault=CUT, provider="nobody"))
    assert plan.planned() == ()
    assert plan.add(Rule(fault=CUT), Rule(fault=CUT)) == (1, 2)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"fault": CUT, "seconds": 1}, "has no option seconds"),
        ({"fault": Fault.CUT_AFTER_CREATE, "creates": False}, "has no option creates"),
        ({"fault": Fault.STATUS}, "needs status"),
        ({"fault": Fault.REDIRECT, "status": 302}, "needs location"),
        ({"fault": Fault.LATE_ANSWER}, "needs seconds or until"),
        ({"fault": Fault.SLOW, "seconds": 1, "until": "x"}, "exclude each other"),
        ({"fault": Fault.SLOW, "seconds": -1}, "seconds is not negative"),
        ({"fault": Fault.SLOW, "seconds": float("inf")}, "seconds is not negative"),
        ({"fault": Fault.SLOW, "seconds": float("nan")}, "seconds is not negative"),
        ({"fault": CUT, "rate": 1.1}, "rate is from 0 to 1"),
        ({"fault": CUT, "times": 0}, "times is at least 1"),
        ({"fault": Fault.STATUS, "status": 100}, "status is from 200 to 599"),
        ({"fault": Fault.HUGE_BODY, "size": 0}, "size is at least 1"),
    ],
)
def test_senseless_rules_are_refused(rule: dict[str, Any], sentence: str) -> None:
    """A rule that could not do what it says is refused with a sentence that says why."""
    with pytest.raises(ValueError, match=sentence):
        Rule(**rule)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "a rule is an object that names its fault"),
        ("slow", "a rule is an object that names its fault"),
        ({}, "a rule is an object that names its fault"),
        ({"fault": "explosion"}, "'explosion' is not a valid Fault"),
        ({"fault": None}, "fault is of type str"),
        ({"fault": "slow", "secs": 1}, "a rule has no secs"),
        ({"fault": "slow", "seconds": "1"}, "seconds is of type int or float"),
        ({"fault": "slow", "seconds": True}, "seconds is of type int or float"),
        ({"fault": "cut_before_create", "times": 1.5}, "times is of type int"),
        ({"fault": "cut_before_create", "rate": None}, "rate is of type int or float"),
        ({"fault": "cut_before_create", "operation": "destroy"}, "'destroy' is not a valid Operation"),
        ({"fault": "wrong_json", "drop": ["id", 1]}, "drop holds strings only"),
        ({"fault": "status", "status": 200, "headers": {"A": 1}}, "headers holds strings only"),
        ({"fault": "html_with_200", "creates": 1}, "creates is of type bool"),
    ],
)
def test_senseless_json_is_refused(given: object, sentence: str) -> None:
    """JSON that is no rule is refused with a sentence that says why."""
    with pytest.raises(ValueError, match=sentence):
        read_rule(given)


@pytest.mark.parametrize(
    "rule",
    [
        Rule(fault=CUT),
        Rule(fault=CUT, operation=None, provider="phone_com", match="x", times=3, rate=0.5),
        Rule(fault=Fault.WRONG_JSON, drop=("key", "secret")),
        Rule(fault=Fault.STATUS, status=418, body="x", headers={"A": "b"}, creates=True),
        Rule(fault=Fault.SLOW, until="door", operation=Operation.LOOK_UP),
    ],
)
def test_rules_survive_json(rule: Rule) -> None:
    """A rule that is shown and read again is the same rule."""
    assert read_rule(show_rule(rule)) == rule


async def test_one_request_can_be_singled_out_on_the_wire(caller: Any, sandbox: Sandbox) -> None:
    """With match only the request that bears the text fails."""
    sandbox.faults.add(Rule(fault=Fault.UNAVAILABLE, match="order-2"))
    statuses = [(await caller.create("phone_com", username=f"order-{n}")).status for n in (1, 2, 3)]
    assert statuses == [200, 503, 200]


async def test_match_reads_the_query_of_a_look_up(caller: Any, sandbox: Sandbox) -> None:
    """A look-up can be singled out by the name it asks for, however the client spells its query."""
    rule = Rule(fault=Fault.UNAVAILABLE, operation=Operation.LOOK_UP, match="filters[username]=bob")
    sandbox.faults.add(rule)
    for wanted, status in (("ann", 200), ("bob", 503)):
        reply = await caller.get("phone_com", caller.path("phone_com"), **{"filters[username]": wanted})
        assert reply.status == status
