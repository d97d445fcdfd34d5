"""Counting: what is surplus, lost, misreported and told twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.peers.counting import OpenAccount, accounts_of, count, rows_of
from tests.peers.orders import draw_orders
from worker.sandbox import Sandbox

_KEYS = frozenset({"a", "b"})


def _account(key: str | None, number: str, provider: str = "postcode_eu") -> OpenAccount:
    return OpenAccount(provider, number, key)


def _event(outcome: str, event: str = "e1", account: str | None = None) -> dict[str, Any]:
    return {"id": event, "data": {"outcome": outcome, "account_id": account}}


_A = _account("a", "1")
_B = _account("b", "2")
_TOLD_A = _event("provisioned", "e1", "1")
_TOLD_B = _event("provisioned", "e2", "2")


@dataclass(frozen=True)
class Case:
    """A situation, and the figures that must come of it; those not named are none."""

    reason: str
    accounts: Sequence[OpenAccount]
    events: Mapping[str, Sequence[Mapping[str, Any]]]
    figures: Mapping[str, Any]
    rows: frozenset[str] = field(default_factory=frozenset)


_NONE = {"surplus": 0, "lost": 0, "unanswered": 0, "misreported": 0, "duplicate_events": 0, "surplus_at": {}}

CASES = (
    Case("one account and one result each is as it must be", [_A, _B], {"a": [_TOLD_A], "b": [_TOLD_B]}, {}),
    Case(
        "a second account in the name of a request is surplus",
        [_A, _B, _account("a", "3")],
        {"a": [_TOLD_A], "b": [_TOLD_B]},
        {"surplus": 1, "surplus_at": {"postcode_eu": 1}},
    ),
    Case(
        "an account that no request asked for is surplus",
        [_A, _B, _account(None, "3", "phone_com")],
        {"a": [_TOLD_A], "b": [_TOLD_B]},
        {"surplus": 1, "surplus_at": {"phone_com": 1}},
    ),
    Case(
        "a request of which nobody ever hears is lost", [_A], {"a": [_TOLD_A]}, {"lost": 1, "unanswered": 1}
    ),
    Case(
        "a request without a result that the ledger knows is late, not lost",
        [_A],
        {"a": [_TOLD_A], "b": []},
        {"unanswered": 1},
        frozenset({"a", "b"}),
    ),
    Case(
        "the same event may come again",
        [_A, _B],
        {"a": [_TOLD_A, _TOLD_A], "b": [_TOLD_B]},
        {},
    ),
    Case(
        "two results with ids of their own about one account are one too many",
        [_A, _B],
        {"a": [_TOLD_A, _event("provisioned", "e3", "1")], "b": [_TOLD_B]},
        {"duplicate_events": 1},
    ),
    Case(
        "one event id with two accounts is one too many",
        [_A, _B],
        {"a": [_TOLD_A, _event("provisioned", "e1", "9")], "b": [_TOLD_B]},
        {"duplicate_events": 1},
    ),
    Case(
        "held is open: what ends the request afterwards is no duplicate",
        [_A, _B],
        {"a": [_event("held", "e0"), _TOLD_A], "b": [_TOLD_B]},
        {},
    ),
    Case(
        "told as refused although the account exists is misreported",
        [_A, _B],
        {"a": [_event("rejected")], "b": [_TOLD_B]},
        {"misreported": 1},
    ),
    Case(
        "told as refused without an account is the truth",
        [_B],
        {"a": [_event("rejected")], "b": [_TOLD_B]},
        {},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_each_figure_counts_what_its_name_says(case: Case) -> None:
    """Every situation changes the figures it should, and no other."""
    counted = count(_KEYS, case.accounts, case.events, case.rows)

    assert {name: getattr(counted, name) for name in _NONE} == {**_NONE, **case.figures}, case.reason
    assert counted.accounts == len(case.accounts)


def test_outcomes_are_the_last_ones() -> None:
    """A request that was held and then provisioned counts as provisioned."""
    counted = count(_KEYS, [_A], {"a": [_event("held", "e0"), _TOLD_A], "b": [_event("held")]})

    assert counted.outcomes == {"held": 1, "provisioned": 1}


def test_a_ledger_that_is_not_there_knows_nothing(tmp_path: Path) -> None:
    """Workers without a ledger are counted all the same."""
    assert rows_of(tmp_path / "ledger.db") == frozenset()


async def test_a_sandbox_where_nothing_was_asked_holds_no_account() -> None:
    """Nothing is counted that was never opened."""
    async with Sandbox() as sandbox:
        assert accounts_of(sandbox, {"order-0-abc": "order-0"}) == []


def test_the_seed_decides_the_orders() -> None:
    """The same seed gives the same requests, another one other names, and no name comes twice."""
    orders = draw_orders(200, seed=1)

    assert orders == draw_orders(200, seed=1)
    assert {order.name for order in orders}.isdisjoint(order.name for order in draw_orders(200, seed=2))
    assert len({order.name for order in orders}) == 200
