"""Rules as JSON, the way the control port takes and shows them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from worker.sandbox.faults import Fault, Rule
from worker.sandbox.provider import Operation

_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "fault": (str,),
    "provider": (str,),
    "operation": (str,),
    "match": (str,),
    "times": (int,),
    "rate": (int, float),
    "seconds": (int, float),
    "until": (str,),
    "status": (int,),
    "body": (str,),
    "headers": (dict,),
    "location": (str,),
    "creates": (bool,),
    "drop": (list,),
    "size": (int,),
}


def read_rule(given: object) -> Rule:
    """Reads a rule as the control port takes it; `"operation": null` means every operation.

    Raises:
        ValueError: It is no object, names something unknown, or a value has the wrong type or range.
    """
    if not (isinstance(given, dict) and "fault" in given):
        raise ValueError("a rule is an object that names its fault")
    for name, value in given.items():
        _check_json(name, value)
    values = dict(given)
    values["fault"] = Fault(given["fault"])
    if given.get("operation") is not None:
        values["operation"] = Operation(given["operation"])
    if given.get("drop") is not None:
        values["drop"] = tuple(given["drop"])
    return Rule(**values)


def show_rule(rule: Rule) -> dict[str, Any]:
    """The rule as `read_rule` takes it, without the options that were left out."""
    shown = {name: value for name, value in asdict(rule).items() if value is not None or name == "operation"}
    if rule.drop is not None:
        shown["drop"] = list(rule.drop)
    return shown


def _check_json(name: str, value: object) -> None:
    types = _JSON_TYPES.get(name)
    if types is None:
        raise ValueError(f"a rule has no {name}; it has {', '.join(_JSON_TYPES)}")
    if value is None and name not in {"fault", "rate"}:
        return
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ValueError(f"{name} is of type {' or '.join(kind.__name__ for kind in types)}")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not all(isinstance(element, str) for element in inner):
        raise ValueError(f"{name} holds strings only")
