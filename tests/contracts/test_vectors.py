"""The test vectors of credentials: they decrypt, they belong to their golden events, and their keys protect nothing."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jwcrypto import jwe, jwk
from jwcrypto.common import base64url_decode

from contracts.credentials import TEST_VECTOR_KID
from contracts.examples import messages, vectors
from contracts.schemas import schemas
from tests.vectors import WARNING, holds, with_secrets
from worker.core.errors import ConfigurationError
from worker.keyring import read_consumer_keys

VECTORS: dict[str, Any] = {name: json.loads(text) for name, text in vectors().items()}
every_vector = pytest.mark.parametrize("name", VECTORS)


def test_every_provider_with_credentials_has_a_vector_that_holds() -> None:
    """A changed golden event needs a new vector: run `python -m tests.vectors`."""
    assert list(VECTORS) == list(with_secrets())
    assert [name for name, provider in with_secrets().items() if not holds(provider)] == []


def test_each_algorithm_is_among_the_vectors() -> None:
    """A consumer with a key of any kind finds one to try."""
    keys = [vector["private_key"] for vector in VECTORS.values()]
    assert {(key["kty"], key.get("crv")) for key in keys} == {
        ("EC", "P-256"),
        ("OKP", "X25519"),
        ("RSA", None),
    }


@every_vector
def test_another_library_decrypts_the_vector(name: str) -> None:
    """The JWE, taken from the golden event, gives the plain text, which fits its schema."""
    vector, event = VECTORS[name], messages()[f"account.provisioned.v1.{name}"]
    data: Any = event["data"]
    allowed = [vector["private_key"]["alg"], "A256GCM"]
    token = jwe.JWE(algs=allowed)
    token.deserialize(data["credentials"], jwk.JWK(**vector["private_key"]))
    content = json.loads(token.payload)
    Draft202012Validator(schemas()[f"{name}.credentials.v1"]).validate(content)
    assert content == vector["plain_text"]
    bound = (content["event_id"], content["request_id"], content["provider"], content["account_id"])
    assert bound == (event["id"], data["request_id"], data["provider"], data["account_id"])


@every_vector
def test_a_vectors_key_says_what_it_is(name: str) -> None:
    """Whoever sees the file, the key or the header of the JWE is warned."""
    vector = VECTORS[name]
    assert vector["warning"] == WARNING
    assert vector["private_key"]["kid"].startswith(TEST_VECTOR_KID)
    assert (
        json.loads(base64url_decode(vector["jwe"].partition(".")[0]))["kid"] == vector["private_key"]["kid"]
    )


@every_vector
def test_the_worker_refuses_a_vectors_key(name: str) -> None:
    """Neither half becomes a consumer's key, whatever its dates say."""
    key = {**VECTORS[name]["private_key"], "exp": 4_000_000_000}
    public = {member: key[member] for member in key if member not in ("d", "p", "q", "dp", "dq", "qi")}
    with pytest.raises(ConfigurationError, match="a private or symmetric key"):
        read_consumer_keys(json.dumps({"keys": [key]}), "test")
    with pytest.raises(ConfigurationError, match="is a test vector"):
        read_consumer_keys(json.dumps({"keys": [public]}), "test")
