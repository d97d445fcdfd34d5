"""What the worker on this machine says of itself, on its monitoring port."""

import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.settings import MonitoringSettings, Settings

_STATE = re.compile(r'^provisioner_provider_state\{provider="(\w+)",state="(\w+)"\} 1\.0$', re.MULTILINE)

_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy from the environment would ask another machine, or answer in the worker's place."""

_OWN = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound

_LONGEST = 20_000
"""Bytes of an answer that tells what is amiss: each queue of each provider has its own reason. Not any number, as
whoever answers there need not be a worker."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` is None where nobody answered, and `text` then says why."""

    place: str
    status: int | None
    text: str


def ask(watched: "MonitoringSettings", page: str, *, seconds: float) -> Answer:
    """Get one page: livez, readyz or metrics."""
    place = f"{_reached_at(watched.host)}:{watched.port}/{page}"
    try:
        with _DIRECTLY.open(f"http://{place}", timeout=seconds) as answer:
            return Answer(place, answer.status, answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return Answer(place, error.code, error.read(_LONGEST).decode(errors="replace"))
    except OSError as error:
        return Answer(place, None, str(getattr(error, "reason", error)))


def _reached_at(host: str) -> str:
    """As it stands in a URL. Who listens on every address is asked on this machine's own one, of the same family: a
    worker on `::` does not hear IPv4.
    """
    host = _OWN.get(host, host)
    return f"[{host}]" if ":" in host else host


def watched(configured: "Settings") -> list["MonitoringSettings"]:
    """Where each of its processes is asked."""
    return [configured.monitoring.of_process(number) for number in range(configured.worker.processes)]


def provider_states(configured: "Settings") -> dict[str, str]:
    """How each of its providers stands, breakers included; empty when no worker answers here.

    Where its processes differ, each state is named once.
    """
    found: dict[str, dict[str, None]] = {}
    for one in watched(configured):
        answer = ask(one, "metrics", seconds=1)
        for provider, state in _STATE.findall(answer.text) if answer.status == 200 else ():
            found.setdefault(provider, {})[state] = None
    return {provider: ", ".join(states) for provider, states in found.items()}
