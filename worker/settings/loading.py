"""From the sources to checked settings, or to one error that tells everything that is wrong."""

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from worker.core.errors import ConfigurationError
from worker.settings.catalogue import GROUPS, PROVIDERS, ProviderKinds, Setting, settings_of
from worker.settings.groups import Settings
from worker.settings.rules import broken_rules
from worker.settings.sources import Found, read_sources

_Model = TypeVar("_Model", bound=BaseModel)
_Problem = tuple[tuple[str, ...], str]


def load(provider_kinds: ProviderKinds, environment: Mapping[str, str] = os.environ) -> Settings:
    """Everything that is set, checked.

    Args:
        provider_kinds: The class of every provider's settings, by its name. A provider of which nothing is set
            is not configured.
        environment: Variables by name; those that begin with ``PROVISIONER_`` count.

    Raises:
        ConfigurationError: something is wrong. Its text has one block for every problem and shows no values.
    """
    settings = settings_of(provider_kinds)
    found = read_sources(settings, environment)
    values = _nested(found)
    problems: list[_Problem] = []
    groups = _validated(GROUPS, (), values, problems)
    configured = {name: kind for name, kind in provider_kinds.items() if (PROVIDERS, name) in values}
    providers = _validated(configured, (PROVIDERS,), values, problems)
    problems.extend(broken_rules(groups, providers))
    if found.problems or problems:
        raise ConfigurationError(_page([*found.problems, *_blocks(problems, settings, found)]))
    origins = {setting.dotted: origin for setting, origin in found.origins.items()}
    return Settings.model_validate({**groups, "providers": providers, "origins": origins})


def _nested(found: Found) -> dict[tuple[str, ...], dict[str, object]]:
    """The values of each group by field."""
    groups: dict[tuple[str, ...], dict[str, object]] = {}
    for setting, value in found.values.items():
        groups.setdefault(setting.path[:-1], {})[setting.path[-1]] = value
    return groups


def _validated(
    kinds: Mapping[str, type[_Model]],
    above: tuple[str, ...],
    values: Mapping[tuple[str, ...], Mapping[str, object]],
    problems: list[_Problem],
) -> dict[str, _Model]:
    """Those groups that are valid by themselves; what is wrong with the others is added to the problems."""
    valid = {}
    for name, kind in kinds.items():
        path = (*above, name)
        given = values.get(path, {})
        try:
            valid[name] = kind.model_validate(given)
        except ValidationError as error:
            problems += [
                ((*path, *_field(detail)), _sentence(detail, given if above else {}))
                for detail in error.errors(include_url=False, include_input=False)
            ]
    return valid


def _field(detail: Mapping[str, Any]) -> tuple[str, ...]:
    # Deeper steps are places in a list or keys of a mapping: what was given, not what can be set.
    return tuple(str(step) for step in detail["loc"][:1])


def _sentence(detail: Mapping[str, Any], given: Mapping[str, object]) -> str:
    """What must be, or nothing when the setting's own description of what it takes says it best."""
    match detail["type"]:
        case "missing":
            return "must be set"
        case "value_error":
            words = str(detail["msg"]).removeprefix("Value error, ")
            # Whoever wrote a provider's check may have quoted what was given.
            return "" if any(text in words for text in map(str, given.values()) if len(text) > 3) else words
        case "string_too_short":
            return f"must have at least {detail['ctx']['min_length']} character(s)"
        case "string_too_long":
            return f"must have at most {detail['ctx']['max_length']} character(s)"
        case _:
            return ""


def _blocks(problems: list[_Problem], settings: tuple[Setting, ...], found: Found) -> list[str]:
    by_path = {setting.path: setting for setting in settings}
    return [
        _block(by_path[path], sentence, found) if path in by_path else f"{'.'.join(path)} {sentence}"
        for path, sentence in dict.fromkeys(problems)
    ]


def _block(setting: Setting, sentence: str, found: Found) -> str:
    origin = found.origins.get(setting)
    lines = [
        f"{setting.variable} {sentence or f'must be {setting.allowed}'}",
        f"    {setting.description}",
        f"    Now set by: {origin}." if origin else "    Not set anywhere.",
        f"    Example: {setting.variable}={setting.example}",
        f"    Or: secret file {setting.secret_file}; {setting.toml} in the TOML file.",
    ]
    return "\n".join(lines)


def _page(blocks: list[str]) -> str:
    count = "1 setting is" if len(blocks) == 1 else f"{len(blocks)} settings are"
    return "\n\n".join([f"{count} wrong:", *blocks])
