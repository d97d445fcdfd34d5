"""The verbs on dead letters."""

import sqlite3
from datetime import timedelta

import aio_pika
import pytest

from contracts.reason import ReasonCode
from tests.cli.books import Books
from tests.cli.terminal import Terminal
from worker.core.dead_letter import DeadLetter
from worker.core.states import State
from worker.operations.dead_letters import DeadLetterOperations, LetterPlan

WHY = ("--reason", "because of a test")


def test_the_list_shows_open_letters_and_filters(books: Books, terminal: Terminal) -> None:
    """State, provider, code, source, age and number."""
    books.bury("one")
    books.bury("two", reason=ReasonCode.INVALID_DATA, source="urn:shop", idempotency_key="order-2")
    old = books.clock.now() - timedelta(days=1)
    books.bury("three", received_at=old)
    terminal("dead-letters", "discard", "one", *WHY)

    def listed(*words: str) -> set[str]:
        return {it["dead_letter_id"] for it in terminal("dead-letters", "list", *words, "--json").json}

    assert listed() == {"two", "three"}
    assert listed("--state", "discarded") == {"one"}
    assert listed("--state", "all") == {"one", "two", "three"}
    assert listed("--code", "invalid_data") == {"two"}
    assert listed("--source", "urn:shop") == {"two"}
    assert listed("--provider", "phone_com") == {"two", "three"}
    assert listed("--provider", "somebody") == set()
    assert listed("--older-than", "600") == {"three"}
    assert listed("--newer-than", "600") == {"two"}
    assert listed("--limit", "1") == {"two"}
    assert terminal("dead-letters", "list", "--code", "too_deep").out == "no dead letter matches\n"


def test_show_tells_why_it_died_and_what_to_do(books: Books, terminal: Terminal) -> None:
    """The reason in words, the pointers, what can be typed, and who did what; the message itself only on demand."""
    letter = books.bury()
    said = terminal("dead-letters", "show", letter)
    assert "not_json: The body is not one JSON value" in said.out
    assert "/: this is no JSON" in said.out
    assert f"provisioner dead-letters replay {letter}" in said.out
    assert "canary-body" not in said.out
    assert "canary-body" in terminal("dead-letters", "show", letter, "--body").out
    assert (
        "canary-body" in terminal("dead-letters", "show", letter, "--body", "--json").json["message"]["body"]
    )
    terminal("dead-letters", "discard", letter, *WHY)
    after = terminal("dead-letters", "show", letter)
    assert "by olivia: “because of a test”" in after.out
    assert "replay" not in after.out


def test_a_letter_that_was_cut_says_so_and_is_not_replayed(books: Books, terminal: Terminal) -> None:
    """What was too large is shown with its beginning, no replay is offered, and one that is asked for is blocked."""
    letter = books.bury(keep=20, reason=ReasonCode.TOO_LARGE)
    said = terminal("dead-letters", "show", letter, "--body")
    assert "cut: only the beginning of its" in said.out
    assert "canary" in said.out
    assert "canary-body" not in said.out
    assert "dead-letters replay" not in said.out
    assert terminal("dead-letters", "show", letter, "--json").json["is_cut"] is True
    for words in ((), ("--dry-run",)):
        replayed = terminal("dead-letters", "replay", letter, *WHY, *words)
        assert replayed.code == 3
        assert "only its beginning was kept" in " ".join(replayed.out.split())


def test_explain_finds_a_dead_letter_by_the_key_its_sender_knows(books: Books, terminal: Terminal) -> None:
    """A request that was refused at the door has a story as well."""
    letter = books.bury(idempotency_key="order-9")
    assert f"dead letter {letter} is open" in terminal("explain", "order-9").out
    assert terminal("explain", letter, "--json").json["dead_letter"]["idempotency_key"] == "order-9"


def test_explain_does_not_hide_the_dead_letters_of_a_request_s_key(books: Books, terminal: Terminal) -> None:
    """Whoever asks why the second message was rejected is not told that all is well: each is named with its reason."""
    conflict = ReasonCode.IDEMPOTENCY_CONFLICT
    request_id = books.bring(State.PROVISIONED, "order-9")
    books.bury("one", idempotency_key="order-9", source="urn:test", reason=conflict)
    books.bury("two", idempotency_key="order-9", source="urn:other")
    books.bury("three", idempotency_key="order-10")
    for reference in ("order-9", request_id):
        told = terminal("explain", reference).out.splitlines()[-1]
        assert told.startswith("2 dead letters bear the key order-9 as well: ")
        assert "one (idempotency_conflict, open)" in told
        assert "two (not_json, open, from urn:other)" in told
    letters = terminal("explain", "order-9", "--json").json["dead_letters"]
    assert {it["dead_letter_id"] for it in letters} == {"one", "two"}


def test_explain_tells_of_all_dead_letters_with_a_key(books: Books, terminal: Terminal) -> None:
    """The newest is shown, and the others are named, as many as fit a line; the command for the rest is told."""
    books.bury("old", idempotency_key="a key", received_at=books.clock.now() - timedelta(minutes=1))
    books.bury("new", idempotency_key="a key")
    said = terminal("explain", "a key")
    assert "dead letter new is open" in said.out
    assert said.out.splitlines()[-1] == "1 dead letter bears the key a key as well: old (not_json, open)"
    assert [it["dead_letter_id"] for it in terminal("explain", "a key", "--json").json["others"]] == ["old"]
    multiply(books, "old", 30)
    told = terminal("explain", "a key").out.splitlines()[-1]
    assert told.endswith("there may be more: `provisioner dead-letters list --state all '--key=a key'`")


def test_a_key_that_no_screen_shows_is_told_as_it_is_typed(books: Books, terminal: Terminal) -> None:
    """With a backslash in its place it would be another key."""
    books.bury("old", idempotency_key="a\xa0b")
    multiply(books, "old", 30)
    told = terminal("explain", "a\xa0b").out.splitlines()[-1]
    assert r"bear the key $'a\xc2\xa0b' as well" in told
    assert told.endswith(r"`provisioner dead-letters list --state all $'--key=a\xc2\xa0b'`")


def test_dead_letters_are_listed_by_key(books: Books, terminal: Terminal) -> None:
    """Whatever their source, in the state that is asked for."""
    for name, key in (("one", "order-9"), ("two", "order-10"), ("three", "order-9")):
        books.bury(name, idempotency_key=key)
    terminal("dead-letters", "discard", "three", *WHY)
    listed = terminal("dead-letters", "list", "--key", "order-9", "--json").json
    assert [it["dead_letter_id"] for it in listed] == ["one"]
    listed = terminal("dead-letters", "list", "--key=order-9", "--state", "all", "--json").json
    assert {it["dead_letter_id"] for it in listed} == {"one", "three"}


def test_explain_does_not_show_a_dead_letter_for_a_key_of_two_sources(
    books: Books, terminal: Terminal
) -> None:
    """Which of the requests is meant must be asked; a letter under the same key is neither of them."""
    first = books.write(lambda desk: desk.accepted("same")).entry.request_id
    second = books.write(lambda desk: desk.accepted("same", source="urn:other")).entry.request_id
    books.bury(idempotency_key="same")
    said = terminal("explain", "same")
    assert (said.code, said.out) == (4, "")
    assert "2 sources used the key 'same'" in said.err
    assert all(request_id in said.err for request_id in (first, second))


def multiply(books: Books, name: str, times: int) -> None:
    """So many more dead letters like this one."""
    with sqlite3.connect(books.file) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(dead_letters)")]
        values = ", ".join("dead_letter_id || n" if it == "dead_letter_id" else it for it in columns)
        database.execute(
            f"INSERT INTO dead_letters SELECT {values} FROM dead_letters, "  # noqa: S608 - our own columns
            "(WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?) "
            "SELECT n FROM counted) WHERE dead_letter_id = ?",
            (times, name),
        )
    database.close()


def test_a_dead_letter_is_found_behind_any_number_of_newer_ones(books: Books, terminal: Terminal) -> None:
    """By id, key and filters: what is not among the newest must not look as if it were not there."""
    received = books.clock.now() - timedelta(minutes=9)
    old = books.bury("old", idempotency_key="order-1", source="urn:old", received_at=received)
    books.bury("new")
    multiply(books, "new", 10_000)
    assert f"dead letter {old} is open" in terminal("explain", old).out
    assert f"dead letter {old} is open" in terminal("explain", "order-1").out
    for words in (("--source", "urn:old"), ("--older-than", "65")):
        listed = terminal("dead-letters", "list", *words, "--json").json
        assert [it["dead_letter_id"] for it in listed] == [old]


def test_discard_is_tried_done_and_safe_to_repeat(books: Books, terminal: Terminal) -> None:
    """Dry run, done, nothing; by id and by filter."""
    letter = books.bury()
    words = ("dead-letters", "discard", letter, *WHY, "--json")
    tried, done, again = terminal(*words, "--dry-run"), terminal(*words), terminal(*words)
    assert [(said.code, said.json[0]["effect"]) for said in (tried, done, again)] == [
        (0, "will"),
        (0, "done"),
        (0, "nothing"),
    ]
    assert "the row and its reason stay" in tried.json[0]["what"]
    assert "is discarded now" in done.json[0]["what"]
    assert "discarded already" in again.json[0]["what"]
    assert [line.name for line in books.history(letter)] == ["bury", "discarded"]
    assert terminal("dead-letters", "discard", "--code", "not_json", *WHY).out == "no dead letter matches\n"


def test_the_limit_is_told_in_json_too(books: Books, terminal: Terminal) -> None:
    """A script that closes the newest hears on standard error that there may be more."""
    for name in ("one", "two"):
        books.bury(name)
    bulk = ("--code", "not_json", "--limit", "1", "--json")
    assert "there may be more" in terminal("dead-letters", "list", *bulk).err
    assert "there may be more" in terminal("dead-letters", "discard", *bulk, *WHY).err


def test_a_letter_that_died_again_is_blocked_and_stops_no_other(
    books: Books, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stays open is no success: effect blocked, exit code 3; the letters after it are closed."""
    ids = [books.bury(name) for name in ("one", "again", "three")]
    planned = DeadLetterOperations.plan_discard

    def looked_too_early(hands: DeadLetterOperations, letter: DeadLetter) -> LetterPlan:
        """The second one dies once more between plan and deed."""
        plan = planned(hands, letter)
        if letter.dead_letter_id == "again":
            books.clock.advance(1)
            books.bury("again")
        return plan

    monkeypatch.setattr(DeadLetterOperations, "plan_discard", looked_too_early)
    said = terminal("dead-letters", "discard", *ids, *WHY, "--json")
    assert (said.code, [line["effect"] for line in said.json]) == (3, ["done", "blocked", "done"])
    assert "died again" in said.json[1]["what"]
    assert [line.name for line in books.history("again")] == ["bury"]
    header, *lines = terminal("dead-letters", "discard", *ids, *WHY).out.splitlines()
    assert header.split() == ["dead", "letter", "reason", "effect", "what"]
    assert [line.split()[2] for line in lines[:3]] == ["nothing", "blocked", "nothing"]
    assert lines[3:] == ["2 nothing, 1 blocked"]


def test_a_replay_is_planned_without_a_broker_and_not_done_without_one(
    books: Books, terminal: Terminal
) -> None:
    """A dry run needs no RabbitMQ; when it cannot be reached the letter stays open."""
    letter = books.bury()
    planned = terminal("dead-letters", "replay", "--provider", "phone_com", *WHY, "--dry-run")
    assert letter in planned.out
    assert planned.out.endswith("1 will; nothing was changed\n")
    said = terminal("dead-letters", "replay", letter, *WHY, BROKER__URL="amqp://u:geheim@127.0.0.1:1/")
    assert (said.code, said.out) == (69, "")
    assert [line.name for line in books.history(letter)] == ["bury"]


@pytest.mark.rabbitmq
def test_a_replay_publishes_the_message_as_it_came(books: Books, terminal: Terminal, broker_url: str) -> None:
    """It lies in its provider's queue again, is marked with the reason, and a second replay does nothing."""
    terminal.environment["PROVISIONER_BROKER__URL"] = broker_url
    letter = books.bury()
    assert terminal("topology", "declare").code == 0
    words = ("dead-letters", "replay", letter, *WHY, "--json")
    first = terminal(*words)
    if first.code == 69:  # RabbitMQ 3.10 may fail at a queue's first message; the letter stays open
        first = terminal(*words)
    done, again = first.json[0], terminal(*words).json[0]
    assert (done["effect"], "is replayed now" in done["what"]) == ("done", True)
    assert (again["effect"], "replayed already" in again["what"]) == ("nothing", True)
    bodies = books.write(lambda _: _bodies(broker_url))
    assert bodies == [b'{"password": "canary-body-of-a-dead-letter"']


async def _bodies(broker_url: str) -> list[bytes]:
    """Everything in the queue of Phone.com."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("provisioning.requests.phone_com", ensure=False)
        bodies = []
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            bodies.append(message.body)
        return bodies
