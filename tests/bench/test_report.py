"""Figures and tables of the bench, and what it says when something is not there."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.bench import environment
from tests.bench.environment import PeersMissing, peers_python
from tests.bench.peers.work import body_of, new_request, result_of
from tests.bench.processes import child
from tests.bench.report import Table
from tests.bench.spread import percentile, spread
from tests.local.processes import Watch

_TWO_PROCESSES = """
import subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("ready", flush=True)
time.sleep(60)
"""


def test_a_percentile_is_the_value_that_so_many_do_not_exceed() -> None:
    values = list(range(1, 101))
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7], 0.9)) == (51, 100, 7)


def test_a_spread_has_the_middle_and_the_ends() -> None:
    assert spread([5.0]).text(0) == "5 (5 to 5)"
    several = spread([4.0, 1.0, 3.0, 2.0, 5.0])
    assert (several.least, several.lower, several.median, several.upper, several.most) == (1, 2, 3, 4, 5)


def test_columns_begin_at_the_left_or_end_at_the_right() -> None:
    table = Table("title", ("a", "bb", "c"), [["aaa", "b", "ccc"]], left=2)
    assert str(table).splitlines() == ["title", "  a    bb    c", "  aaa  b   ccc"]


def test_without_the_environment_it_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_STAMP", tmp_path / "locked")
    with pytest.raises(PeersMissing, match=re.escape("python -m tests.bench --install-peers")):
        peers_python()
    (tmp_path / "locked").write_text("another lock")
    with pytest.raises(PeersMissing, match=re.escape("not that of requirements.lock")):
        peers_python()


def test_the_environment_has_the_libraries_of_the_worker() -> None:
    """Else the sides would be compared with other versions of what they have in common."""
    own = Path(__file__).parents[2] / "requirements.lock"
    entries = {line for line in own.read_text().splitlines() if "==" in line}
    lock = Path(environment.__file__).with_name("requirements.lock").read_text().splitlines()
    assert entries
    assert entries - set(lock) == set()


async def test_what_a_child_starts_is_frozen_counted_and_killed_with_it(tmp_path: Path) -> None:
    async with child((sys.executable, "-c", _TWO_PROCESSES), {}, tmp_path / "log") as running:
        await running.until(lambda: running.said("ready") is not None)
        tree = running.processes()
        assert len(tree) == 2
        assert running.resident() > 0
        assert running.peak() > 0
        running.freeze()
        await running.until(lambda: [_state(pid) for pid in tree] == ["T", "T"])
        running.thaw()
        await running.until(lambda: "T" not in [_state(pid) for pid in tree])
        watch = Watch(running.pid)
    assert watch.still_running() == []


def _state(pid: int) -> str:
    """The letter for it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_every_side_sends_what_the_provider_asks_for() -> None:
    request = json.loads(new_request("bare", "some-key"))
    body = body_of(request)
    assert (body["companyName"], body["vatNumber"], body["siteUrls"]) == (
        "Company some-key",
        "",
        ["https://www.example.org"],
    )
    result = result_of(request, {"accountId": "7", "key": "k", "secret": "s"}, "bare")
    assert result.routing_key == "result.bare.provisioned"
    assert json.loads(result.body)["data"]["idempotency_key"] == "some-key"
