"""A kept server ends with the process it was started for, with everything it started, however that process ends."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.processes import Watch, kill, line_from, name_of, names_below, python_that, state_of
from worker.local.errors import ServerFailed
from worker.local.kept_server import KeptServer, Order
from worker.local.private_files import is_locked, locked

FOREVER = ["sleep", "1000"]
WITH_A_DAEMON = ["sh", "-c", "setsid sleep 1000 & (setsid sleep 1000 &) ; echo started >&2; exec sleep 1000"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


@pytest.fixture
def server(log: Path) -> Iterator[KeptServer]:
    server = KeptServer.start(Order([FOREVER, WITH_A_DAEMON]), log, os.environ)
    assert server.wait_until(lambda: name_of(server.pid) == "sleep", 60)
    yield server
    server.kill()


def started_by_a_child(order: str, log: Path) -> tuple[str, ...]:
    return (
        "import os, sys; from pathlib import Path",
        "from worker.local.kept_server import KeptServer, Order",
        f"server = KeptServer.start({order}, Path({str(log)!r}), os.environ)",
        f"server.wait_until(lambda: 'started' in Path({str(log)!r}).read_text(), 60)",
        "print(server.keeper, flush=True)",
        "sys.stdin.read()",
    )


def test_nothing_outlives_a_process_that_is_killed(log: Path) -> None:
    """When the process that started it dies by SIGKILL, the server, its helper and its daemons die as well."""
    with python_that(*started_by_a_child(f"Order([{FOREVER}, {WITH_A_DAEMON}])", log)) as child:
        keeper = int(line_from(child))
        # A daemon is for a moment the program that starts it; a limit of time ends this if it stays so.
        while names_below(keeper)[-4:] != ["sleep"] * 4:
            pass
        watch = Watch(keeper)
        child.kill()
        assert watch.still_running() == []


def test_nothing_outlives_a_keeper_that_is_killed(log: Path) -> None:
    """The server and its helpers die even when it is the keeper that dies by SIGKILL."""
    server = KeptServer.start(Order([FOREVER, FOREVER]), log, os.environ)
    watch = Watch(server.keeper)
    assert len(watch.names) == 3
    kill(server.keeper)
    assert watch.still_running() == []
    server.kill()


def test_everything_ends_when_the_server_ends_by_itself(server: KeptServer) -> None:
    """A server that dies takes its helper and its daemons with it, and counts as not running."""
    watch = Watch(server.keeper)
    kill(server.pid)
    assert watch.still_running() == []
    assert not server.running


def test_kill_leaves_nothing(server: KeptServer) -> None:
    """Nothing of the server is left when `kill` returns, and a second `kill` is harmless."""
    watch = Watch(server.keeper)
    server.kill()
    assert watch.still_running(seconds=0.001) == []
    server.kill()
    assert not server.running


def test_a_paused_server_stands_still_until_resumed(server: KeptServer) -> None:
    """`pause` stops the process where it is; `resume` lets it go on."""
    server.pause()
    assert state_of(server.pid) == "T"
    server.resume()
    assert server.wait_until(lambda: state_of(server.pid) == "S", 60)


def test_a_paused_server_can_be_stopped(server: KeptServer) -> None:
    """`stop` wakes a paused server, so that it hears the request."""
    server.pause()
    server.stop(seconds=60)
    assert not server.running


def test_a_server_that_will_not_stop_is_killed(log: Path) -> None:
    """A server that ignores the request to stop is killed when its time is up."""
    command = ["sh", "-c", "trap '' TERM; echo deaf >&2; while :; do sleep 1000; done"]
    server = KeptServer.start(Order([command]), log, os.environ)
    assert server.wait_until(lambda: "deaf" in log.read_text(), 60)
    server.stop(signal.SIGTERM, seconds=0.05)
    assert not server.running


def test_waiting_ends_with_the_server(log: Path) -> None:
    """Waiting for a server that dies gives up at once, long before its time is up."""
    server = KeptServer.start(Order([["false"]]), log, os.environ)
    assert not server.wait_until(lambda: False, 1000)
    server.kill()


def test_a_program_that_is_not_there_is_an_error(log: Path) -> None:
    """A command that cannot be started raises, and the message names it."""
    with pytest.raises(ServerFailed, match="/no/such/program"):
        KeptServer.start(Order([["/no/such/program"]]), log, os.environ)


def test_only_the_given_environment_is_passed_on(log: Path) -> None:
    """A server sees the variables it is given and no others of this process."""
    server = KeptServer.start(
        Order([["sh", "-c", 'echo "[$GIVEN][$HOME]"']]), log, {"GIVEN": "yes", "PATH": os.defpath}
    )
    server.wait_until(lambda: False, 60)
    server.kill()
    assert log.read_text() == "[yes][]\n"


def test_a_farewell_lets_the_server_tidy_up(log: Path) -> None:
    """A server whose owner is gone first hears its farewell signal, and then the commands for afterwards run."""
    tidy = ["sh", "-c", "trap 'echo tidied >&2; exit' QUIT; echo started >&2; sleep 1000 & wait"]
    order = f"Order([{tidy}], farewell=3, patience=10, afterwards=[['echo', 'afterwards']])"
    with python_that(*started_by_a_child(order, log)) as child:
        watch = Watch(int(line_from(child)))
        child.kill()
        assert watch.still_running() == []
    assert log.read_text().splitlines() == ["started", "tidied", "afterwards"]


def test_an_abandoned_temporary_folder_is_removed(tmp_path: Path, log: Path) -> None:
    """The temporary folder of a server goes with an owner that was killed."""
    folder = tmp_path / "data"
    folder.mkdir()
    order = f"Order([{WITH_A_DAEMON}], temporary_folder={str(folder)!r})"
    with python_that(*started_by_a_child(order, log)) as child:
        watch = Watch(int(line_from(child)))
        child.kill()
        assert watch.still_running() == []
    assert not folder.exists()


def test_a_temporary_folder_survives_a_kill(tmp_path: Path, log: Path) -> None:
    """A server that is only killed finds its temporary folder when it starts again."""
    server = KeptServer.start(Order([FOREVER], temporary_folder=str(tmp_path)), log, os.environ)
    server.kill()
    assert tmp_path.exists()


def test_it_can_be_started_for_another_process(log: Path) -> None:
    """A server started for another process ends with that one, and not with the one that started it."""
    with python_that("import sys; sys.stdin.read()") as owner:
        server = KeptServer.start(Order([FOREVER]), log, os.environ, started_for=owner.pid)
        watch = Watch(server.keeper)
        owner.kill()
        assert watch.still_running() == []
        server.kill()


def test_the_lock_lasts_as_long_as_the_server(tmp_path: Path, log: Path) -> None:
    """A folder stays locked while a server runs in it, although its starter has let go of the lock."""
    file = tmp_path / "lock"
    with locked(file) as lock:
        server = KeptServer.start(Order([FOREVER]), log, os.environ, lock=lock)
    assert is_locked(file)
    server.kill()
    assert not is_locked(file)


@pytest.mark.parametrize("orphans", [2, 300])
def test_orphans_that_end_are_buried(log: Path, orphans: int) -> None:
    """What a server abandons and loses does not stay a zombie, and many that end at once do not end the server."""
    abandon = f"for _ in $(seq {orphans}); do (sh -c 'echo $$ >&2' &); done; exec sleep 1000"
    server = KeptServer.start(Order([["sh", "-c", abandon]]), log, os.environ)
    try:
        server.wait_until(lambda: len(log.read_text().split()) == orphans, 60)
        numbers = log.read_text().split()
        assert len(numbers) == orphans, numbers
        folders = [Path("/proc", number) for number in numbers]
        assert server.wait_until(lambda: not any(folder.exists() for folder in folders), 60)
    finally:
        server.kill()
