"""Credentials for the consumer alone: another library reads them, nobody else can."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from jwcrypto import jwe, jwk
from jwcrypto.common import base64url_decode, base64url_encode

from worker.core.clock import SystemClock
from worker.core.errors import ConfigurationError
from worker.keyring import (
    ConsumerKeys,
    load_consumer_keys,
    new_consumer_key,
    read_consumer_keys,
)

if TYPE_CHECKING:
    from worker.core.sealing import CredentialBox

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
CRM = "urn:crm"


class FixedClock(SystemClock):
    """A clock that stands still."""

    def time_of_day(self) -> datetime:
        return NOW


def generate(kind: str) -> ECKey | OKPKey | RSAKey:
    match kind:
        case "RSA":
            return RSAKey.generate_key(2048)
        case "X25519":
            return OKPKey.generate_key("X25519")
        case _:
            return ECKey.generate_key(kind)


PAIRS = {kind: generate(kind) for kind in ("P-256", "X25519", "RSA")}
EC = PAIRS["P-256"].as_dict(private=False)


def private(kind: str) -> dict[str, Any]:
    return dict(PAIRS[kind].as_dict(private=True))


def public(kind: str, **more: object) -> dict[str, Any]:
    return {**PAIRS[kind].as_dict(private=False), **more}


def key_set(*entries: object) -> str:
    return json.dumps({"keys": entries})


def box(*entries: object) -> ConsumerKeys:
    return ConsumerKeys(read_consumer_keys(key_set(*entries), "here"), clock=FixedClock())


def read_with_jwcrypto(token: str, key: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Open a JWE with the other library; gives header and payload."""
    opened = jwe.JWE()
    opened.deserialize(token, jwk.JWK(**key))
    return json.loads(opened.objects["protected"]), json.loads(opened.payload)


def kid_of(token: str) -> str:
    return str(jwe.JWE.from_jose_token(token).jose_header["kid"])


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("P-256", "ECDH-ES+A256KW"), ("X25519", "ECDH-ES+A256KW"), ("RSA", "RSA-OAEP-256")],
)
def test_another_library_reads_it(kind: str, algorithm: str) -> None:
    """What is encrypted for each kind of key opens with the private half in a library that is not ours."""
    token = box(public(kind, kid="k1", use="enc")).encrypt(CRM, {"password": "canary", "n": 1})
    header, payload = read_with_jwcrypto(token, private(kind))
    assert payload == {"password": "canary", "n": 1}
    assert {"alg": algorithm, "enc": "A256GCM", "kid": "k1"}.items() <= header.items()
    assert re.fullmatch(r"[\w-]+(\.[\w-]+){4}", token)


@given(payload=st.dictionaries(st.text(max_size=20), st.text() | st.integers() | st.none() | st.booleans()))
def test_payload_arrives_as_it_was(payload: dict[str, object]) -> None:
    """Any JSON object comes out as it went in, whatever characters it has."""
    _, arrived = read_with_jwcrypto(box(public("P-256")).encrypt(CRM, payload), private("P-256"))
    assert arrived == payload


def test_any_changed_byte_is_noticed() -> None:
    """A nonce, ciphertext or tag of which one bit was changed does not open."""
    parts = box(public("P-256")).encrypt(CRM, {"password": "canary"}).split(".")
    for part in (2, 3, 4):
        data = base64url_decode(parts[part])
        for place in range(len(data)):
            changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            token = ".".join([*parts[:part], base64url_encode(changed), *parts[part + 1 :]])
            with pytest.raises(jwe.InvalidJWEData):
                read_with_jwcrypto(token, private("P-256"))


@pytest.mark.parametrize(
    ("entries", "kid", "reason"),
    [
        ([{"kid": "a"}, {"kid": "b"}], "b", "without dates the one added last is newest"),
        ([{"kid": "a", "iat": 200}, {"kid": "b", "iat": 100}], "a", "the later issue date is newest"),
        ([{"kid": "a", "nbf": 200}, {"kid": "b", "nbf": 100}], "a", "a begin dates a key as well"),
        ([{"kid": "a"}, {"kid": "b", "exp": SECONDS}], "a", "an expired key is skipped"),
        ([{"kid": "a"}, {"kid": "b", "exp": SECONDS + 1}], "b", "a key that expires later is used"),
        ([{"kid": "a"}, {"kid": "b", "nbf": SECONDS + 1}], "a", "a key that has not begun is skipped"),
        ([{"kid": "a"}, {"kid": "b", "use": "sig"}], "a", "a key for signatures is skipped"),
        ([{"kid": "a"}, {"kid": "b", "key_ops": ["verify"]}], "a", "so is one that says so the other way"),
        ([{"kid": "a"}, {"kid": "b", "alg": "ECDH-ES"}], "a", "a key for another algorithm is skipped"),
        ([{"kid": "a"}, {"kid": "b", "alg": "ECDH-ES+A256KW"}], "b", "a key for our algorithm is used"),
        ([{"kid": "a"}, {"kid": "b", "crv": "P-384"}], "a", "a key on another curve is skipped"),
        ([{"kid": "a"}, {"kid": "b", "y": EC["x"]}], "a", "a point beside the curve is skipped"),
        ([{"kid": "a"}, {"kid": "b", "exp": "soon"}], "a", "a key whose end cannot be read is skipped"),
        ([{"kid": "a"}, {"kid": "b", "kty": "XYZ"}], "a", "a kind nobody knows is skipped"),
    ],
)
def test_newest_usable_key_is_chosen(entries: list[dict[str, object]], kid: str, reason: str) -> None:
    """Of several keys the newest that can be used is used."""
    token = box(*(public("P-256") | entry for entry in entries)).encrypt(CRM, {})
    assert kid_of(token) == kid, reason


@pytest.mark.parametrize(
    ("entry", "troubles"),
    [
        ({"crv": "P-384"}, 1),
        ({"crv": "P-384", "alg": "ES384"}, 0),
        ({"kty": "OKP", "crv": "Ed25519"}, 0),
        ({"kty": "OKP", "crv": "Ed25519", "use": "enc"}, 1),
        ({"kty": "RSA", "alg": "RS256"}, 0),
        ({"kty": "RSA", "alg": "RSA-OAEP"}, 1),
        ({"nbf": SECONDS + 1}, 0),
        ({"exp": SECONDS}, 0),
    ],
    ids=str,
)
def test_keys_that_only_sign_and_keys_of_another_time_are_no_trouble(
    entry: dict[str, object], troubles: int
) -> None:
    """Beside a key in use: what a consumer may take for its new key is told, and nothing else."""
    keys = box(public("P-256", kid="a"), public("P-256", kid="b") | entry)
    assert keys.in_use() == ("here: kid a is in use",)
    assert len(keys.troubles()) == troubles


ZEROS = {"kty": "OKP", "crv": "X25519", "x": base64url_encode(bytes(32))}
EVEN = {"kty": "RSA", "n": base64url_encode((1 << 2047).to_bytes(256)), "e": "AQAB"}


@pytest.mark.parametrize("placeholder", [ZEROS, EVEN], ids=["zeros", "an even modulus"])
def test_placeholder_that_cannot_encrypt_is_told_and_not_used(placeholder: dict[str, object]) -> None:
    """A key that can be imported but encrypts nothing is refused alone, and told beside one that serves."""
    with pytest.raises(ConfigurationError, match=r"key 1 \(kid new\) cannot encrypt"):
        box(placeholder | {"kid": "new"})
    keys = box(public("P-256", kid="old"), placeholder | {"kid": "new"})
    [trouble] = keys.troubles()
    assert "key 2 (kid new) cannot encrypt and is not used" in trouble
    assert kid_of(keys.encrypt(CRM, {"password": "canary"})) == "old"


def test_key_without_id_is_named_by_its_thumbprint() -> None:
    """A key that came without `kid` gets the one every library can compute."""
    token = box(public("P-256")).encrypt(CRM, {})
    assert kid_of(token) == jwk.JWK(**public("P-256")).thumbprint()


def test_source_with_its_own_keys_never_gets_the_general_ones() -> None:
    """Credentials for one consumer are not readable by the holders of the general key."""
    general = read_consumer_keys(key_set(public("P-256", kid="general")), "here")
    own = read_consumer_keys(key_set(public("X25519", kid="own")), "here")
    gone = read_consumer_keys(key_set(public("X25519", kid="gone", exp=SECONDS - 1)), "here")
    keys = ConsumerKeys(general, {CRM: own, "urn:late": gone}, FixedClock())
    assert kid_of(keys.encrypt(CRM, {})) == "own"
    assert kid_of(keys.encrypt("urn:other", {})) == "general"
    assert not keys.can_encrypt_for("urn:late")


@pytest.mark.parametrize("out_of_time", [{"exp": SECONDS - 1}, {"nbf": SECONDS + 1}], ids=["over", "to come"])
def test_credentials_that_exist_are_encrypted_under_a_key_that_is_not_in_its_time(
    out_of_time: dict[str, int],
) -> None:
    """A new request is refused; what a create brought while the key expired, or a clock was set, has no other copy."""
    keys = box(
        public("P-256", kid="older", exp=SECONDS - 9),
        public("X25519", kid="newer", iat=SECONDS - 1, **out_of_time),
    )
    assert not keys.can_encrypt_for(CRM)
    assert kid_of(keys.encrypt(CRM, {"password": "secret"})) == "newer"


SOON, LATER = SECONDS + 9, SECONDS + 99


@pytest.mark.parametrize(
    ("entries", "end", "reason"),
    [
        ([{}], None, "it never expires"),
        ([{"exp": SOON}], SOON, "it is the only one"),
        ([{"iat": 1, "exp": SOON}, {"iat": 2, "exp": LATER}], LATER, "the newest one is in use"),
        ([{"iat": 1}, {"iat": 2, "exp": SOON}], SOON, "an older one would be fallen back to"),
        ([{"iat": 1, "exp": SOON}, {"iat": 2, "nbf": SOON, "exp": LATER}], LATER, "the next one takes over"),
        ([{"iat": 1, "exp": SOON}, {"iat": 2, "nbf": SOON + 1}], SOON, "the next one leaves a gap"),
        ([{"exp": SECONDS - 9}, {"exp": SECONDS - 1}], SECONDS - 1, "it has expired already"),
        ([{"nbf": SOON}], 0, "it has not begun yet"),
    ],
)
def test_the_end_of_a_set_is_that_of_its_newest_key_unless_a_newer_one_follows(
    entries: list[dict[str, object]], end: float | None, reason: str
) -> None:
    """Told for who must bring a new key in time; a set that goes on for ever has no end."""
    found = box(*(public("P-256") | entry for entry in entries)).expiries()
    assert found.get("") == end, reason


def test_each_source_with_keys_of_its_own_has_an_end_of_its_own() -> None:
    """The general keys stand under no name; without general keys nothing is told of the others."""
    own = read_consumer_keys(key_set(public("X25519", exp=SOON)), "here")
    general = read_consumer_keys(key_set(public("P-256", exp=LATER)), "there")
    assert ConsumerKeys(general, {CRM: own}, FixedClock()).expiries() == {"": LATER, CRM: SOON}
    assert ConsumerKeys(by_source={CRM: own}, clock=FixedClock()).expiries() == {CRM: SOON}


def test_without_a_key_nothing_is_encrypted() -> None:
    """Where there is none the answer is no before, and an error at the last moment."""
    keys = ConsumerKeys()
    assert not keys.can_encrypt_for(CRM)
    with pytest.raises(ConfigurationError, match="no consumer key") as caught:
        keys.encrypt(CRM, {"password": "canary"})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (private("P-256"), "holds a private or symmetric key"),
        (private("RSA"), "holds a private or symmetric key"),
        (OctKey.generate_key(256).as_dict(private=True), "holds a private or symmetric key"),
        (jwk.JWK.generate(kty="RSA", size=1024).export_public(as_dict=True), "RSA key that is too short"),
        (ECKey.generate_key("P-384").as_dict(private=False), "is of another kind"),
        ({"kty": "EC", "crv": "P-256", "x": "AAAA"}, "is damaged"),
        ({"kty": "OKP", "crv": "X25519", "x": "canary"}, "is damaged"),
        (public("P-256", use="sig"), "is for signatures"),
        (public("P-256", alg="RSA1_5"), "asks for another algorithm"),
        (public("P-256", iat=True), "not a number of seconds"),
    ],
)
def test_set_without_a_usable_key_is_refused(entry: dict[str, Any], sentence: str) -> None:
    """A set from which nothing can be used is an error that says why, without the key."""
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        read_consumer_keys(key_set(entry), "the-file")
    shown = str(caught.value)
    assert "the-file" in shown
    assert not any(str(entry[name]) in shown for name in ("d", "k", "p", "x", "n") if name in entry)


@pytest.mark.parametrize(
    "text", ["", "null", "5", "[]", "{}", '{"keys": 5}', '{"keys": [5]}', '{"kty": "EC"}']
)
def test_what_is_no_key_set_is_refused(text: str) -> None:
    """Text of any other shape is an error of configuration."""
    with pytest.raises(ConfigurationError, match="is no JWKS"):
        read_consumer_keys(text, "here")


def test_new_pair_works_with_both_libraries(tmp_path: Path) -> None:
    """A generated pair goes through a file: the public half encrypts, the private half opens."""
    own, keys = new_consumer_key("crm-2026", NOW)
    path = tmp_path / "crm.json"
    path.write_text(json.dumps(keys))
    token = ConsumerKeys(load_consumer_keys(path), clock=FixedClock()).encrypt(CRM, {"a": "b"})
    header, payload = read_with_jwcrypto(token, own)
    assert (header["kid"], payload) == ("crm-2026", {"a": "b"})
    assert own["d"] not in json.dumps(keys)


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing or binary file is an error of configuration that names it."""
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff")
    for path in (tmp_path / "missing.json", tmp_path, binary):
        with pytest.raises(ConfigurationError, match=str(path)):
            load_consumer_keys(path)


def test_consumer_keys_are_a_credential_box() -> None:
    """They fit the port of the core, for the type checker as well."""
    port: CredentialBox = box(public("P-256"))
    assert port.can_encrypt_for(CRM)


def test_payload_never_stands_in_the_token() -> None:
    """The token shows nothing of the payload, and the keys show nothing of themselves."""
    keys = box(public("P-256", kid="k1"))
    assert "canary" not in keys.encrypt(CRM, {"password": "canary"})
    assert str(EC["x"]) not in repr(read_consumer_keys(key_set(public("P-256")), "here"))
