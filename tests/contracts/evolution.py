"""What a change of a schema breaks, by the table "How the wire changes" of `contracts/README.md`.

For the subset of JSON Schema that is exported, and careful: what cannot be judged by its look (another pattern,
another condition) counts as a break, until a person has released it as a new major version.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Schema = Mapping[str, Any]

_LOWER = ("minLength", "minItems", "minimum", "exclusiveMinimum")
_UPPER = ("maxLength", "maxItems", "maximum", "exclusiveMaximum")
_CONDITIONS = ("if", "then", "else")
_ANY_TYPE = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})


class Side(NamedTuple):
    """A place in a schema, with the definitions that its references lead to."""

    schema: Schema
    definitions: Schema

    def at(self, schema: Schema) -> "Side":
        """A place below."""
        reference = schema.get("$ref")
        if reference is None:
            return Side(schema, self.definitions)
        return Side({**self.definitions[reference.rpartition("/")[2]], **schema}, self.definitions)

    def below(self, keyword: str) -> "dict[str, Side]":
        """The places under a keyword that names them."""
        return {name: self.at(one) for name, one in self.schema.get(keyword, {}).items()}

    @property
    def types(self) -> frozenset[str]:
        """What kinds of value it takes."""
        if "anyOf" in self.schema:
            return frozenset().union(*(self.at(one).types for one in self.schema["anyOf"]))
        if "type" in self.schema:
            return frozenset({self.schema["type"]})
        return frozenset({_type_of(value) for value in self.values or ()}) or _ANY_TYPE

    @property
    def values(self) -> frozenset[Any] | None:
        """The only values it takes; None where it takes any of its types."""
        if "const" in self.schema:
            return frozenset({self.schema["const"]})
        choices = self.schema.get("enum") or [one.get("const") for one in self.schema.get("oneOf", ())]
        return frozenset(choices) if choices else None

    def of_type(self, kind: str) -> "Side":
        """The alternative that takes values of this kind."""
        alternatives = (self.at(one) for one in self.schema.get("anyOf", ()))
        return next((one for one in alternatives if kind in one.types), self)


def _type_of(value: object) -> str:
    return {str: "string", bool: "boolean", int: "integer"}.get(type(value), "null")


Judge = Callable[[Side, Side], Iterator[str]]


class Rules(NamedTuple):
    """What must hold between a place as it was and as it is."""

    whole: Judge
    """Of the place with all its alternatives."""
    kind: Judge
    """Of the alternative for one kind of value."""


def broken_requests(old: Schema, new: Schema) -> list[str]:
    """What publishers who wrote by the old schema may no longer write."""
    return list(_walk(_top(old), _top(new), "", Rules(_request, _request_of_kind)))


def broken_results(old: Schema, new: Schema) -> list[str]:
    """What consumers who read by the old schema can no longer rely on."""
    return list(_walk(_top(old), _top(new), "", Rules(_result, _result_of_kind)))


def broken_catalogue(old: Schema, new: Schema) -> list[str]:
    """Codes that are gone: a code, once published, stays."""
    gone = (_top(old).values or frozenset()) - (_top(new).values or frozenset())
    return [f": {code} is gone" for code in sorted(gone)]


def _top(schema: Schema) -> Side:
    return Side(schema, schema.get("$defs", {})).at(schema)


def _walk(old: Side, new: Side, place: str, rules: Rules) -> Iterator[str]:
    """Judge this place, and every place below that both have."""
    yield from (f"{place}: {what}" for what in rules.whole(old, new))
    for one, other in _alternatives(old, new):
        yield from (f"{place}: {what}" for what in rules.kind(one, other))
        others = other.below("properties")
        for name, below in one.below("properties").items():
            if name in others:
                yield from _walk(below, others[name], f"{place}/{name}", rules)
        if "items" in one.schema and "items" in other.schema:
            yield from _walk(
                one.at(one.schema["items"]), other.at(other.schema["items"]), f"{place}/*", rules
            )


def _alternatives(old: Side, new: Side) -> Iterator[tuple[Side, Side]]:
    """The two sides for each kind of value that both take, every pair once."""
    pairs: list[tuple[Side, Side]] = []
    for kind in sorted(old.types & new.types):
        pair = old.of_type(kind), new.of_type(kind)
        if pair not in pairs:
            pairs.append(pair)
    yield from pairs


def _request(old: Side, new: Side) -> Iterator[str]:
    yield from (f"no {kind} any more" for kind in sorted(old.types - new.types))
    if "default" in old.schema and old.schema["default"] != new.schema.get("default"):
        yield "means something else when it is left out"


def _request_of_kind(old: Side, new: Side) -> Iterator[str]:
    yield from _gone(old, new)
    yield from (f"{name} is required now" for name in sorted(_required(new) - _required(old)))
    if new.values is not None and (old.values is None or not old.values <= new.values):
        yield "a value is not taken any more"
    yield from (f"{name} is tighter" for name in _LOWER if _bound(new, name, -1) > _bound(old, name, -1))
    yield from (f"{name} is tighter" for name in _UPPER if _bound(new, name, 1) < _bound(old, name, 1))
    for name in ("pattern", *_CONDITIONS):
        if name in new.schema and new.schema[name] != old.schema.get(name):
            yield f"{name} is another"
    if (
        new.schema.get("additionalProperties") is False
        and old.schema.get("additionalProperties") is not False
    ):
        yield "closed now"


def _result(old: Side, new: Side) -> Iterator[str]:
    yield from (f"{kind} where it never was" for kind in sorted(new.types - old.types))


def _result_of_kind(old: Side, new: Side) -> Iterator[str]:
    yield from _gone(old, new)
    yield from (f"{name} may be missing now" for name in sorted(_required(old) - _required(new)))
    if old.values is not None and (new.values is None or not new.values <= old.values):
        yield "a value that never was"
    if "pattern" in old.schema and new.schema.get("pattern") != old.schema["pattern"]:
        yield "pattern is another"
    yield from (f"{name} is looser" for name in _LOWER if _bound(new, name, -1) < _bound(old, name, -1))


def _gone(old: Side, new: Side) -> Iterator[str]:
    names = old.schema.get("properties", {}).keys() - new.schema.get("properties", {}).keys()
    yield from (f"{name} is gone" for name in sorted(names))


def _required(side: Side) -> set[str]:
    return set(side.schema.get("required", ()))


def _bound(side: Side, name: str, sign: int) -> float:
    """A bound that is not there is infinitely far away."""
    return float(side.schema.get(name, sign * float("inf")))
