"""The plan: which rules are in force, how often each has applied, and which of them fit a request."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote_plus

from worker.sandbox.faults import Fault, Rule
from worker.sandbox.provider import Operation


@dataclass(slots=True)
class PlannedRule:
    """A rule in force, with the number it was given and how often it has applied."""

    number: int
    rule: Rule
    applied: int = 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """What shall happen to one request: a wait before everything, and one other fault."""

    slow: Rule | None = None
    fault: PlannedRule | None = None


_NOTHING = Chosen()


class FaultPlan:
    """Rules in the order they were added. For each request the first fitting `slow` rule applies, and the
    first other.
    """

    def __init__(self, providers: Collection[str], seed: int) -> None:
        self._providers = frozenset(providers)
        self._seed = seed
        self._last_number = 0
        self.reset()

    def reset(self) -> None:
        """Drops every rule and draws from the start of the seed again."""
        self._draws = random.Random(self._seed)
        self._planned: list[PlannedRule] = []

    def clear(self) -> None:
        """Drops every rule."""
        self._planned.clear()

    def add(self, *rules: Rule) -> tuple[int, ...]:
        """Puts rules in force, all or none, and gives their numbers.

        Raises:
            ValueError: A rule names a provider that there is not.
        """
        for rule in rules:
            if rule.provider is not None and rule.provider not in self._providers:
                raise ValueError(f"there is no provider {rule.provider!r}")
        return tuple(self._add(rule) for rule in rules)

    def planned(self) -> tuple[PlannedRule, ...]:
        """Every rule in force, used up ones included."""
        return tuple(self._planned)

    def choose(self, provider: str, operation: Operation, body: bytes, query: str) -> Chosen:
        """Picks what applies to a request, and counts it as applied."""
        if not self._planned:
            return _NOTHING
        slow, fault = None, None
        for planned in self._planned:
            is_slow = planned.rule.fault is Fault.SLOW
            if (slow if is_slow else fault) is not None:
                continue
            if not (_fits(planned, provider, operation, body, query) and self._drawn(planned.rule.rate)):
                continue
            planned.applied += 1
            if is_slow:
                slow = planned.rule
            else:
                fault = planned
        return Chosen(slow, fault)

    def give_back(self, planned: PlannedRule) -> None:
        """Takes back that a rule applied: the provider refused the request for reasons of its own."""
        planned.applied -= 1

    def _add(self, rule: Rule) -> int:
        self._last_number += 1
        self._planned.append(PlannedRule(self._last_number, rule))
        return self._last_number

    def _drawn(self, rate: float) -> bool:
        return rate >= 1 or self._draws.random() < rate


def _fits(planned: PlannedRule, provider: str, operation: Operation, body: bytes, query: str) -> bool:
    rule = planned.rule
    return (
        rule.provider in (None, provider)
        and rule.operation in (None, operation)
        and (rule.times is None or planned.applied < rule.times)
        and (rule.match is None or _mentions(rule.match, body, query))
    )


def _mentions(text: str, body: bytes, query: str) -> bool:
    return text.encode("utf-8", "surrogatepass") in body or text in query or text in unquote_plus(query)
