"""Every single setting, with its names in each place it can be set, what it takes, and an example."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from worker.core.provider import ProviderSettings
from worker.settings.groups import PREFIX, Group, Settings

ProviderKinds = Mapping[str, type[ProviderSettings]]
"""The class of every provider's settings, by the provider's name."""

PROVIDERS = "providers"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"
CONFIG_FILE = f"{PREFIX}CONFIG_FILE"
REVISION = f"{PREFIX}REVISION"

MASK = "**********"

ALONE: Mapping[str, tuple[str, str]] = {
    SECRETS_DIR: (
        "a path",
        "Folder of secret files, each named like its variable: Docker's, Kubernetes' or systemd's (%d).",
    ),
    CONFIG_FILE: ("a path", "TOML file with settings; each group is a table."),
    f"{PREFIX}ACTOR": (
        "a text",
        "Name under which operators' commands are recorded; if left out, your login, or that of who called sudo.",
    ),
    REVISION: (
        "a text",
        "What was built, such as a commit, for `provisioner_build_info`; the image sets it.",
    ),
}
"""Variables that belong to no group and can be set in the environment only: what each takes, and its meaning."""

GROUPS: Mapping[str, type[Group]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Group)
}
"""The groups that are always there, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        path: Group and field, such as ``("broker", "url")``; for a provider ``("providers", name, field)``.
        field: What pydantic knows about it.
    """

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return PREFIX + "__".join(self.path).upper()

    @property
    def secret_file(self) -> str:
        return self.variable.lower()

    @property
    def toml(self) -> str:
        return f"{self.path[-1]} under [{'.'.join(self.path[:-1])}]"

    @property
    def description(self) -> str:
        return self.field.description or ""

    @property
    def is_required(self) -> bool:
        return self.field.is_required()

    @property
    def kind(self) -> Any:
        """The type without "or nothing" and without annotations."""
        return _bare(self.field.annotation)

    @property
    def is_secret(self) -> bool:
        """By its type, or by ``json_schema_extra={"secret": True}`` where a secret may be inside of a mapping."""
        extra = self.field.json_schema_extra
        return self.kind is SecretStr or (isinstance(extra, dict) and extra.get("secret") is True)

    @property
    def is_mapping(self) -> bool:
        return _is_mapping(get_origin(self.kind) or self.kind)

    @property
    def allowed(self) -> str:
        """What it takes, in words."""
        return _allowed(self.kind, self.field)

    @property
    def default(self) -> str:
        """The default as text; empty when there is none. A secret's default is no secret."""
        default = None if self.is_required else self.field.get_default(call_default_factory=True)
        return default.get_secret_value() if isinstance(default, SecretStr) else shown(default)

    @property
    def example(self) -> str:
        """A value that would be taken."""
        if self.field.examples:
            return shown(self.field.examples[0])
        return self.default or {SecretStr: "<secret>", int: "1", float: "1", bool: "true"}.get(
            self.kind, "<text>"
        )

    def parse(self, text: str) -> object:
        """The text of a variable or a secret file as data: lists by commas or JSON, mappings as JSON."""
        if self.is_mapping:
            return _json_or(text, text)
        if get_origin(self.kind) in {tuple, list, frozenset, set}:
            return _json_or(text, [part.strip() for part in text.split(",") if part.strip()])
        return text


def settings_of(kinds: ProviderKinds) -> tuple[Setting, ...]:
    """Every setting there is, in the order in which they are shown."""
    groups: dict[tuple[str, ...], type[BaseModel]] = {(name,): group for name, group in GROUPS.items()}
    groups |= {(PROVIDERS, name): kind for name, kind in sorted(kinds.items())}
    return tuple(
        Setting((*path, name), field)
        for path, group in groups.items()
        for name, field in group.model_fields.items()
    )


def shown(value: object) -> str:
    """A value as a person would write it; secrets are masked. Empty for nothing."""
    match value:
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case bool() | float():
            return _shown_number(value)
        case tuple() | list() | set() | frozenset():
            return ",".join(shown(item) for item in value)
        case Mapping():
            return json.dumps({str(key): shown(item) for key, item in value.items()}) if value else ""
        case _:
            return "" if value is None else str(value)


def masked(value: object) -> str:
    """A secret value as a person may see it: of a mapping the names, of anything else whether it is there."""
    if isinstance(value, Mapping):
        return json.dumps(dict.fromkeys(map(str, value), MASK)) if value else ""
    return MASK if shown(value) else ""


def _shown_number(value: float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if value.is_integer() else str(value)


def _json_or(text: str, otherwise: object) -> object:
    if not text.lstrip().startswith(("[", "{")):
        return otherwise
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return otherwise


def _bare(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    rest = [part for part in get_args(annotation) if part is not type(None)]
    is_optional = len(rest) == 1 and len(get_args(annotation)) == 2 and get_origin(annotation) is not tuple
    return _bare(rest[0]) if is_optional and type(None) in get_args(annotation) else annotation


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _allowed(kind: Any, field: FieldInfo) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(option) for option in get_args(kind))
    if not isinstance(kind, type):
        return _allowed_collection(get_origin(kind))
    if issubclass(kind, Enum):
        return "one of " + ", ".join(str(option.value) for option in kind)
    words = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
    return words.get(kind, "a text") + (_bounds(field) if kind in {int, float} else "")


def _allowed_collection(origin: Any) -> str:
    if _is_mapping(origin):
        return "a JSON object (in TOML a table)"
    return "values separated by commas (in TOML a list)"


def _bounds(field: FieldInfo) -> str:
    words = {"ge": "from", "gt": "above", "le": "up to", "lt": "below"}
    return "".join(
        f" {word} {shown(getattr(bound, name))}"
        for name, word in words.items()
        for bound in field.metadata
        if getattr(bound, name, None) is not None
    )
