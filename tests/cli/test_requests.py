"""The verbs on requests: what they list, what they would do, what they did, and that doing it twice does no harm."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from contracts.reason import ReasonCode
from tests.cli.books import Books, Desk
from tests.cli.terminal import Terminal
from worker.core import states
from worker.core.entry import Claim
from worker.core.states import State
from worker.demo.surroundings import consumer_keys

WHY = ("--reason", "because of a test")


def held(key: str) -> Callable[[Desk], Awaitable[Claim]]:
    """A request that is held although nothing was created."""
    return lambda desk: desk.exhausted(key)


def test_the_list_shows_one_whole_line_per_request(books: Books, terminal: Terminal) -> None:
    """In a pipe no id is broken, whatever the width, and every column is there."""
    ids = {key: books.bring(state, key) for key, state in (("one", State.HELD), ("two", State.PROVISIONED))}
    terminal.environment["COLUMNS"] = "40"
    header, *lines = terminal("requests", "list").out.splitlines()
    assert header.split() == ["request", "provider", "state", "reason", "age", "key", "account"]
    told = {line.split()[0]: line.split() for line in lines}
    assert told[ids["one"]][1:4] == ["phone_com", "held", "internal_error"]
    assert told[ids["two"]][-2:] == ["two", "two"]
    assert all(line == line.rstrip() for line in lines)


def test_an_empty_list_says_so(terminal: Terminal) -> None:
    """Nothing is a sentence for people and an empty list for programs."""
    assert terminal("requests", "list").out == "no request matches\n"
    assert terminal("requests", "list", "--json").json == []


def test_filters_narrow_the_list(books: Books, terminal: Terminal) -> None:
    """State, provider, code, source, age and number, each by itself and together."""
    books.bring(State.HELD, "held")
    books.write(held("exhausted"))
    books.bring(State.PROVISIONED, "done")

    def listed(*words: str) -> set[str]:
        return {it["idempotency_key"] for it in terminal("requests", "list", *words, "--json").json}

    assert listed() == {"held", "exhausted", "done"}
    assert listed("--state", "held") == {"held", "exhausted"}
    assert listed("--state", "held", "--state", "provisioned") == {"held", "exhausted", "done"}
    assert listed("--code", "attempts_exhausted") == {"exhausted"}
    assert listed("--provider", "canary_speech") == set()
    assert listed("--source", "urn:elsewhere") == set()
    assert listed("--older-than", "30") == {"held", "exhausted", "done"}
    assert listed("--older-than", "120") == set()
    assert listed("--newer-than", "120") == {"held", "exhausted", "done"}
    assert listed("--newer-than", "30") == set()
    assert listed("--newer-than", "120", "--older-than", "30") == {"held", "exhausted", "done"}
    assert len(listed("--limit", "1")) == 1
    assert "there may be more" in terminal("requests", "list", "--limit", "1").err


@pytest.mark.parametrize("words", [("explain",), ("requests", "show")], ids=" ".join)
def test_a_key_that_the_ledger_does_not_know_may_wait_in_rabbitmq(
    terminal: Terminal, words: tuple[str, ...]
) -> None:
    """Whoever asks for it in an outage hears where it may be, and that only its own sender may safely repeat it."""
    said = terminal(*words, "order-1")
    told = " ".join(said.err.split())
    assert said.code == 4
    assert "still waits in RabbitMQ" in told
    assert "Its own sender may send the same request again under the same key" in told
    assert (
        "`provisioner submit`, which is urn:provisioner:cli) or under another key it is another account"
        in told
    )


@pytest.mark.parametrize("option", ["--older-than", "--newer-than"])
@pytest.mark.parametrize("minutes", ["1e12", "2e9", "inf", "nan"])
def test_an_age_with_which_no_clock_can_reckon_is_wrong_usage(
    terminal: Terminal, option: str, minutes: str
) -> None:
    """The option is named, on both kinds of row."""
    for rows in ("requests", "dead-letters"):
        said = terminal(rows, "list", option, minutes)
        assert (said.code, f"'{option}'" in said.err) == (2, True)


def test_an_age_longer_than_any_ledger_s_finds_all_of_it(books: Books, terminal: Terminal) -> None:
    """The longest that is taken still reckons."""
    books.bring(State.HELD, "held")
    assert len(terminal("requests", "list", "--newer-than", "52560000", "--json").json) == 1
    assert terminal("requests", "list", "--older-than", "52560000", "--json").json == []


@pytest.mark.parametrize("key", ["-d", "a\xa0b"])
def test_what_is_offered_for_a_key_that_not_every_shell_takes_can_be_typed(
    books: Books, terminal: Terminal, key: str
) -> None:
    """Keys are the publishers' choice: one like an option, or that no screen shows, is named by its id instead."""
    request_id = books.bring(State.HELD, key)
    told = terminal("explain", "--", key).out
    command = f"requests abandon {request_id}"
    assert f"provisioner {command}\n" in told
    assert terminal(*command.split(), *WHY).code == 0
    assert books.state(request_id) is State.ABANDONED


def test_show_tells_every_column_but_the_sealed_ones(books: Books, terminal: Terminal) -> None:
    """By id and by key, for people and for programs."""
    request_id = books.bring(State.HELD, "order-1")
    said = terminal("requests", "show", "order-1", "--json").json
    assert (said["request_id"], said["state"]) == (request_id, "held")
    assert not any("sealed" in name for name in said)
    assert f"request_id       {request_id}\n" in terminal("requests", "show", request_id).out


def test_a_key_of_two_sources_is_not_guessed(books: Books, terminal: Terminal) -> None:
    """Where a key names several requests the program asks for one of their ids, and tells whose each is."""
    first = books.write(lambda desk: desk.accepted("same")).entry.request_id
    second = books.write(lambda desk: desk.accepted("same", source="urn:other")).entry.request_id
    said = terminal("requests", "abandon", "same", *WHY)
    told = " ".join(said.err.split())
    assert said.code == 4
    assert f"{first} (from urn:test)" in told
    assert f"{second} (from urn:other)" in told


def test_a_dry_run_says_what_a_replay_then_does(books: Books, terminal: Terminal) -> None:
    """Each request with its effect; the dry run changes nothing, the real run does all but what may exist."""
    may_exist = books.bring(State.HELD, "may-exist")
    nothing = books.write(held("nothing")).entry.request_id
    done = books.bring(State.PROVISIONED, "done")
    words = ("requests", "replay", may_exist, nothing, done, *WHY, "--json")

    planned = {it["request"]: it for it in terminal(*words, "--dry-run").json}
    assert {key: it["effect"] for key, it in planned.items()} == {
        may_exist: "blocked",
        nothing: "will",
        done: "nothing",
    }
    assert "resolve" in planned[may_exist]["what"]
    assert books.state(nothing) is State.HELD

    said = terminal(*words)
    assert said.code == 3
    assert [it["effect"] for it in said.json] == ["blocked", "done", "nothing"]
    assert [books.state(each) for each in (may_exist, nothing, done)] == [
        State.HELD,
        State.ACCEPTED,
        State.PROVISIONED,
    ]
    assert (books.history(nothing)[-1].note, books.history(nothing)[-1].actor) == (
        "because of a test",
        "olivia",
    )


def test_a_filter_replays_in_bulk_and_counts(books: Books, terminal: Terminal) -> None:
    """A filter finds the rows; the last line counts the effects; doing it again finds none."""
    for number in range(3):
        books.write(held(f"order-{number}"))
    words = ("requests", "replay", "--state", "held", "--code", "attempts_exhausted", *WHY)
    assert terminal(*words, "--dry-run").out.endswith("3 will; nothing was changed\n")
    assert terminal(*words).out.endswith("3 done\n")
    assert terminal(*words).out == "no request matches\n"


def test_the_limit_of_a_bulk_verb_is_told(books: Books, terminal: Terminal) -> None:
    """Whoever acts on the newest few hears that there may be more."""
    for number in range(2):
        books.write(held(f"order-{number}"))
    said = terminal("requests", "replay", "--state", "held", "--limit", "1", *WHY)
    assert "1 done" in said.out
    assert "there may be more" in said.err


def test_the_limit_is_told_whatever_the_outcome_and_the_form(books: Books, terminal: Terminal) -> None:
    """A blocked row, a dry run or JSON for a script does not hide that there may be more."""
    for number in range(2):
        books.bring(State.HELD, f"order-{number}")
    bulk = ("--state", "held", "--limit", "1")
    for words, code in (
        (("requests", "replay", *bulk, *WHY), 3),
        (("requests", "replay", *bulk, *WHY, "--dry-run"), 3),
        (("requests", "replay", *bulk, *WHY, "--json"), 3),
        (("requests", "list", *bulk, "--json"), 0),
        (("requests", "abandon", *bulk, *WHY, "--json"), 0),
    ):
        said = terminal(*words)
        assert (said.code, "there may be more" in said.err) == (code, True), words


def test_abandon_closes_with_the_reason_and_is_safe_to_repeat(books: Books, terminal: Terminal) -> None:
    """The first time it is closed, the second time nothing happens, and both end well."""
    request_id = books.bring(State.WAITING)
    first = terminal("requests", "abandon", "key-1", *WHY, "--json")
    again = terminal("requests", "abandon", "key-1", *WHY, "--json")
    assert (first.code, first.json[0]["effect"]) == (0, "done")
    assert (again.code, again.json[0]["effect"]) == (0, "nothing")
    assert books.state(request_id) is State.ABANDONED


def test_abandon_takes_filters(books: Books, terminal: Terminal) -> None:
    """All waiting requests of one source are closed with one command, the others stay."""
    ids = [books.bring(State.WAITING, f"order-{number}") for number in range(2)]
    other = books.bring(State.HELD, "other")
    said = terminal("requests", "abandon", "--state", "waiting", "--source", "urn:test", *WHY)
    assert said.code == 0
    assert [books.state(each) for each in (*ids, other)] == [State.ABANDONED, State.ABANDONED, State.HELD]


def test_republish_marks_the_same_event_unpublished(books: Books, terminal: Terminal) -> None:
    """The event keeps its id; a request without one is blocked."""
    done, waiting = books.bring(State.PROVISIONED, "done"), books.bring(State.WAITING, "waiting")
    said = terminal("requests", "republish", done, waiting, *WHY, "--json")
    assert (said.code, [it["effect"] for it in said.json]) == (3, ["done", "blocked"])
    assert books.history(done)[-1].name == "publish_again"
    assert books.history(done)[-1].note == "because of a test"


async def forgotten(desk: Desk) -> str:
    """A request that was closed so long ago that its content was pruned; its id."""
    entry = (await desk.provisioned("forgotten")).entry
    await desk.ledger.mark_published(str(entry.event_id), desk.now)
    await desk.ledger.prune(desk.later(1), 10)
    return entry.request_id


def test_republish_of_an_erased_event_is_blocked(books: Books, terminal: Terminal) -> None:
    """What nobody can publish any more is no success, neither planned nor tried, and is not offered."""
    request_id = books.write(forgotten)
    for words in (("--dry-run",), ()):
        said = terminal("requests", "republish", request_id, *WHY, "--json", *words)
        assert (said.code, said.json[0]["effect"]) == (3, "blocked")
        assert "erased after the retention time" in said.json[0]["what"]
    assert books.history(request_id) == []
    story = terminal("explain", request_id).out
    assert "requests republish" not in story
    assert "its result event was erased after the retention time" in story
    assert "no result event yet" not in story


@pytest.fixture
def with_consumer(terminal: Terminal, tmp_path: Path) -> Terminal:
    """The same terminal, with a consumer to whom credentials can be encrypted."""
    jwks, _ = consumer_keys(tmp_path)
    terminal.environment["PROVISIONER_CREDENTIALS__KEYS_FILE"] = str(jwks)
    return terminal


def test_resolve_with_an_account_is_recorded_once(books: Books, with_consumer: Terminal) -> None:
    """The account is recorded; the same again is nothing; another account is blocked, not quietly ignored."""
    request_id = books.bring(State.HELD)
    words = ("requests", "resolve", "key-1", *WHY, "--json", "--account-id")
    assert with_consumer(*words, "77", "--dry-run").json[0]["effect"] == "will"
    assert books.state(request_id) is State.HELD
    first, again, other = (with_consumer(*words, account) for account in ("77", "77", "78"))
    assert [(it.code, it.json[0]["effect"]) for it in (first, again, other)] == [
        (0, "done"),
        (0, "nothing"),
        (3, "blocked"),
    ]
    assert "77" in other.json[0]["what"]
    assert books.state(request_id) is State.PROVISIONED


async def held_with_account(desk: Desk) -> str:
    """A request that is held although its account 77 is known: the key to it was lost; its id."""
    lost = {"reason": ReasonCode.CREDENTIALS_LOST, "account_id": "77"}
    claim = await desk.take(await desk.sending("known"), states.HOLD, event=desk.event("known"), **lost)
    return claim.entry.request_id


def test_resolve_does_not_overwrite_the_account_that_is_known(books: Books, with_consumer: Terminal) -> None:
    """A mistyped account would leave the customer with a wrong one and the real one with nobody."""
    request_id = books.write(held_with_account)
    words = ("requests", "resolve", "known", *WHY, "--json", "--account-id")
    for dry_run in (("--dry-run",), ()):
        said = with_consumer(*words, "78", *dry_run)
        assert (said.code, said.json[0]["effect"]) == (3, "blocked")
        assert f"`requests resolve {request_id} --account-id 77`" in said.json[0]["what"]
    assert books.state(request_id) is State.HELD
    done = with_consumer(*words, "77")
    assert (done.code, done.json[0]["effect"]) == (0, "done")


def test_credentials_for_a_recorded_account_are_not_dropped_in_silence(
    books: Books, with_consumer: Terminal, tmp_path: Path
) -> None:
    """Whoever deletes the file after a success must not lose what was handed to nobody."""
    books.bring(State.PROVISIONED, "77")
    file = tmp_path / "credentials.json"
    file.write_text('{"password": "canary-password"}')
    words = ("requests", "resolve", "77", "--account-id", "77", "--credentials-file", str(file), *WHY)
    for more in (("--dry-run",), ()):
        said = with_consumer(*words, "--json", *more)
        assert (said.code, said.json[0]["effect"]) == (3, "blocked")
        assert "account 77 is recorded already" in said.json[0]["what"]
        assert "keep the file" in said.json[0]["what"]
        assert "canary-password" not in said.everything


def test_resolve_refuses_the_account_of_another_request(books: Books, with_consumer: Terminal) -> None:
    """One account is never given to two requests; a dry run says so already, and nothing is changed."""
    owner, second = books.bring(State.PROVISIONED, "4711"), books.bring(State.HELD, "second")
    for more in (("--dry-run",), ()):
        said = with_consumer("requests", "resolve", "second", "--account-id", "4711", *WHY, "--json", *more)
        assert (said.code, said.json[0]["effect"]) == (3, "blocked")
        assert said.json[0]["what"] == f"account 4711 of phone_com is that of request {owner} already"
    assert books.state(second) is State.HELD


def test_resolve_without_a_consumer_key_is_blocked(books: Books, terminal: Terminal) -> None:
    """Credentials that nobody could decrypt are no result; the setting is named, and by a dry run as well."""
    books.bring(State.HELD)
    for more in (("--dry-run",), ()):
        said = terminal("requests", "resolve", "key-1", "--account-id", "77", *WHY, "--json", *more)
        assert (said.code, said.json[0]["effect"]) == (3, "blocked")
        assert "PROVISIONER_CREDENTIALS__KEYS_FILE" in said.json[0]["what"]


def test_resolve_refuses_what_is_no_account_id(books: Books, with_consumer: Terminal) -> None:
    """The name that was searched for is easily pasted in place of the number; what a number looks like is told."""
    request_id = books.bring(State.HELD)
    for more in (("--dry-run",), ()):
        said = with_consumer("requests", "resolve", "key-1", "--account-id", "order-1", *WHY, "--json", *more)
        assert (said.code, said.json[0]["effect"]) == (3, "blocked")
        assert "the sub-account's number, such as 883, not its log-in name" in said.json[0]["what"]
    assert books.state(request_id) is State.HELD


def test_resolve_refuses_the_configured_account_above_all_others(
    books: Books, with_consumer: Terminal
) -> None:
    """In the portal it stands beside the one that is looked for, and what is recorded cannot be corrected."""
    client = "5a4db0c5-0000-4000-8000-00000000000a"
    asked = {"name": "Example Clinic"}
    books.write(lambda desk: desk.accepted("cs-1", provider="canary_speech", parameters=asked, generated=()))
    books.bring(State.HELD, "pc-1")
    with_consumer.environment |= {
        "PROVISIONER_PROVIDERS__CANARY_SPEECH__API_KEY": "SBX1:key",
        "PROVISIONER_PROVIDERS__CANARY_SPEECH__PARENT_ID": client.upper(),
        "PROVISIONER_PROVIDERS__PHONE_COM__TOKEN": "token",
        "PROVISIONER_PROVIDERS__PHONE_COM__ACCOUNT_ID": "100001",
    }
    for key, parent in (("cs-1", client), ("pc-1", "100001")):
        for more in (("--dry-run",), ()):
            said = with_consumer("requests", "resolve", key, "--account-id", parent, *WHY, "--json", *more)
            assert (said.code, said.json[0]["effect"]) == (3, "blocked")
            assert "not that of the configured account under which it was opened" in said.json[0]["what"]
    other = with_consumer(
        "requests", "resolve", "pc-1", "--account-id", "100002", *WHY, "--json", "--dry-run"
    )
    assert other.json[0]["effect"] == "will"


def test_resolve_warns_of_an_unusual_account_id(books: Books, with_consumer: Terminal) -> None:
    """Where ids look so only as a rule, the dry run says so, says that it is for good, and the deed is done."""
    asked = {"name": "Example Clinic"}
    books.write(lambda desk: desk.accepted("cs-1", provider="canary_speech", parameters=asked, generated=()))
    words = ("requests", "resolve", "cs-1", *WHY, "--json", "--account-id")
    odd, usual = (
        with_consumer(*words, account_id, "--dry-run").json[0]["what"]
        for account_id in ("34144", "00000000-0000-4000-8000-0000000000a1")
    )
    assert "for good: what is published cannot be corrected" in usual
    assert odd.startswith(usual)
    assert "Look again: at canary_speech an id is the associate's own, a UUID as a rule" in odd
    assert with_consumer(*words, "34144").json[0]["effect"] == "done"


async def held_at_postcode_eu(desk: Desk) -> str:
    """A request that may have an account, to which nobody here has the keys; its id."""
    claim = await desk.sending("pc-1", provider="postcode_eu", parameters={}, generated=())
    return (await desk.take(claim, states.HOLD, event=desk.event("pc-1"))).entry.request_id


def test_resolve_does_not_give_credentials_up_unless_told_to(books: Books, with_consumer: Terminal) -> None:
    """They cannot be added later: whoever names none hears of those that lack, in a dry run too, and must say so."""
    request_id = books.write(held_at_postcode_eu)
    words = ("requests", "resolve", "pc-1", "--account-id", "12345", *WHY, "--json")
    for more in (("--dry-run",), ()):
        said = with_consumer(*words, *more)
        assert (said.code, said.json[0]["effect"]) == (3, "blocked")
        assert said.json[0]["what"].startswith("key, secret: ")
        assert "--credentials-file" in said.json[0]["what"]
        assert "--without-credentials" in said.json[0]["what"]
    assert books.state(request_id) is State.HELD
    for more, effect in ((("--dry-run",), "will"), ((), "done")):
        said = with_consumer(*words, "--without-credentials", *more)
        assert (said.code, said.json[0]["effect"]) == (0, effect)
        assert "without key, secret, which cannot be added later" in said.json[0]["what"]
    assert books.state(request_id) is State.PROVISIONED


def test_explain_names_the_credentials_that_were_given_up(books: Books, with_consumer: Terminal) -> None:
    """Whoever asks why a consumer cannot use its account hears what is missing, and sees none of what is not."""
    books.write(held_at_postcode_eu)
    assert with_consumer("explain", "pc-1", "--json").json["credentials_missing"] is None
    words = ("requests", "resolve", "pc-1", "--account-id", "12345", "--credentials-file", "-")
    with_consumer(*words, "--without-credentials", *WHY, stdin='{"key": "canary-key"}')
    text, data = with_consumer("explain", "pc-1").out, with_consumer("explain", "pc-1", "--json")
    assert "credentials missing: secret; postcode_eu hands them over once, and nobody has them\n" in text
    assert data.json["credentials_missing"] == ["secret"]
    assert "canary-key" not in text + data.everything


def test_explain_is_silent_of_credentials_where_none_is_missing(
    books: Books, with_consumer: Terminal
) -> None:
    """An account with all that belongs to it has an empty list, and no line that would make somebody look."""
    books.bring(State.HELD)
    with_consumer("requests", "resolve", "key-1", "--account-id", "77", *WHY)
    assert "nobody has them" not in with_consumer("explain", "key-1").out
    assert with_consumer("explain", "key-1", "--json").json["credentials_missing"] == []


def test_resolve_with_half_of_the_credentials_names_the_other_half(
    books: Books, with_consumer: Terminal
) -> None:
    """A file in which one is forgotten is no reason to lose it; with all of them nothing lacks."""
    books.write(held_at_postcode_eu)
    words = (
        "requests",
        "resolve",
        "pc-1",
        "--account-id",
        "12345",
        "--credentials-file",
        "-",
        *WHY,
        "--json",
    )
    half = with_consumer(*words, stdin='{"key": "geheim"}')
    assert (half.code, half.json[0]["what"].split(":")[0]) == (3, "secret")
    whole = with_consumer(*words, stdin='{"key": "geheim", "secret": "geheim"}')
    assert (whole.code, "without" in whole.json[0]["what"]) == (0, False)


def test_explain_names_the_credentials_to_bring(books: Books, terminal: Terminal) -> None:
    """What it prints to be typed asks for them where they lack, and nowhere else."""
    books.write(held_at_postcode_eu)
    books.bring(State.HELD, "order-1")
    lacking, complete = (terminal("explain", key).out for key in ("pc-1", "order-1"))
    assert "requests resolve pc-1 --account-id ACCOUNT --credentials-file FILE\n" in lacking
    assert "FILE holds key, secret; --without-credentials gives them up for good" in lacking
    assert "requests resolve order-1 --account-id ACCOUNT\n" in complete
    assert "credentials" not in complete


def test_no_account_is_recorded_for_a_dry_run(books: Books, with_consumer: Terminal) -> None:
    """It opens none, so whatever is named is another's; trying and doing say so, and the story does not offer it."""

    async def held(desk: Desk) -> str:
        claim = await desk.sending("tried", dry_run=True)
        return (await desk.take(claim, states.HOLD, event=desk.event("tried"))).entry.request_id

    request_id = books.write(held)
    for more in (("--dry-run",), ()):
        said = with_consumer("requests", "resolve", "tried", "--account-id", "77", *WHY, "--json", *more)
        assert (said.code, said.json[0]["effect"]) == (3, "blocked")
        assert said.json[0]["what"].startswith("a dry run opens no account: ")
    assert books.state(request_id) is State.HELD
    offered = with_consumer("explain", "tried").out
    assert ("--account-id" in offered, "--not-created" in offered) == (False, True)


def test_explain_names_the_account_that_is_known(books: Books, terminal: Terminal) -> None:
    """Another one would be refused, so the command has it already."""
    books.write(held_with_account)
    assert "requests resolve known --account-id 77\n" in terminal("explain", "known").out


@pytest.mark.parametrize(
    "words", [("--attempt", "1", "--account-id", "77"), ("--without-credentials", "--not-created")]
)
def test_an_option_of_the_other_word_is_refused(
    books: Books, terminal: Terminal, words: tuple[str, ...]
) -> None:
    """What would mean nothing is a slip; the program names the option with which it goes."""
    books.bring(State.HELD)
    said = terminal("requests", "resolve", "key-1", *words, *WHY)
    assert (said.code, f"{words[0]} goes with" in said.err) == (2, True)


def test_resolve_not_created_runs_again(books: Books, terminal: Terminal) -> None:
    """On a person's word the request goes back to accepted, with their name and reason."""
    request_id = books.bring(State.IN_DOUBT)
    assert (
        "there will be two"
        in terminal("requests", "resolve", "key-1", "--not-created", *WHY, "--dry-run").out
    )
    assert terminal("requests", "resolve", "key-1", "--not-created", *WHY).code == 0
    assert books.state(request_id) is State.ACCEPTED
    assert books.history(request_id)[-1].reason == ReasonCode.DECLARED_NOT_CREATED


@pytest.mark.parametrize(
    ("content", "told", "reason"),
    [
        ('{"passwort": "geheim"}', "it issues", "a name that the provider does not issue"),
        ('{"password": 7}', "texts", "not a text"),
        ("[]", "texts", "not an object"),
        ("{geheim", "cannot be read", "not JSON"),
        (None, "cannot be read", "not there"),
    ],
)
def test_a_wrong_credentials_file_is_refused(
    books: Books, terminal: Terminal, tmp_path: Path, content: str | None, told: str, reason: str
) -> None:
    """Before anything is recorded, and without showing what is in the file."""
    request_id = books.bring(State.HELD)
    path = tmp_path / "credentials.json"
    if content is not None:
        path.write_text(content)
    words = ("--account-id", "77", "--credentials-file", str(path))
    said = terminal("requests", "resolve", "key-1", *words, *WHY)
    assert (said.code, told in said.err) == (2, True), reason
    assert "geheim" not in said.everything
    assert books.state(request_id) is State.HELD


def test_credentials_may_come_by_standard_input(books: Books, with_consumer: Terminal) -> None:
    """So a container needs no file that somebody must delete; what is wrong is refused as in a file."""
    request_id = books.bring(State.HELD)
    words = ("requests", "resolve", "key-1", *WHY, "--account-id", "77", "--credentials-file", "-")
    wrong = with_consumer(*words, stdin='{"passwort": "geheim"}')
    assert (wrong.code, "it issues" in wrong.err, "geheim" in wrong.everything) == (2, True, False)
    said = with_consumer(*words, stdin='{"password": "geheim"}')
    assert (said.code, "geheim" in said.everything) == (0, False)
    assert books.state(request_id) is State.PROVISIONED


def test_a_table_of_effects_is_made_of_whole_lines(books: Books, terminal: Terminal) -> None:
    """What would happen is told beside the id and the key, in a line that can be searched for."""
    request_id = books.bring(State.HELD, "order-1")
    header, line, counted = terminal("requests", "abandon", "order-1", *WHY, "--dry-run").out.splitlines()
    assert header.split() == ["request", "key", "state", "effect", "what"]
    assert line.startswith(f"{request_id}  order-1  held   will    is closed without an account")
    assert counted == "1 will; nothing was changed"


def test_json_holds_what_a_script_needs(books: Books, terminal: Terminal) -> None:
    """Request, key, provider, the state it was in, the effect and the words."""
    books.bring(State.WAITING)
    (line,) = json.loads(terminal("requests", "replay", "key-1", *WHY, "--json").out)
    assert line.keys() == {"request", "idempotency_key", "provider", "state", "effect", "what"}
