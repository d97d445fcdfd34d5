"""The settings for people: as they are now, as a reference, and as a file to begin with."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from worker.scrubber import is_telling, texts_in
from worker.settings.catalogue import ALONE, PROVIDERS, ProviderKinds, Setting, masked, settings_of, shown
from worker.settings.groups import Settings
from worker.settings.sources import DEFAULT


class Row(NamedTuple):
    """One setting as it is now; `name` is its variable, a secret `value` is masked."""

    name: str
    value: str
    origin: str
    description: str


def show(settings: Settings) -> list[Row]:
    """Every setting of every group and of each configured provider, with where its value came from."""
    kinds = {name: type(provider) for name, provider in settings.providers.items()}
    return [_row(settings, setting) for setting in settings_of(kinds)]


def reference(provider_kinds: ProviderKinds) -> str:
    """Markdown with one table for every group: variable, what it takes, default, meaning."""
    lines = ["| variable | takes | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {takes} | | {meaning} |" for name, (takes, meaning) in ALONE.items()]
    for group, members in _grouped(settings_of(provider_kinds)):
        lines += ["", f"### `{group}`", "", "| variable | takes | default | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{setting.variable}` | {_takes(setting)} | {_default(setting)} | {_cell(setting.description)} |"
            for setting in members
        ]
    return "\n".join(lines) + "\n"


def environment_example(provider_kinds: ProviderKinds) -> str:
    """A file of variables to begin with: everything commented out, each with its meaning."""
    lines = [f"# {meaning}\n#{name}=" for name, (_, meaning) in ALONE.items()]
    for group, members in _grouped(settings_of(provider_kinds)):
        lines.append(f"\n# --- {group} ---")
        lines += [f"# {setting.description}\n#{setting.variable}={setting.example}" for setting in members]
    return "\n".join(lines) + "\n"


def secret_values(settings: Settings) -> Iterator[str]:
    """Every secret IN CLEAR, passwords inside addresses also by themselves; only to be masked in logs."""
    kinds = {name: type(provider) for name, provider in settings.providers.items()}
    for setting in settings_of(kinds):
        value = _value(settings, setting)
        if isinstance(value, SecretStr) and value.get_secret_value() != setting.default:
            yield value.get_secret_value()
            yield from _passwords(value.get_secret_value())
        elif setting.is_secret:
            # Beside a payment token there may be a country or a plan: a word that half of the log may hold.
            yield from filter(is_telling, texts_in(value))


def _row(settings: Settings, setting: Setting) -> Row:
    value = _value(settings, setting)
    is_default = isinstance(value, SecretStr) and value.get_secret_value() == setting.default
    text = setting.default if is_default else (masked if setting.is_secret else shown)(value)
    origin = settings.origins.get(setting.dotted, DEFAULT)
    return Row(setting.variable, text or "not set", origin, setting.description)


def _value(settings: Settings, setting: Setting) -> object:
    group, *rest = setting.path
    model: BaseModel = settings.providers[rest[0]] if group == PROVIDERS else getattr(settings, group)
    return getattr(model, rest[-1])


def _passwords(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return
    if password:
        yield password
        yield unquote(password)


def _grouped(settings: Iterable[Setting]) -> Iterator[tuple[str, list[Setting]]]:
    groups: dict[str, list[Setting]] = {}
    for setting in settings:
        groups.setdefault(".".join(setting.path[:-1]), []).append(setting)
    yield from groups.items()


def _takes(setting: Setting) -> str:
    return f"{setting.allowed}, secret" if setting.is_secret else setting.allowed


def _default(setting: Setting) -> str:
    if setting.is_required:
        return "required"
    return f"`{setting.default}`" if setting.default else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
