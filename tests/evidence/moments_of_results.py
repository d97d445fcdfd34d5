"""The moments after the record (13 to 15), and those of look-ups (24 to 26)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from contracts.reason import ReasonCode as Code
from contracts.result import AccountHeld, Evidence
from tests.core.operating import operate
from tests.evidence.moments import (
    Act,
    Moment,
    assert_evidence,
    faulty,
    found,
    in_doubt,
    unanswered,
    unchanged,
)
from tests.evidence.moments_world import KEY, LOOK_UP_EVERY, Stage
from tests.providers.bench import CANARY, GATEWAY, PHONE, POSTCODE, PROVIDERS
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.operations.verbs import Verb
from worker.sandbox import Fault, Operation, PhoneCom

READ = "answer_read"
REPUBLISH_AFTER = 11.0


def done(number: int, how: str, provider: str, bring: Act, then: Act) -> Moment:
    """The account is recorded with its id."""
    return Moment(
        number=number,
        how=how,
        provider=provider,
        table="D",
        bring=bring,
        verdict=Verdict.DONE,
        reason=Code.CREATED,
        seen=READ,
        state=State.PROVISIONED,
        then=then,
    )


# 13 to 15: on the way to the requester


async def unroutable(stage: Stage) -> None:
    """The event cannot be published."""
    stage.place.publisher.failure = "returned as unroutable"
    await stage.ask()
    assert stage.results == []


async def killed_before_the_mark(stage: Stage) -> None:
    """RabbitMQ confirmed the event, and the worker died before the ledger knew."""
    stage.worker.ledger.hold("mark_published")
    await stage.deliver()
    await stage.until_called("mark_published")
    await stage.restart()


async def redelivered(stage: Stage) -> None:
    """The request ended, and RabbitMQ hands it over once more."""
    await stage.ask()
    assert (await stage.deliver()).verbs == ["ack"]
    await stage.rest()


async def redelivered_meanwhile(stage: Stage) -> None:
    """RabbitMQ hands it over once more while the create is under way."""
    await unanswered(stage)
    assert (await stage.deliver()).verbs == ["ack"]
    stage.sandbox.gate("answer").set()
    await stage.rest()


async def delivered_later(stage: Stage) -> None:
    """The credentials lie in the ledger sealed, and reach the requester whole, from a worker that never saw them."""
    issued = stage.accounts[0].issued or stage.accounts[0].fields
    secrets = {name: issued[name] for name in ("password", "api_key", "key", "secret") if name in issued}
    on_disk = stage.place.bytes_on_disk()
    assert secrets
    assert not any(secret.encode() in on_disk for secret in secrets.values())
    await stage.restart()
    stage.place.publisher.failure = None
    await stage.later(REPUBLISH_AFTER)
    assert stage.credentials == secrets
    await unchanged(stage)


async def published_again(stage: Stage) -> None:
    """The relay repeats the very same event until it is confirmed and known to be, and then no more."""
    publisher = stage.place.publisher
    publisher.failure = None
    await stage.later(REPUBLISH_AFTER)
    await unchanged(stage)
    assert len(publisher.tried) == 2
    assert len(set(publisher.tried)) == 1
    assert len({one.body for one in publisher.confirmed}) == 1


async def told_again(stage: Stage) -> None:
    """The redelivery made no second attempt; whoever asks again is told again, with the very same event."""
    await unchanged(stage)
    assert len(await stage.attempts()) == 1
    assert len({(one.event_id, one.body) for one in stage.place.publisher.confirmed}) == 1


RECORDED: Sequence[Moment] = (
    *(
        done(13, "not routable, then a new worker", provider, unroutable, delivered_later)
        for provider in (GATEWAY, POSTCODE, PHONE)
    ),
    *(done(14, "not confirmed", provider, unroutable, published_again) for provider in PROVIDERS),
    *(
        done(14, "confirmed, killed before the mark", provider, killed_before_the_mark, published_again)
        for provider in (PHONE, POSTCODE)
    ),
    *(done(15, "after the result", provider, redelivered, told_again) for provider in PROVIDERS),
    *(
        done(15, "while sending", provider, redelivered_meanwhile, told_again)
        for provider in (PHONE, POSTCODE)
    ),
)

# 24 to 26: what look-ups say


async def shown_late(stage: Stage) -> None:
    """Look-ups within the settle time that find nothing prove nothing."""
    for _ in range(2):
        await stage.later(LOOK_UP_EVERY)
        entry = await stage.entry()
        assert (entry.state, entry.absences) == (State.IN_DOUBT, 0)
    await appears(stage)


async def shown_after_one_absence(stage: Stage) -> None:
    """One look-up after the settle time that finds nothing is not enough."""
    for _ in range(3):
        await stage.later(LOOK_UP_EVERY)
    entry = await stage.entry()
    assert (entry.state, entry.absences) == (State.IN_DOUBT, 1)
    await appears(stage)


async def unclear_between(stage: Stage) -> None:
    """Two that find nothing with one between that could not tell do not agree; the counting begins anew."""
    for _ in range(3):
        await stage.later(LOOK_UP_EVERY)
    stage.let_go_wrong(Fault.UNAVAILABLE, Operation.LOOK_UP)
    for absences in (0, 1):
        await stage.later(LOOK_UP_EVERY)
        entry = await stage.entry()
        assert (entry.state, entry.absences) == (State.IN_DOUBT, absences)
    await appears(stage)


async def appears(stage: Stage) -> None:
    """Only now the account shows, and is found."""
    stage.sandbox.gate("at last").set()
    await stage.sandbox.settle()
    await found(stage)


async def found_with_password(stage: Stage) -> None:
    """The id is adopted, and the password that the worker made up is handed over."""
    await found(stage)
    assert stage.credentials == {"password": stage.accounts[0].fields["password"]}


async def found_without_key(stage: Stage) -> None:
    """The id is adopted, the key is lost: it is said so, and a person who got a new one ends it."""
    await found(stage)
    await unchanged(stage)
    result = stage.results[-1]
    assert isinstance(result, AccountHeld)
    assert (result.data.account_id, result.data.reason.code) == (stage.accounts[0].id, Code.CREDENTIALS_LOST)
    await operate(stage.worker, Verb.RESOLVE_CREATED, stage.accounts[0].id, api_key="a-new-one")
    await stage.later(REPUBLISH_AFTER)
    assert_evidence(stage, Evidence.OPERATOR)
    assert stage.credentials["api_key"] == "a-new-one"


async def two_of_them(stage: Stage) -> None:
    """Two accounts could be ours: an incident, told with both ids, and nothing more is done without a person."""
    await stage.later(LOOK_UP_EVERY)
    entry = await stage.entry()
    assert (entry.state, entry.reason, entry.account_id) == (State.HELD, Code.LOOK_UP_AMBIGUOUS, None)
    (line,) = [one for one in await stage.worker.history(KEY) if one.enters == State.HELD]
    assert {account.id for account in stage.accounts} == set(cast("Any", line.detail["detail"])["matching"])
    result = stage.results[-1]
    assert isinstance(result, AccountHeld)
    assert result.data.reason.code == Code.LOOK_UP_AMBIGUOUS
    await unchanged(stage)


async def doubled(stage: Stage) -> None:
    """The account is opened without an answer, and another one like it appears."""
    stage.let_go_wrong(Fault.CUT_AFTER_CREATE)
    await stage.ask()
    twin = replace(
        stage.accounts[0], id=str(int(stage.accounts[0].id) + 1) if stage.provider == PHONE else TWIN
    )
    stage.pretended.book.add(twin)
    if isinstance(stage.pretended, PhoneCom):
        stage.pretended.honours_username_filter = False


TWIN = "0f8fad5b-d9cb-469f-a165-70867728950e"

LOOKED_UP: Sequence[Moment] = (
    *(
        in_doubt(24, how, faulty(fault, until="at last"), Code.CONNECTION_LOST, provider=provider, then=then)
        for how, fault, then, providers in (
            ("shown before the settle time", Fault.LAGGING_READ, shown_late, (PHONE, CANARY, GATEWAY)),
            ("opened before the settle time", Fault.DELAYED_CREATE, shown_late, (PHONE, CANARY)),
            ("shown after one absence", Fault.LAGGING_READ, shown_after_one_absence, (PHONE, GATEWAY)),
            ("shown after an unclear look-up", Fault.LAGGING_READ, unclear_between, (PHONE, CANARY)),
        )
        for provider in providers
    ),
    *(
        in_doubt(
            25,
            "found",
            faulty(Fault.CUT_AFTER_CREATE),
            Code.CONNECTION_LOST,
            provider=provider,
            then=then,
            end=State.PROVISIONED,
        )
        for provider, then in (
            (PHONE, found_with_password),
            (CANARY, found),
            (GATEWAY, found_without_key),
        )
    ),
    *(
        in_doubt(
            26,
            "a twin",
            doubled,
            Code.CONNECTION_LOST,
            provider=provider,
            then=two_of_them,
            end=State.HELD,
            accounts=2,
        )
        for provider in (PHONE, CANARY)
    ),
)
