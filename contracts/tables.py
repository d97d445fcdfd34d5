"""The generated parts of `contracts/README.md`: each begins and ends with a comment that names it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from contracts.examples import forms
from contracts.providers import ProviderContract, discover
from contracts.reason import CATALOGUE

Schema = Mapping[str, Any]


class SentField(NamedTuple):
    """One row of the table "what is sent"."""

    ours: str
    """Dotted name of our parameter; empty for what does not come from the parameters."""
    vendors: str
    """The vendor's name for it, dotted where nested."""
    kind: str
    required: str
    rule: str


def with_generated_parts(text: str) -> str:
    """Give `text` with each generated part made anew.

    Raises:
        ValueError: a part's opening or closing comment is missing.
    """
    for name, make in _PARTS.items():
        opening, closing = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        before, opened, rest = text.partition(opening)
        _, closed, after = rest.partition(closing)
        if not (opened and closed):
            raise ValueError(f"the comments {opening} and {closing} are missing")
        text = f"{before}{opening}\n\n{make()}\n\n{closing}{after}"
    return text


def sent_fields(provider: ProviderContract) -> tuple[SentField, ...]:
    """Give, for everything that reaches the vendor, where it comes from and what holds for it.

    Raises:
        TypeError: a parameter does not say what the table tells of it, or is of a kind that the table has no word for.
    """
    schema = provider.Parameters.model_json_schema()
    try:
        rows = tuple(_rows(schema, schema.get("$defs", {}), "", ""))
    except TypeError as problem:
        raise TypeError(f"contracts.providers.{provider.NAME}: {problem}") from None
    elsewhere = (
        SentField("", extra.vendor_field, "", _ORIGINS[extra.origin], extra.rule)
        for extra in provider.ALSO_SENT
    )
    return (*rows, *elsewhere)


_ORIGINS: Final = {"settings": "from the settings", "request": "from the request", "generated": "generated"}


def _rows(schema: Schema, definitions: Schema, ours: str, vendors: str) -> Iterator[SentField]:
    for name, field in schema["properties"].items():
        shape = _not_null(field)
        our_name = ours + name
        vendor_name = vendors + _told(
            field, "x-sent-as", our_name, "its vendor's name: json_schema_extra=sent_as(...)"
        )
        nested = definitions.get(shape.get("$ref", "").rpartition("/")[2], {})
        if "properties" in nested:
            yield from _rows(nested, definitions, f"{our_name}.", f"{vendor_name}.")
        else:
            required = _required(
                always=name in schema.get("required", ()), condition=field.get("x-required-when")
            )
            rule = _told(field, "description", our_name, "a description").partition("Source:")[0].strip()
            yield SentField(our_name, vendor_name, _kind(shape, our_name), required, rule)


def _told(field: Schema, mark: str, name: str, words: str) -> str:
    if not isinstance(field.get(mark), str):
        raise TypeError(f"the parameter {name} lacks {words}")
    return str(field[mark])


def _not_null(field: Schema) -> Schema:
    """Give the one shape of a field that may also be null."""
    shapes = [shape for shape in field.get("anyOf", ()) if shape.get("type") != "null"]
    return shapes[0] if len(shapes) == 1 else field


def _required(*, always: bool, condition: str | None) -> str:
    if always:
        return "yes"
    return f"when {condition}" if condition else "no"


def _kind(shape: Schema, name: str) -> str:
    match shape:
        case {"type": "string"}:
            return _KINDS.get(shape.get("format", ""), "text") + _bounds(shape)
        case {"type": "array", "maxItems": most, "items": items}:
            return f"list of at most {most}: {_kind(items, name)}"
        case {"type": "boolean" | "integer" as kind}:
            return _KINDS[kind]
        case _:
            raise TypeError(
                f"the parameter {name} is of a kind that the table of what is sent has no word for: take a text, "
                "a whole number, true or false, a closed model, or a list of such values with a max_length"
            )


_KINDS: Final = {
    "boolean": "true or false",
    "integer": "whole number",
    "email": "e-mail address",
    "password": "secret text",
    "uuid": "UUID",
}


def _bounds(shape: Schema) -> str:
    return f", {shape['minLength']} to {shape['maxLength']} characters" if "maxLength" in shape else ""


def _sent() -> str:
    return "\n\n".join(_sent_to(provider) for provider in discover().values())


def _sent_to(provider: ProviderContract) -> str:
    header = ("parameter", "vendor's field", "type", "required", "rule")
    rows = (
        (_code(row.ours), _code(row.vendors), row.kind, row.required, row.rule)
        for row in sent_fields(provider)
    )
    return f"#### {provider.NAME}\n\n{_table(header, rows)}"


def _given() -> str:
    header = ("provider", "`account_id` is", "`account` holds", "`credentials` hold")
    return _table(header, (_given_by(provider) for provider in discover().values()))


def _given_by(provider: ProviderContract) -> tuple[str, ...]:
    facts = [_code(name) for name in provider.Account.model_fields]
    secrets = [_code(name) for name in provider.Credentials.model_fields]
    return _code(provider.NAME), facts[0], ", ".join(facts), ", ".join(secrets) or "nothing"


def _reasons() -> str:
    header = ("code", "meaning", "sent again", "what to do")
    return _table(
        header,
        (
            (_code(reason.code), reason.meaning, reason.retried.replace("_", " "), reason.what_to_do)
            for reason in CATALOGUE.values()
        ),
    )


def _forms() -> str:
    return "\n\n".join(
        f"{_FORM_WORDS[name]}\n\n```json\n{json.dumps(form, indent=2, ensure_ascii=False)}\n```"
        for name, form in forms(discover()[_SHOWN_PROVIDER]).items()
    )


_SHOWN_PROVIDER: Final = "gateway360"
_FORM_WORDS: Final = {
    "structured": "**Structured** (recommended): everything in the body, marked by the content type.",
    "binary_colon": "**Binary, `cloudEvents:`** (the CloudEvents AMQP binding): the body is `data`.",
    "binary_underscore": "**Binary, `cloudEvents_`** (the same binding, for clients that refuse a colon).",
    "binary_ce": "**Binary, `ce-`** (CloudEvents SDKs, Knative).",
    "plain": "**Plain JSON**: the body is `data`; AMQP properties take the place of the attributes.",
}


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (header, tuple("---" for _ in header), *rows)
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


_PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "forms": _forms,
    "sent": _sent,
    "given": _given,
    "reasons": _reasons,
}
