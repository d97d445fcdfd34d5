"""`provisioner ledger …`: how the ledger stands, its schema, and its move to a server."""

import asyncio
import shutil
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.cli.books import Books
from tests.cli.terminal import Said, Terminal
from tests.scenarios.conftest import House
from worker.core.states import State
from worker.demo.cast import canary_speech
from worker.ledger import migrate, open_ledger
from worker.ledger.schema import REVISION

CANARY = {"PROVIDERS__CANARY_SPEECH__API_KEY": "x:y"}


def password_in(url: str) -> str:
    """What must never be shown."""
    return str(sa.make_url(url).password)


def at_work(books: Books, terminal: Terminal, *words: str) -> Said:
    """Type a command while a worker works on the ledger."""

    async def type_it() -> Said:
        async with open_ledger(books.url, exclusive=True):
            return await asyncio.to_thread(terminal, *words)

    return asyncio.run(type_it())


# --- status ---------------------------------------------------------------------------------------------------


def test_status_shows_what_there_is(books: Books, terminal: Terminal) -> None:
    """Place, schema, workers and rows, for people and as JSON; exit code 0 when a worker may use it."""
    books.bring(State.HELD)
    books.bury()
    said = terminal("ledger", "status")
    assert (said.code, said.err) == (0, "")
    lines = {line[:14].strip(): line[14:].strip() for line in said.out.splitlines() if line.strip()}
    assert lines["place"] == str(books.file)
    assert lines["schema"] == f"{REVISION} (this version of the worker needs {REVISION})"
    assert (lines["requests"], lines["dead letters"], lines["moved to"]) == ("1 held", "1 open", "-")
    found = terminal("ledger", "status", "--json").json
    assert (found["fits"], found["needs"], found["ledger"]["requests"]) == (True, REVISION, {"held": 1})
    assert [worker["worker"] for worker in found["ledger"]["workers"]] == ["worker-1"]


def test_status_of_a_ledger_that_does_not_fit_says_what_helps(books: Books, terminal: Terminal) -> None:
    """Exit code 78, and the command."""
    assert terminal("ledger", "migrate", "--to", "0001", "--yes").code == 0
    said = terminal("ledger", "status", "--json")
    assert (said.code, said.json["fits"], said.json["ledger"]["schema"]) == (78, False, "0001")
    assert "`provisioner ledger migrate`" in said.err
    checked = terminal("config", "check", "--online", **CANARY)
    assert f"the first start will bring it from schema 0001 to {REVISION}" in " ".join(checked.out.split())


def test_status_shows_living_workers(books: Books, terminal: Terminal) -> None:
    """Who gave a sign of life, and when."""

    async def begin() -> None:
        async with open_ledger(books.url, clock=books.clock, exclusive=True) as ledger:
            await ledger.heartbeat("worker-1", books.clock.now())

    asyncio.run(begin())
    (worker,) = terminal("ledger", "status", "--json").json["ledger"]["workers"]
    assert (worker["worker"], worker["alive"]) == ("worker-1", False)
    assert "worker-1  no     1h" in terminal("ledger", "status").out


# --- backup ---------------------------------------------------------------------------------------------------


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """An empty folder for them."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


def restore(books: Books, copy: Path) -> None:
    """As deploy/README.md says: the copy takes the ledger's place, and nothing of the old one stays beside it."""
    for suffix in ("-wal", "-shm"):
        books.file.with_name(books.file.name + suffix).unlink(missing_ok=True)
    shutil.copy(copy, books.file)


def test_a_backup_is_made_under_a_worker_and_can_be_restored(
    books: Books, terminal: Terminal, backups: Path
) -> None:
    """One file that only its owner reads; restored, the ledger is as it was then, and its requests can be opened."""
    books.write(lambda desk: desk.exhausted("early"))
    copy = backups / "copy.db"
    said = at_work(books, terminal, "ledger", "backup", str(copy))
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("backed up: 1 requests, 0.")
    assert str(books.keys_file) in said.out.replace("\n", "")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert list(backups.iterdir()) == [copy]
    books.write(lambda desk: desk.exhausted("late"))
    assert terminal("ledger", "status", "--json").json["ledger"]["requests"] == {"held": 2}
    restore(books, copy)
    assert terminal("ledger", "status", "--json").json["ledger"]["requests"] == {"held": 1}
    assert terminal("requests", "replay", "early", "--reason", "restored").code == 0


def test_a_backup_overwrites_nothing(books: Books, terminal: Terminal, backups: Path) -> None:
    """A file that is there, or a link to nowhere, is left as it is, and so is what an interrupted backup left."""
    there, link, left = backups / "there.db", backups / "link.db", backups / ".new.db.unfinished"
    there.write_text("precious")
    link.symlink_to("nowhere")
    left.write_text("half")
    for path in (there, link, books.file):
        said = terminal("ledger", "backup", str(path))
        assert (said.code, "exists already and is not overwritten" in said.err) == (78, True), path
    said = terminal("ledger", "backup", str(backups / "new.db"))
    assert (said.code, "is left of a backup that was interrupted" in " ".join(said.err.split())) == (78, True)
    assert (there.read_text(), left.read_text(), len(list(backups.iterdir()))) == ("precious", "half", 3)


def test_a_backup_that_cannot_be_made_says_why_and_leaves_nothing(
    books: Books, terminal: Terminal, backups: Path
) -> None:
    """A folder that is missing; a ledger whose index and rows differ; one that is none any more."""
    books.write(lambda desk: desk.exhausted("early"))
    said = terminal("ledger", "backup", str(backups / "missing" / "copy.db"))
    assert (said.code, "cannot be written: No such file or directory" in " ".join(said.err.split())) == (
        78,
        True,
    )
    whole = books.file.read_bytes()
    books.file.write_bytes(b"urn:testearlx".join(whole.rsplit(b"urn:testearly", 1)))
    said = terminal("ledger", "backup", str(backups / "copy.db"))
    assert (said.code, "what was copied is damaged" in said.err) == (1, True)
    books.file.write_bytes(b"this is no ledger" * 1000)
    said = terminal("ledger", "backup", str(backups / "copy.db"))
    assert (said.code, "the file is no ledger" in " ".join(said.err.split())) == (69, True)
    assert list(backups.iterdir()) == []


def test_a_ledger_on_a_server_is_left_to_the_servers_tool(bare: Terminal) -> None:
    """The command is named, without a password."""
    url = "postgresql://provisioner:canary-password@db.example.org/provisioner"
    said = bare("ledger", "backup", "copy.dump", LEDGER__URL=url, SEALING__KEYS_FILE="keys.json")
    wanted = (
        "pg_dump --format=custom --file=copy.dump --dbname=postgresql://USER@db.example.org:5432/provisioner"
    )
    assert (said.code, wanted in " ".join(said.err.split())) == (78, True)
    assert "canary-password" not in said.everything


@pytest.mark.parametrize(
    "words",
    [("status",), ("backup", "copy.db"), ("migrate",), ("move", "--to", "postgresql://u@127.0.0.1/x")],
)
def test_where_no_ledger_is_nothing_is_made(bare: Terminal, words: tuple[str, ...]) -> None:
    """A mistyped path is told; no empty file is left behind."""
    said = bare("ledger", *words)
    assert (said.code, "there is no ledger at" in said.err) == (78, True)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("words", [("run",), ("config", "check"), ("ledger", "status")])
def test_a_ledger_in_memory_is_refused(bare: Terminal, words: tuple[str, ...]) -> None:
    """It is for tests: a restart would forget what was accepted."""
    said = bare(*words, LEDGER__URL="sqlite:///:memory:")
    assert said.code == 78
    assert "must name a plain file: what was accepted has to outlive the worker" in said.err


# --- migrate --------------------------------------------------------------------------------------------------


def test_back_and_forth(books: Books, terminal: Terminal) -> None:
    """Going back says what it forgets and wants a yes; each step is told; a second time there is nothing to do."""
    refused = terminal("ledger", "migrate", "--to", "0001")
    assert (refused.code, "the waits that providers asked for" in refused.err) == (3, True)
    assert "--yes" in refused.err
    back = terminal("ledger", "migrate", "--to", "0001", "--yes")
    assert (back.code, back.out) == (0, "the ledger has schema 0001 now\n")
    assert "back to 0001 (takes away: What the workers of a provider share" in back.err
    forth = terminal("ledger", "migrate")
    assert (forth.code, forth.out) == (0, f"the ledger has schema {REVISION} now\n")
    assert terminal("ledger", "migrate").out == f"unchanged: the ledger has schema {REVISION}\n"
    assert terminal("ledger", "migrate", "--json").json == {"schema": REVISION, "steps": []}


def test_an_unknown_schema_is_wrong_usage(terminal: Terminal) -> None:
    """Those that are known are named."""
    said = terminal("ledger", "migrate", "--to", "9999")
    assert (said.code, f"0001, 0002, {REVISION}" in said.err) == (2, True)


def test_nothing_is_migrated_or_moved_under_a_worker(books: Books, terminal: Terminal) -> None:
    """Its process is named; exit code 3."""
    for words in (("migrate",), ("move", "--to", "postgresql://u@127.0.0.1:1/x")):
        said = at_work(books, terminal, "ledger", *words)
        assert (said.code, "stop it first" in said.err) == (3, True), words


@pytest.mark.postgresql
def test_on_a_server_the_workers_are_named(bare: Terminal, postgresql_url: str) -> None:
    """A worker that gave a sign of life within its lease keeps the ledger from being migrated; no password is shown."""
    migrate(postgresql_url)

    async def begin() -> None:
        async with open_ledger(postgresql_url, exclusive=True) as ledger:
            await ledger.check()
            await ledger.heartbeat("worker-7", ledger._clock.now())

    asyncio.run(begin())
    assert bare("keys", "new", "sealing").code == 0
    settings = {"LEDGER__URL": postgresql_url, "SEALING__KEYS_FILE": "sealing.keys.json"}
    said = bare("ledger", "migrate", "--to", "0001", "--yes", **settings)
    assert (said.code, "worker-7" in said.err, "30 seconds" in said.err) == (3, True, True)
    status = bare("ledger", "status", **settings)
    assert (status.code, "worker-7  yes" in status.out) == (0, True)
    assert password_in(postgresql_url) not in said.everything + status.everything


# --- move -----------------------------------------------------------------------------------------------------


@pytest.mark.postgresql
def test_a_ledger_is_moved_and_says_what_to_bring_along(
    books: Books, terminal: Terminal, postgresql_url: str
) -> None:
    """The address may come from a file; the keys' file is named; the old place is shut, the new one works."""
    address = books.folder / "new-ledger-url"
    address.write_text(f"{postgresql_url}\n")
    request_id = books.bring(State.HELD)
    letter = books.bury()
    said = terminal("ledger", "move", "--to", f"@{address}")
    assert said.code == 0, said.everything
    assert f"PROVISIONER_SEALING__KEYS_FILE={books.keys_file}" in said.out
    assert "requests: 1 of 1 rows" in said.err
    assert password_in(postgresql_url) not in said.everything
    for words in (("requests", "list"), ("config", "check", "--online")):
        old = terminal(*words, **CANARY)
        assert (old.code, "was moved to" in old.everything.replace("\n", " ")) == (78, True), words
    status = terminal("ledger", "status", "--json")
    assert (status.code, status.json["ledger"]["moved_to"]) == (78, place(postgresql_url))
    new = {"LEDGER__URL": postgresql_url, "SEALING__KEYS_FILE": str(books.keys_file)}
    assert terminal("requests", "show", request_id, "--json", **new).code == 0
    assert terminal("dead-letters", "show", letter, "--body", **new).code == 0
    assert terminal("ledger", "move", "--to", postgresql_url).code == 3


def place(url: str) -> str:
    """How a server is named without its password."""
    parsed = sa.make_url(url)
    return f"{parsed.host}:{parsed.port}/{parsed.database}"


def test_an_address_that_cannot_be_read_is_wrong_usage(terminal: Terminal) -> None:
    """The file is named."""
    said = terminal("ledger", "move", "--to", "@nowhere")
    assert (said.code, "nowhere cannot be read" in said.err) == (2, True)


@pytest.mark.postgresql
def test_a_move_as_json_and_its_cancelling(books: Books, terminal: Terminal, postgresql_url: str) -> None:
    """Nothing to cancel before; afterwards too late. The JSON tells rows and keys."""
    books.bring(State.HELD)
    early = terminal("ledger", "move", "--to", postgresql_url, "--cancel")
    assert (early.code, "is not being moved" in early.err) == (3, True)
    moved = terminal("ledger", "move", "--to", postgresql_url, "--json").json
    assert (moved["place"], moved["rows"]["requests"]) == (place(postgresql_url), 1)
    assert moved["keys_file"] == str(books.keys_file)
    late = terminal("ledger", "move", "--to", postgresql_url, "--cancel")
    assert (late.code, "already" in late.err) == (3, True)


@pytest.mark.rabbitmq
@pytest.mark.postgresql
async def test_a_worker_goes_on_at_the_new_place(house: House, postgresql_url: str) -> None:
    """A request of before is known, by the old keys, and its result comes again; a new one is served."""
    worker = await house.worker("on-a-file")
    mailbox = await house.mailbox()
    await mailbox.ask("before", "canary_speech", canary_speech("before"))
    assert await mailbox.until(lambda: mailbox.outcomes("before") == ["provisioned"], 30)
    assert await worker.stop() == 0
    moved = await house.operator(worker, "ledger", "move", "--to", postgresql_url)
    assert moved["rows"]["requests"] == 1
    with pytest.raises(RuntimeError, match="was moved to"):
        await worker.start()
    await house.worker("on-a-server", ledger=postgresql_url, SEALING__KEYS_FILE=moved["keys_file"])
    for key in ("before", "after"):
        await mailbox.ask(key, "canary_speech", canary_speech(key))
    assert await mailbox.until(
        lambda: len(mailbox.events["before"]) >= 2 and bool(mailbox.events["after"]), 30
    )
    assert mailbox.outcomes("before") == mailbox.outcomes("after") == ["provisioned"]
    assert len(house.sandbox.accounts("canary_speech")) == 2
