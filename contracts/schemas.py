"""The JSON Schemas of the wire (dialect 2020-12), made from the models.

A file's name without `.json` is the end of the schema's address: `account.held.v1.json` is
`urn:provisioner:schema:account.held.v1`. Everything is inline; nothing is fetched.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import GenerateJsonSchema

from contracts.credentials import SealedContent
from contracts.model import secret_paths
from contracts.providers import ProviderContract, discover
from contracts.reason import CATALOGUE, Reason
from contracts.request import REQUEST_TYPE, ProvisionRequest, RequestContext, RequestData
from contracts.result import EVENT_MODELS, TYPE_OF_OUTCOME, ResultEnvelope, schema_urn

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def schemas() -> Mapping[str, Schema]:
    """Give every JSON Schema by the last part of its address."""
    return {name: {"$schema": DIALECT, "$id": schema_urn(name), **schema} for name, schema in _all()}


def _all() -> Iterator[tuple[str, Schema]]:
    yield REQUEST_TYPE, _of(_AnyRequest, "validation")
    for provider in discover().values():
        yield f"{REQUEST_TYPE}.{provider.NAME}", _request_of(provider)
        yield f"{provider.NAME}.account.v1", _account_of(provider)
        if secret_paths(provider.Credentials):
            yield f"{provider.NAME}.credentials.v1", _credentials_of(provider)
    yield "envelope.v1", _of(ResultEnvelope, "serialization")
    for outcome, event_type in TYPE_OF_OUTCOME.items():
        yield event_type, _titled(_of(EVENT_MODELS[event_type], "serialization"), outcome.capitalize())
    yield "reasons.v1", _reasons()


class _AnyRequest(RequestContext):
    """A request to any provider; its parameters are described by the schema of that provider's requests."""

    model_config = ConfigDict(title="Request to any provider")

    data: RequestData


def _request_of(provider: ProviderContract) -> Schema:
    """Give the schema of a whole request to one provider; its name is the only value `provider` may have."""
    schema = _of(ProvisionRequest[provider.Parameters], "validation")  # type: ignore[name-defined] # chosen at run time
    data = schema["$defs"][schema["properties"]["data"]["$ref"].rpartition("/")[2]]
    data["properties"]["provider"] = {
        "const": provider.NAME,
        "description": data["properties"]["provider"]["description"],
    }
    data["title"] = "RequestData"
    return _titled(schema, _camel_case(provider.NAME)) | {"title": f"Request to {provider.NAME}"}


def _account_of(provider: ProviderContract) -> Schema:
    return _of(provider.Account, "serialization") | {"title": f"{_camel_case(provider.NAME)}Account"}


def _credentials_of(provider: ProviderContract) -> Schema:
    schema = _of(SealedContent[provider.Credentials], "validation")  # type: ignore[name-defined] # as above
    titled = _titled(schema, _camel_case(provider.NAME))
    return titled | {"title": f"Decrypted credentials of {provider.NAME}"}


def _titled(schema: Schema, owner: str) -> Schema:
    """Put the owner before the title of each definition: who makes classes of all files gets no name twice."""
    for definition in schema.get("$defs", {}).values():
        title = definition.get("title", "")
        if title and not title.startswith(owner):
            definition["title"] = f"{owner}{title}"
    return schema


def _camel_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _reasons() -> Schema:
    return {
        "title": "ReasonCode",
        "description": "The reason codes. A reader must expect further ones within a major version.",
        "type": "string",
        "oneOf": [_reason(reason) for reason in CATALOGUE.values()],
    }


def _reason(reason: Reason) -> Schema:
    return {
        "const": reason.code.value,
        "description": reason.meaning,
        "x-retried": reason.retried,
        "x-what-to-do": reason.what_to_do,
    }


def _of(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> Schema:
    return model.model_json_schema(mode=mode, schema_generator=_WithoutFieldTitles)


class _WithoutFieldTitles(GenerateJsonSchema):
    """A title made from a field's name says nothing that the name does not."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the signature is pydantic's
        return False
