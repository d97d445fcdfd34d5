"""Finding the providers: one file each, and clear words when one is wrong."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import JsonValue

import contracts.providers
from contracts.examples import messages
from contracts.model import AlsoSent, ClosedModel, OpenModel, given, reveal, secret_paths
from contracts.providers import ProviderContract, collect, discover
from contracts.request import REQUEST_TYPE
from contracts.schemas import schemas
from tests.providers.known import KNOWN


class Parameters(ClosedModel):
    """What a made-up provider asks for."""


class Account(OpenModel):
    """What a made-up provider tells."""


GOOD: dict[str, Any] = {
    "NAME": "fifth",
    "Parameters": Parameters,
    "Account": Account,
    "Credentials": Account,
    "ALSO_SENT": (AlsoSent("header Authorization", "settings", "a key"),),
    "recognised_by": lambda asked, request_id: {},
    "misfit": lambda account_id, asked: None,
    "known_account": lambda account_id, asked: Account(),
}


def module(name: str, **pieces: object) -> ModuleType:
    """Give a module that holds the given pieces."""
    made = ModuleType(f"contracts.providers.{name}")
    vars(made).update(pieces)
    return made


def test_the_providers_are_found_in_the_order_of_their_names() -> None:
    """Each public module of the package is a provider, by its own name."""
    files = Path(contracts.providers.__file__).parent.glob("[!_]*.py")
    assert list(discover()) == sorted(file.stem for file in files)
    assert [provider.NAME for provider in discover().values()] == list(discover())


def test_a_fifth_provider_needs_nothing_but_its_module() -> None:
    """A module with all its pieces is taken as it is."""
    fifth = module("fifth", **GOOD)
    assert collect([fifth])["fifth"].Parameters is Parameters


def example(provider: ProviderContract) -> Mapping[str, JsonValue]:
    """What the provider's example asks for."""
    asked: Any = messages()[f"{REQUEST_TYPE}.{provider.NAME}"]["data"]
    return reveal(provider.Parameters.model_validate(asked["parameters"]))


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_what_an_account_is_recognised_by_is_what_was_asked(provider: ProviderContract) -> None:
    """A person who looks for it in the vendor's portal is told what was asked, and has something to look for."""
    asked = example(provider)
    told = provider.recognised_by(asked, "0b1f7c52-8a3d-4e6f-9c10-2d3e4f5a6b7c")
    assert told
    assert told == given(asked, *told)


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_what_an_account_is_recognised_by_is_no_secret(provider: ProviderContract) -> None:
    """Were it given the secrets that nobody gives it, it would not show them either."""
    secrets = {path[0]: f"canary-{path[0]}" for path in secret_paths(provider.Parameters)}
    told = provider.recognised_by({**example(provider), **secrets}, "0b1f7c52-8a3d-4e6f-9c10-2d3e4f5a6b7c")
    assert "canary-" not in str(told)
    assert not secrets.keys() & {name.split(".")[0] for name in told}


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_an_id_that_the_account_cannot_have_is_told_from_one_that_it_can(provider: ProviderContract) -> None:
    """A slip of the hand would be recorded for good; what only looks odd is told and let through."""
    known, asked = KNOWN[provider.NAME], example(provider)
    for account_id in known.account_ids:
        assert provider.misfit(account_id, asked) is None, account_id
    for account_id in known.unusual_ids:
        misfit = provider.misfit(account_id, asked)
        assert misfit is not None, account_id
        assert (misfit.is_certain, bool(misfit.looks_like)) == (False, True), account_id
    assert known.no_account_ids
    for account_id in ("", " ", *known.no_account_ids):
        misfit = provider.misfit(account_id, asked)
        assert misfit is not None, account_id
        assert (misfit.is_certain, bool(misfit.looks_like)) == (True, True), account_id


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_an_id_in_a_second_spelling_is_refused_with_the_first(provider: ProviderContract) -> None:
    """Ids are compared letter by letter: spelled otherwise, one account could be given to two requests for good."""
    for spelling, usual in KNOWN[provider.NAME].second_spellings.items():
        misfit = provider.misfit(spelling, example(provider))
        assert misfit is not None, spelling
        assert (misfit.is_certain, misfit.looks_like) == (True, f"spelled {usual}"), spelling


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_an_account_that_a_person_found_is_told_by_the_published_schema(provider: ProviderContract) -> None:
    """Its id and what was asked make an account that consumers can read, with the id where it belongs."""
    account = provider.known_account("A-7", example(provider)).model_dump(mode="json")
    Draft202012Validator(schemas()[f"{provider.NAME}.account.v1"]).validate(account)
    assert next(iter(account.values())) == "A-7"


def test_two_modules_with_one_name_are_refused_by_both_names() -> None:
    """A copied file whose NAME was forgotten is told, with the two files."""
    with pytest.raises(ValueError, match=r"providers\.second and contracts\.providers\.first .*'fifth'"):
        collect([module("first", **GOOD), module("second", **GOOD)])


@pytest.mark.parametrize("piece", GOOD)
def test_a_missing_piece_is_named_with_its_module(piece: str) -> None:
    """Whoever writes a provider is told what is missing and where."""
    pieces = {name: value for name, value in GOOD.items() if name != piece}
    with pytest.raises(TypeError, match=rf"contracts\.providers\.half must define {piece}"):
        collect([module("half", **pieces)])


@pytest.mark.parametrize(
    ("piece", "value", "reason"),
    [
        ("Parameters", Account, "an open model would let mistyped fields pass"),
        ("Parameters", Parameters(), "an instance is no class"),
        ("Account", Parameters, "a closed model would break readers"),
        ("Credentials", dict, "no model at all"),
        ("ALSO_SENT", [], "a list could be changed"),
        ("recognised_by", {}, "nothing that can be asked"),
        ("misfit", {}, "nothing that can be asked"),
        ("known_account", {}, "nothing that can be asked"),
        ("ALSO_SENT", (("header Authorization", "settings", "a key"),), "a plain tuple has no names"),
        ("ALSO_SENT", AlsoSent("header Authorization", "settings", "a key"), "one is not all of them"),
        ("NAME", 5, "no text"),
    ],
)
def test_a_piece_of_the_wrong_kind_is_refused(piece: str, value: object, reason: str) -> None:
    """Each piece must be what the rest of the code relies on."""
    with pytest.raises(TypeError, match=f"must define {piece}"):
        collect([module("odd", **(GOOD | {piece: value}))])


@pytest.mark.parametrize("name", ["Fifth", "fifth.one", "", "5th", "f" * 51])
def test_a_name_that_cannot_stand_in_a_routing_key_is_refused(name: str) -> None:
    """The name is one word of the routing key, of a queue's name and of a metric's label."""
    with pytest.raises(ValueError, match="lower-case letters"):
        collect([module("odd", **(GOOD | {"NAME": name}))])
