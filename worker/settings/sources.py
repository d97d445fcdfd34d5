"""Where settings are read from: the environment, secret files and a TOML file. Nothing is judged here yet."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from worker.settings.catalogue import ALONE, CONFIG_FILE, SECRETS_DIR, Setting
from worker.settings.groups import PREFIX

ENVIRONMENT = "environment"
SECRET_FILE = "secret file"  # noqa: S105 - the name of a source
TOML = "toml"
DEFAULT = "default"

# For every service in its namespace Kubernetes sets such variables; one named `provisioner` makes them ours.
_OF_KUBERNETES = re.compile(
    r"PROVISIONER_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What the sources hold: the value of each setting that was set, its origin, and what went wrong."""

    values: Mapping[Setting, object]
    origins: Mapping[Setting, str]
    problems: tuple[str, ...]


def read_sources(settings: Iterable[Setting], environment: Mapping[str, str]) -> Found:
    """Read all three; the environment wins over secret files, those over TOML. An empty variable counts as unset."""
    settings = tuple(settings)
    problems: list[str] = []
    ours = {
        name: text
        for name, text in environment.items()
        if name.startswith(PREFIX) and text and ("__" in name or not _OF_KUBERNETES.fullmatch(name))
    }
    layers = {
        TOML: _from_toml(settings, ours.get(CONFIG_FILE), problems),
        SECRET_FILE: _from_secret_files(settings, ours.get(SECRETS_DIR), problems),
        ENVIRONMENT: _from_environment(settings, ours, problems),
    }
    values, origins = {}, {}
    for origin, layer in layers.items():
        values.update(layer)
        origins.update(dict.fromkeys(layer, origin))
    return Found(values, origins, tuple(problems))


def _from_environment(
    settings: Iterable[Setting], texts: Mapping[str, str], problems: list[str]
) -> dict[Setting, object]:
    by_name = {setting.variable: setting for setting in settings}
    unknown = sorted(texts.keys() - by_name.keys() - ALONE.keys())
    problems += [f"{name} is no setting{did_you_mean(name, [*by_name, *ALONE])}" for name in unknown]
    return {setting: setting.parse(texts[name]) for name, setting in by_name.items() if name in texts}


def _from_secret_files(
    settings: Iterable[Setting], folder: str | None, problems: list[str]
) -> dict[Setting, object]:
    if not folder:
        return {}
    from worker.settings.secret_files import read_secret_files  # noqa: PLC0415 - only who has such a folder pays for it

    by_name = {setting.secret_file: setting for setting in settings}
    texts = read_secret_files(folder, problems)
    # The folder may serve other programs as well: only names that begin like ours are judged.
    unknown = sorted(name for name in texts.keys() - by_name.keys() if name.startswith(PREFIX.lower()))
    problems += [
        f"the secret file {name} in {folder} is no setting{did_you_mean(name, by_name)}" for name in unknown
    ]
    return {setting: setting.parse(texts[name]) for name, setting in by_name.items() if texts.get(name)}


def _from_toml(settings: Iterable[Setting], file: str | None, problems: list[str]) -> dict[Setting, object]:
    if not file:
        return {}
    try:
        content = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{CONFIG_FILE}: {file} cannot be read: {error.strerror}")
        return {}
    except ValueError as error:
        place = re.search(r"\(at [^()]*\)", str(error))
        problems.append(f"{CONFIG_FILE}: {file} is not TOML{f' {place.group()}' if place else ''}")
        return {}
    by_path = {setting.path: setting for setting in settings}
    flat = dict(_flattened(content, by_path, ()))
    names = {".".join(path[:depth]) for path in by_path for depth in range(1, len(path) + 1)}
    unknown = sorted(".".join(path) for path in flat.keys() - by_path.keys())
    problems += [f"{name} in {file} is no setting{did_you_mean(name, names)}" for name in unknown]
    return {by_path[path]: value for path, value in flat.items() if path in by_path}


def _flattened(
    table: Mapping[str, Any], known: Mapping[tuple[str, ...], Setting], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Down to the settings, or to what leads to none."""
    for key, value in table.items():
        path = (*above, key)
        leads_on = any(other[: len(path)] == path for other in known if other != path)
        if leads_on and isinstance(value, Mapping):
            yield from _flattened(value, known, path)
        else:
            yield path, value


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Words that offer the nearest known name, or nothing."""
    near = get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
