"""The moments at which the provider says no (16), or that there is such an account already (17)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.reason import ReasonCode as Code
from tests.evidence.moments import (
    Act,
    Moment,
    in_doubt,
    unchanged,
)
from tests.evidence.moments_of_answers import READ, our_fault, own, page, says
from tests.evidence.moments_world import LOOK_UP_EVERY, Stage
from tests.providers.bench import CANARY, GATEWAY, PHONE, POSTCODE, PROVIDERS
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.demo.cast import phone_com
from worker.sandbox import Fault


def refused(number: int, how: str, provider: str, bring: Act, reason: Code, **more: Any) -> Moment:
    """The provider says no: the request is over, and nothing was opened."""
    plain: dict[str, Any] = {"table": "N", "then": unchanged, "end": State.REJECTED, "accounts": 0}
    return Moment(
        number=number,
        how=how,
        provider=provider,
        bring=bring,
        verdict=Verdict.NOT_DONE,
        reason=reason,
        seen=READ,
        state=State.REJECTED,
        **{**plain, **more},
    )


# 16: a no


async def wrong_language(stage: Stage) -> None:
    """The provider itself finds something wrong with the request."""
    await stage.ask(language="xx")


NO: Sequence[Moment] = (
    refused(16, "its own check", GATEWAY, wrong_language, Code.PROVIDER_VALIDATION),
    *(
        refused(16, f"{status}", provider, says(status, own(provider)), Code.PROVIDER_VALIDATION)
        for provider, statuses in (
            (PHONE, (400, 422)),
            (CANARY, (400, 422)),
            (POSTCODE, (400,)),
            (GATEWAY, (400, 405, 415, 422)),
        )
        for status in statuses
    ),
    *(
        our_fault(16, f"{status}", provider, says(status, own(provider)), reason)
        for status, reason in (
            (401, Code.CREDENTIALS_REFUSED),
            (403, Code.PERMISSION_REFUSED),
            (404, Code.ENDPOINT_MISSING),
        )
        for provider in PROVIDERS
        if (status, provider) != (401, CANARY)
    ),
    *(
        in_doubt(
            16,
            f"401 in words, account opened: {creates}",
            says(401, {"message": "Unauthorized"}, creates=creates),
            Code.UNEXPECTED_STATUS,
            READ,
            provider=CANARY,
            happened=creates,
            table="N",
            why="the token was good for the list just before, and gateways on the answer's way say this as well",
        )
        for creates in (True, False)
    ),
    *(
        in_doubt(
            16,
            f"{status}, unlisted",
            says(status, own(provider)),
            Code.UNEXPECTED_STATUS,
            READ,
            provider=provider,
            happened=False,
            table="N",
            why="no document of this vendor names the status, and what is not listed is in doubt (providers.md 0)",
        )
        for status, provider in ((405, PHONE), (405, CANARY), (415, POSTCODE))
    ),
    *(
        in_doubt(
            16,
            f"bare {status}, account opened: {creates}",
            page(status, creates=creates),
            Code.UNREADABLE_ANSWER,
            READ,
            provider=provider,
            happened=creates,
        )
        for status, provider, creates in (
            (400, PHONE, True),
            (401, CANARY, False),
            (403, POSTCODE, True),
            (404, GATEWAY, True),
            (405, PHONE, False),
            (415, CANARY, True),
            (422, POSTCODE, False),
        )
    ),
)

# 17: the name is taken

ANOTHERS: Mapping[str, Mapping[str, Any]] = {
    PHONE: {"contact": {**phone_com("another")["contact"], "name": "X", "primary_email": "x@example.org"}},
    GATEWAY: {"email": "another@example.org"},
}
"""The particulars by which somebody else's account of the same name differs."""


async def taken(stage: Stage) -> None:
    """Somebody else has the name already."""
    await stage.open_by_hand(**ANOTHERS[stage.provider])
    await stage.ask()


async def slower_than_settled(stage: Stage) -> None:
    """The provider opens the account only after its absence was confirmed, so the next create meets our own name."""
    stage.let_go_wrong(Fault.DELAYED_CREATE, until="at last")
    await stage.ask()
    for _ in range(4):
        await stage.later(LOOK_UP_EVERY)
    assert (await stage.entry()).reason is Code.CONFIRMED_ABSENT
    stage.sandbox.gate("at last").set()
    await stage.until_made()
    await stage.later()


async def found_after_all(stage: Stage) -> None:
    """The name is ours: the account that came late is adopted."""
    await stage.later(LOOK_UP_EVERY)
    assert (await stage.entry()).account_id == stage.accounts[0].id
    assert len(await stage.attempts()) == 2


def speaks_of_a_conflict(stage: Stage) -> None:
    """The provider says to every create no more than that there is such an account."""
    stage.let_go_wrong(Fault.STATUS, status=409, body=json.dumps(own(stage.provider)), times=None)


async def taken_in_doubt(stage: Stage) -> None:
    """Somebody else has the name, and the provider speaks of a conflict."""
    await stage.open_by_hand(**ANOTHERS[stage.provider])
    speaks_of_a_conflict(stage)
    await stage.ask()


async def taken_after_doubt(stage: Stage) -> None:
    """A create was cut off and its absence is confirmed; before the next one leaves somebody else takes the name."""
    stage.let_go_wrong(Fault.CUT_BEFORE_CREATE)
    await stage.ask()
    for _ in range(4):
        await stage.later(LOOK_UP_EVERY)
    assert (await stage.entry()).reason is Code.CONFIRMED_ABSENT
    await stage.open_by_hand(**ANOTHERS[stage.provider])
    await stage.later()


async def taken_behind_a_cut(stage: Stage) -> None:
    """Somebody else has the name, and the create is cut off before anything is said of it."""
    await stage.open_by_hand(**ANOTHERS[stage.provider])
    stage.let_go_wrong(Fault.CUT_BEFORE_CREATE)
    await stage.ask()


async def borne_before_too(stage: Stage) -> None:
    """Associates may share a name; one bears it already, and the provider speaks of a conflict."""
    await stage.open_by_hand()
    speaks_of_a_conflict(stage)
    await stage.ask()


async def borne_by_ours(stage: Stage) -> None:
    """An account of ours comes after its absence was confirmed: it is seen before the next create, which stays here."""
    stage.let_go_wrong(Fault.DELAYED_CREATE, until="at last")
    await stage.ask()
    for _ in range(4):
        await stage.later(LOOK_UP_EVERY)
    assert (await stage.entry()).reason is Code.CONFIRMED_ABSENT
    stage.sandbox.gate("at last").set()
    await stage.until_made()
    await stage.later()


async def somebody_elses(stage: Stage) -> None:
    """The first look-up shows whose account it is: the request is refused for good, and nothing more is sent."""
    await stage.later(LOOK_UP_EVERY)
    await refused_for_good(stage)


async def somebody_elses_once_settled(stage: Stage) -> None:
    """That ours is not there is believed as late as ever; then the request is refused for good, not sent again."""
    for _ in range(3):
        await stage.later(LOOK_UP_EVERY)
        assert (await stage.entry()).state is State.IN_DOUBT
    await stage.later(LOOK_UP_EVERY)
    await refused_for_good(stage)


async def asked_before_it_is_refused(stage: Stage) -> None:
    """A cut says nothing about the name: absence is confirmed, and only the provider's next answer makes a conflict."""
    for _ in range(4):
        await stage.later(LOOK_UP_EVERY)
    assert (await stage.entry()).reason is Code.CONFIRMED_ABSENT
    await stage.later()
    assert (await stage.entry()).reason is Code.CONFLICT_AT_PROVIDER
    await somebody_elses(stage)


async def refused_for_good(stage: Stage) -> None:
    """It is over because of the name."""
    entry = await stage.entry()
    assert (entry.state, entry.reason) == (State.REJECTED, Code.NAME_TAKEN)
    await unchanged(stage)


async def contradictory(stage: Stage) -> None:
    """What the provider says exists and does not show as ours is neither adopted nor sent again: a person is asked."""
    for _ in range(16):
        await stage.later(LOOK_UP_EVERY)
    entry = await stage.entry()
    assert (entry.state, entry.reason) == (State.HELD, Code.LOOK_UP_AMBIGUOUS)
    await unchanged(stage)


def anothers(how: str, provider: str, bring: Act, then: Act = somebody_elses, **more: Any) -> Moment:
    """The name turns out to be somebody else's, so the request is refused for good."""
    plain: dict[str, Any] = {"happened": False, "end": State.REJECTED, "creates": 2}
    reason = more.pop("reason", Code.CONFLICT_AT_PROVIDER)
    return in_doubt(17, how, bring, reason, provider=provider, then=then, **{**plain, **more})


def left_to_a_person(how: str, bring: Act, **more: Any) -> Moment:
    """Gateway360 shows one field by which somebody else's account differs, and that proves nothing."""
    return anothers(how, GATEWAY, bring, contradictory, end=State.HELD, **more)


TAKEN: Sequence[Moment] = (
    *(
        in_doubt(
            17,
            "409, account opened",
            says(409, own(provider), creates=True),
            Code.CONFLICT_AT_PROVIDER,
            READ,
            provider=provider,
        )
        for provider in (PHONE, CANARY, GATEWAY)
    ),
    *(
        in_doubt(
            17,
            "409, no account opened",
            says(409, own(provider), creates=False),
            Code.CONFLICT_AT_PROVIDER,
            READ,
            provider=provider,
            then=contradictory,
            end=State.HELD,
            accounts=0,
            creates=1,
        )
        for provider in (PHONE, CANARY, GATEWAY)
    ),
    *(
        refused(17, "taken by another", provider, taken, Code.NAME_TAKEN, accounts=1, creates=2)
        for provider in (PHONE, GATEWAY)
    ),
    *(
        in_doubt(
            17,
            "taken by ourselves",
            slower_than_settled,
            Code.CONFLICT_AT_PROVIDER,
            READ,
            provider=provider,
            then=found_after_all,
            creates=2,
        )
        for provider in (PHONE, GATEWAY)
    ),
    anothers("409 because of another", PHONE, taken_in_doubt, seen=READ),
    anothers("taken by another after a doubt", PHONE, taken_after_doubt, seen=READ, creates=3),
    anothers(
        "cut, and taken by another",
        PHONE,
        taken_behind_a_cut,
        asked_before_it_is_refused,
        reason=Code.CONNECTION_LOST,
        creates=3,
    ),
    left_to_a_person("409 because of another", taken_in_doubt, seen=READ),
    left_to_a_person("taken by another after a doubt", taken_after_doubt, seen=READ, creates=3),
    left_to_a_person("cut, and taken by another", taken_behind_a_cut, reason=Code.CONNECTION_LOST),
    anothers("409 because of one before", CANARY, borne_before_too, somebody_elses_once_settled, seen=READ),
    in_doubt(
        17,
        "one that may be ours came after its absence was confirmed",
        borne_by_ours,
        Code.LOOK_UP_AMBIGUOUS,
        provider=CANARY,
        state=State.HELD,
        then=unchanged,
        end=State.HELD,
    ),
)
