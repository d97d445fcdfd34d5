"""From method and path to the provider's handler, or to the provider that must say there is none."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.sandbox.provider import Provider, Route

_PLACEHOLDER = re.compile(r"\\{(\w+)\\}")


@dataclass(frozen=True, slots=True)
class Found:
    """A route, the provider it belongs to, and what stood in the place of its placeholders."""

    provider: Provider
    route: Route
    arguments: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NotFound:
    """No route: `provider` is whose part of the paths it was, `status` is 404, or 405 where only the
    method is wrong.
    """

    provider: Provider | None
    status: int


class Router:
    """All routes of all providers; paths without placeholders are found without searching."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers = tuple(providers)
        self._fixed: dict[tuple[str, str], Found] = {}
        self._open: list[tuple[re.Pattern[str], Found]] = []
        for provider in self._providers:
            for route in provider.routes():
                self._add(Found(provider, route, {}))

    def find(self, method: str, path: str) -> Found | NotFound:
        """Looks a request up."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed
        fits = [(found, match) for pattern, found in self._open if (match := pattern.fullmatch(path))]
        for found, match in fits:
            if found.route.method == method:
                return Found(found.provider, found.route, match.groupdict())
        known = bool(fits) or any(path == fixed_path for _, fixed_path in self._fixed)
        return NotFound(self._owner(path), 405 if known else 404)

    def _add(self, found: Found) -> None:
        if "{" in found.route.path:
            pattern = _PLACEHOLDER.sub(r"(?P<\1>[^/]+)", re.escape(found.route.path))
            self._open.append((re.compile(pattern), found))
        else:
            self._fixed[found.route.method, found.route.path] = found

    def _owner(self, path: str) -> Provider | None:
        owners = (provider for provider in self._providers if path.startswith(provider.prefixes))
        return next(owners, None)
