"""The golden messages obey both the JSON Schemas and the models."""

import json
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from jsonschema import Draft202012Validator

import contracts
from contracts.cases import cases
from contracts.credentials import SealedContent
from contracts.examples import forms, messages
from contracts.model import secret_paths
from contracts.providers import ProviderContract, discover
from contracts.reason import ReasonCode
from contracts.request import REQUEST_TYPE, RequestContext, RequestData
from contracts.result import EVENT_MODELS, as_wire, read_result
from contracts.schemas import schemas

MESSAGES = messages()
CASES = cases()
SCHEMAS = schemas()
RESULTS = [name for name, message in MESSAGES.items() if message["type"] in EVENT_MODELS]
REQUESTS = [name for name in MESSAGES if name.startswith(REQUEST_TYPE)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_a_valid_schema_itself(name: str) -> None:
    """What is exported is correct JSON Schema of the dialect that it names."""
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_there_is_a_request_and_every_result_for_every_provider() -> None:
    """No provider and no kind of message lacks a golden message."""
    types = (REQUEST_TYPE, *EVENT_MODELS)
    assert set(MESSAGES) == {f"{event_type}.{provider}" for event_type in types for provider in discover()}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_committed_message_is_the_golden_one(name: str) -> None:
    """The file on disk holds the message, so that other languages test against the same."""
    file = Path(contracts.__file__).parent / f"examples/{name}.json"
    assert json.loads(file.read_text(encoding="utf-8")) == MESSAGES[name]


@pytest.mark.parametrize("name", REQUESTS)
def test_each_golden_request_obeys_the_schemas_and_the_models(name: str) -> None:
    """The general and the provider's schema accept the request, and both stages of reading it succeed."""
    message: Any = MESSAGES[name]
    Draft202012Validator(SCHEMAS[REQUEST_TYPE]).validate(message)
    Draft202012Validator(SCHEMAS[name]).validate(message)
    context = RequestContext.model_validate({key: value for key, value in message.items() if key != "data"})
    data = RequestData.model_validate(message["data"])
    parameters = discover()[data.provider].Parameters.model_validate(data.parameters)
    assert context.id == message["id"]
    assert parameters.model_dump(exclude_unset=True).keys() == message["data"]["parameters"].keys()


@pytest.mark.parametrize("name", RESULTS)
def test_each_golden_result_obeys_its_schema_and_its_model(name: str) -> None:
    """The schema accepts the event, and reading and writing it again changes nothing."""
    message: Any = MESSAGES[name]
    Draft202012Validator(SCHEMAS[message["type"]]).validate(message)
    Draft202012Validator(SCHEMAS["envelope.v1"]).validate(message)
    assert as_wire(read_result(message)) == message


@pytest.mark.parametrize("name", CASES)
def test_each_rare_case_obeys_its_schema_and_its_model(name: str) -> None:
    """What a consumer meets rarely can be tried before it comes, and every one of them is an event of its own."""
    message: Any = CASES[name]
    Draft202012Validator(SCHEMAS[message["type"]]).validate(message)
    assert as_wire(read_result(message)) == message
    ids = [one["id"] for one in (*MESSAGES.values(), *CASES.values())]
    assert ids.count(message["id"]) == 1


def test_the_rare_cases_show_what_the_ordinary_results_do_not() -> None:
    """Fields that are null or filled only now and then are so in one of them."""
    datas: Any = [case["data"] for case in CASES.values()]
    assert any(data["provider"] is None for data in datas)
    assert any(data["dry_run"] for data in datas)
    assert any(data.get("problems") for data in datas)
    assert any(data["outcome"] == "held" and data["account_id"] for data in datas)
    assert any(data.get("credentials_missing") for data in datas)
    assert any(data.get("evidence") == "operator" for data in datas)
    assert any(data.get("account_may_exist") for data in datas)


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_the_account_of_a_golden_result_obeys_the_providers_model(provider: ProviderContract) -> None:
    """The facts told about an account are the provider's own, and the first of them is the account id."""
    data: Any = MESSAGES[f"account.provisioned.v1.{provider.NAME}"]["data"]
    Draft202012Validator(SCHEMAS[f"{provider.NAME}.account.v1"]).validate(data["account"])
    account = provider.Account.model_validate(data["account"])
    assert account.model_dump() == data["account"]
    assert next(iter(data["account"].values())) == data["account_id"]


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_a_golden_result_carries_credentials_where_the_provider_has_some(provider: ProviderContract) -> None:
    """Credentials and their classification stand in the event exactly when the provider issues secrets."""
    message: Any = MESSAGES[f"account.provisioned.v1.{provider.NAME}"]
    has_secrets = bool(secret_paths(provider.Credentials))
    assert (message["data"]["credentials"] is not None) == has_secrets
    assert (message.get("dataclassification") == "confidential") == has_secrets
    assert (f"{provider.NAME}.credentials.v1" in SCHEMAS) == has_secrets


def test_decrypted_credentials_obey_their_schema_and_their_model() -> None:
    """What a consumer finds in the JWE is read by the model that the schema was made from."""
    provider = discover()["gateway360"]
    content = {
        "event_id": "e",
        "request_id": "r",
        "provider": "gateway360",
        "account_id": "a",
        "credentials": {"password": "example-password"},
    }
    Draft202012Validator(SCHEMAS["gateway360.credentials.v1"]).validate(content)
    read = SealedContent[provider.Credentials].model_validate(content)  # type: ignore[name-defined] # found at run time
    assert read.credentials.password.get_secret_value() == "example-password"
    assert read.credentials.api_key is None


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_all_forms_of_a_request_hold_the_same_data(provider: ProviderContract) -> None:
    """The body of every form is the data, or holds it."""
    of_provider: Any = forms(provider)
    data = of_provider["structured"]["body"]["data"]
    assert [form["body"] for name, form in of_provider.items() if name != "structured"] == [data] * 4


def test_the_reason_schema_lists_exactly_the_catalogue() -> None:
    """Every code is accepted by the exported catalogue and nothing else is."""
    validator = Draft202012Validator(SCHEMAS["reasons.v1"])
    assert all(validator.is_valid(code.value) for code in ReasonCode)
    assert not validator.is_valid("no_such_reason")


def test_the_schema_of_a_provider_refuses_another_providers_name() -> None:
    """A request with the wrong provider's name is found by the schema alone."""
    message: Any = MESSAGES[f"{REQUEST_TYPE}.gateway360"]
    changed = message | {"data": message["data"] | {"provider": "phone_com"}}
    assert not Draft202012Validator(SCHEMAS[f"{REQUEST_TYPE}.gateway360"]).is_valid(changed)


@pytest.mark.parametrize("name", MESSAGES)
def test_another_reader_of_cloudevents_understands_each_message(name: str) -> None:
    """The official kit of CloudEvents reads every golden message as a valid event of its version 1.0."""
    text = json.dumps(MESSAGES[name]).encode()
    event = JSONFormat().read(CloudEvent, text)
    assert event.get_id() == MESSAGES[name]["id"]
    assert event.get_type() == MESSAGES[name]["type"]
    assert event.get_data() == MESSAGES[name]["data"]
