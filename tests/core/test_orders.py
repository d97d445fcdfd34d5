"""From the request to the sealed row and back: what counts as the same, and what survives a restart."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.providers import discover
from contracts.request import REQUEST_TYPE
from tests.builders import make_entry, make_message, make_outcome, make_request
from tests.core.world import World, make_place, open_world
from tests.fakes import AcmeParameters, FixedClock
from worker.core.decode import Decoded, Limits, decode, read_parameters
from worker.core.errors import SealBroken
from worker.core.orders import Orders, asked_for, canonical, generated_secrets
from worker.core.provider import Provider, ProviderSettings
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.keyring import Keyring, new_key
from worker.providers import discover as discover_handlers

CLOCK = FixedClock()


def meaning(model: type[AcmeParameters] = AcmeParameters, /, **data: Any) -> bytes:
    """The canonical content of a request to the pretended provider."""
    request = decode(make_message(make_request(**data)), Limits())
    assert isinstance(request, Decoded)
    parameters = read_parameters(request, model)
    assert isinstance(parameters, model)
    return canonical(request, parameters)


SAME = [
    ({"parameters": {"company": "Example", "note": None}}, "null is absent"),
    ({"parameters": {"note": None, "password": None, "company": "Example"}}, "in any order"),
    ({"dry_run": False}, "a default that is spelled out"),
    ({"deadline": "2027-01-01T00:00:00Z"}, "more time for the same account"),
]
OTHER = [
    ({"parameters": {"company": "Another"}}, "another company"),
    ({"parameters": {"company": "Example", "note": "x"}}, "a note"),
    ({"parameters": {"company": "Example", "note": ""}}, "an empty note is a note"),
    ({"parameters": {"company": "Example", "password": "p"}}, "a password"),
    ({"parameters": {"company": "example"}}, "other capitals"),
    ({"dry_run": True}, "a dry run"),
]


@pytest.mark.parametrize(("data", "reason"), SAME, ids=[reason for _, reason in SAME])
def test_what_means_the_same_is_the_same(data: dict[str, Any], reason: str) -> None:
    """A request is compared by what it asks for, not by how it is spelled."""
    assert meaning(**data) == meaning(), reason


@pytest.mark.parametrize(("data", "reason"), OTHER, ids=[reason for _, reason in OTHER])
def test_what_asks_for_something_else_is_another_content(data: dict[str, Any], reason: str) -> None:
    """Each difference that a provider could see makes a conflict."""
    assert meaning(**data) != meaning(), reason


class LaterParameters(AcmeParameters):
    """The same contract after it gained an optional field."""

    tier: str | None = None


def test_a_contract_that_gains_an_optional_field_makes_no_conflicts() -> None:
    """A request from before the change and its repetition after it are the same."""
    assert meaning(LaterParameters) == meaning()
    assert meaning(LaterParameters, parameters={"company": "Example", "tier": "gold"}) != meaning()


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_two_contents_never_share_a_fingerprint(one: str, other: str) -> None:
    """The canonical form keeps apart what differs, whatever characters it holds."""
    same = meaning(parameters={"company": one}) == meaning(parameters={"company": other})
    assert same == (one == other)


async def test_a_generated_password_is_stored_before_it_is_sent_and_stays_the_same(
    empty: Path, tmp_path: Path
) -> None:
    """Every attempt, also after a restart, sends the password that was generated first."""
    place = make_place(empty, tmp_path)
    place.give_consumer_key()
    place.acme.generates = "generated-1"
    place.acme.creates.then(make_outcome(Verdict.NOT_DONE, retry=True))
    async with open_world(place) as world:
        await world.ask()
        entry = await world.entry()
        assert generated_secrets(place.keyring, entry)["password"].get_secret_value() == "generated-1"
    place.acme.generates = "generated-2"
    async with open_world(place, "worker-2") as world:
        await world.go_round(after=10)
    passwords = [order.parameters.password.get_secret_value() for order in place.acme.sent]
    assert passwords == ["generated-1", "generated-1"]
    assert [order.generated for order in place.acme.sent] == [frozenset({"password"})] * 2


async def test_asking_again_does_not_generate_a_conflict(world: World) -> None:
    """A generated password is ours, so the same request without one is still the same."""
    world.place.give_consumer_key()
    world.place.acme.generates = "generated-1"
    await world.ask()
    world.place.acme.generates = "generated-2"
    assert (await world.take()).verbs == ["ack"]


async def test_what_was_asked_for_can_be_told_without_its_values(world: World) -> None:
    """Names of parameters, given or generated, and of those that were generated here."""
    entry = await world.ask(parameters={"company": "Example", "password": "given"})
    assert asked_for(world.place.keyring, entry) == {"company", "password"}
    assert generated_secrets(world.place.keyring, entry) == {}


async def test_a_row_opens_only_under_its_own_id(world: World) -> None:
    """Sealed content that was moved to another row is not read as that row's."""
    one, two = await world.ask("order-1"), await world.ask("order-2")
    with pytest.raises(SealBroken):
        world.desk.orders.order(replace(one, sealed_request=two.sealed_request))


async def test_a_row_whose_key_is_gone_is_held_and_never_sent(world: World) -> None:
    """What nobody can read any more is not guessed: a person is asked, and nothing was sent."""
    world.place.acme.creates.then(make_outcome(Verdict.NOT_DONE, retry=True))
    await world.ask()
    world.desk.orders.sealer._keys["lost"] = world.desk.orders.sealer._keys.popitem()[1]  # type: ignore[attr-defined]
    await world.go_round(after=10)
    entry = await world.entry()
    assert entry.state is State.HELD
    assert len(world.place.acme.sent) == 1


@pytest.mark.parametrize("name", sorted(discover()))
def test_every_providers_request_comes_back_as_it_was_stored(name: str) -> None:
    """Whatever types a contract uses, the sealed row opens to the very parameters that were accepted."""
    contract = discover()[name]
    handler = discover_handlers()[name]
    provider = _bare(handler)
    keyring = Keyring([new_key(CLOCK.now())], CLOCK)
    orders = Orders(keyring, {name: provider}, frozenset({name}))
    extra: Any = contract.Parameters.model_config["json_schema_extra"]
    example: dict[str, Any] = extra["examples"][0]
    for body in (example, {key: value for key, value in example.items() if key != "password"}):
        request = _request(name, body)
        parameters = read_parameters(request, handler.Parameters)
        assert isinstance(parameters, handler.Parameters)
        arrival = orders.arrival(request, parameters, CLOCK.now())
        entry = make_entry(
            request_id=arrival.request_id, provider=name, sealed_request=arrival.sealed_request
        )
        order = orders.order(entry)
        stored = order.parameters.model_dump(exclude=set(order.generated))
        assert stored == parameters.model_dump(exclude=set(order.generated))
        assert arrival.same(arrival.fingerprint)


def _bare(handler: Any) -> Provider:
    """A handler without settings or connection: enough to complete parameters."""
    made: Provider = handler.__new__(handler)
    made.settings = ProviderSettings(base_url="http://unused.test")
    return made


def _request(name: str, parameters: dict[str, Any]) -> Decoded:
    data = {"idempotency_key": "k", "provider": name, "parameters": parameters}
    envelope = {"specversion": "1.0", "id": "e", "source": "urn:s", "type": REQUEST_TYPE, "data": data}
    request = decode(make_message(json.dumps(envelope).encode()), Limits())
    assert isinstance(request, Decoded)
    return request
