"""Sealing at rest: what was sealed opens again, and nothing else does."""

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from worker.core.clock import SystemClock
from worker.core.errors import ConfigurationError, SealBroken
from worker.core.sealing import Sealed, Sealer
from worker.keyring import Keyring, SealingKey, new_key, read_keys, write_keys

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OLD = SealingKey("old", NOW - timedelta(days=400), b"\x01" * 32)
KEY = SealingKey("main", NOW - timedelta(days=1), bytes(range(32)))
CANARY_SECRET = base64.urlsafe_b64encode(KEY.secret).decode().rstrip("=")


class FixedClock(SystemClock):
    """A clock that stands still until it is set."""

    time = NOW

    def time_of_day(self) -> datetime:
        return self.time


def keyring(keys: Sequence[SealingKey] = (KEY,), clock: FixedClock | None = None) -> Keyring:
    return Keyring(keys, clock or FixedClock())


RING = keyring()
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(plain=st.binary(), context=texts)
def test_sealed_data_opens_again(plain: bytes, context: str) -> None:
    """Whatever is sealed opens to the same bytes in the same context."""
    sealed = RING.seal(plain, context)
    assert RING.open(sealed, context) == plain
    assert re.fullmatch(r"s1\.main\.[A-Za-z0-9_-]+", sealed)


@given(plain=st.binary(), context=texts, other=texts)
def test_another_context_opens_nothing(plain: bytes, context: str, other: str) -> None:
    """Sealed data moved to another row does not open there."""
    sealed = RING.seal(plain, context)
    if other != context:
        with pytest.raises(SealBroken):
            RING.open(sealed, other)
    else:
        assert RING.open(sealed, other) == plain


def test_any_changed_character_breaks_the_seal() -> None:
    """Each character of sealed text counts, up to the unused bits of the last one."""
    ring = keyring([KEY, OLD])
    for plain in (b"", b"a", b"ab", b"abc"):
        sealed = ring.seal(plain, "request:1")
        for place, character in enumerate(sealed):
            for other in {chr(ord(character) ^ 1), chr(ord(character) ^ 4), "A", "=", "\n", "\ud800", ""}:
                if other != character:
                    with pytest.raises(SealBroken):
                        ring.open(Sealed(sealed[:place] + other + sealed[place + 1 :]), "request:1")


@pytest.mark.parametrize(
    ("sealed", "reason"),
    [
        ("", "nothing at all"),
        ("s1", "no key and no body"),
        ("s1.main", "no body"),
        ("s1.main.", "an empty body"),
        ("s1.main.AAAA", "shorter than nonce and tag"),
        ("s1.other." + "A" * 40, "a key that is not there"),
        ("s2.main." + "A" * 40, "a format of the future"),
        ("s1.main." + "A" * 40 + ".x", "something behind it"),
        ("s1.main." + "ä" * 40, "characters that base64 does not have"),
    ],
)
def test_what_is_not_sealed_text_is_refused(sealed: str, reason: str) -> None:
    """Text of any other shape raises SealBroken and nothing else."""
    with pytest.raises(SealBroken):
        RING.open(Sealed(sealed), reason)


def test_newest_key_seals_and_every_key_opens() -> None:
    """After a rotation old data opens and new data names the new key."""
    before = keyring([OLD]).seal(b"old data", "c")
    rotated = keyring([OLD, KEY])
    assert rotated.open(before, "c") == b"old data"
    assert rotated.seal(b"new data", "c").startswith("s1.main.")
    assert rotated.fingerprint(b"x").startswith("main:")
    assert rotated.key_ids == ("old", "main")


def test_key_of_the_future_opens_before_it_seals() -> None:
    """A key given to all workers ahead of its time is used from that time on."""
    clock = FixedClock()
    ahead = SealingKey("ahead", NOW + timedelta(hours=1), b"\x02" * 32)
    ring = keyring([KEY, ahead], clock)
    assert ring.seal(b"", "c").startswith("s1.main.")
    clock.time = NOW + timedelta(hours=1)
    sealed = ring.seal(b"from then on", "c")
    assert sealed.startswith("s1.ahead.")
    assert keyring([KEY, ahead]).open(sealed, "c") == b"from then on"


def test_only_keys_of_the_future_still_seal() -> None:
    """A clock that runs behind does not leave the worker without a key."""
    first = SealingKey("first", NOW + timedelta(hours=1), b"\x02" * 32)
    second = SealingKey("second", NOW + timedelta(hours=2), b"\x03" * 32)
    assert keyring([second, first]).seal(b"", "c").startswith("s1.first.")


def test_last_of_keys_made_at_once_seals() -> None:
    """Of two keys with the same date the one added last is the newest."""
    twin = SealingKey("twin", KEY.created, b"\x02" * 32)
    assert keyring([KEY, twin]).seal(b"", "c").startswith("s1.twin.")


@given(content=st.binary(), other=st.binary())
def test_fingerprint_knows_its_content(content: bytes, other: bytes) -> None:
    """A fingerprint is of this content and of no other."""
    fingerprint = RING.fingerprint(content)
    assert RING.same(fingerprint, content)
    assert RING.same(fingerprint, other) == (other == content)
    assert RING.fingerprint(content) == fingerprint


def test_fingerprint_outlives_rotation() -> None:
    """A fingerprint made under an old key is still recognised, and only by the content it was made of."""
    fingerprint = keyring([OLD]).fingerprint(b"content")
    rotated = keyring([OLD, KEY])
    assert rotated.same(fingerprint, b"content")
    assert not rotated.same(fingerprint, b"other")
    assert rotated.fingerprint(b"content") != fingerprint


def test_every_name_that_content_ever_had_is_known() -> None:
    """The newest key's fingerprint comes first, those under the older keys after it."""
    rotated = keyring([OLD, KEY])
    assert rotated.fingerprints(b"content") == [
        rotated.fingerprint(b"content"),
        keyring([OLD]).fingerprint(b"content"),
    ]


@pytest.mark.parametrize("fingerprint", ["", "gone:00", "no id at all", "a b:00"])
def test_fingerprint_under_an_unknown_key_is_not_guessed(fingerprint: str) -> None:
    """Without its key nobody can say whether a fingerprint fits, so nothing is said."""
    with pytest.raises(SealBroken, match="not in the keyring"):
        RING.same(fingerprint, b"content")


def test_sealed_text_follows_its_description() -> None:
    """A reader written from the description alone opens what the keyring sealed."""
    _, key_id, text = RING.seal(b"plain", "request:1").split(".")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    key = HKDF(SHA256(), 32, None, f"provisioner.seal.{key_id}".encode()).derive(KEY.secret)
    assert AESGCM(key).decrypt(raw[:12], raw[12:], b"request:1") == b"plain"


def test_nonce_is_never_the_same() -> None:
    """The same data sealed again looks different."""
    assert len({RING.seal(b"plain", "c") for _ in range(1000)}) == 1000


def test_written_keys_are_read_again() -> None:
    """The text of a key file holds everything of its keys."""
    keys = (OLD, new_key(NOW), KEY)
    assert read_keys(write_keys(keys), "here") == keys


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the whole: json_invalid"),
        ("[]", "the whole: model_type"),
        ("{}", "keys: missing"),
        ('{"keys": []}', "keys: too_short"),
        ('{"keys": [{"id": "a", "created": "2026-01-01T00:00:00Z"}]}', "keys.0.key: missing"),
        (
            '{"keys": [{"id": "a b", "created": "2026-01-01T00:00:00Z", "key": "x"}]}',
            "keys.0.id: string_pattern",
        ),
        (
            '{"keys": [{"id": "a", "created": "2026-01-01T00:00:00", "key": "x"}]}',
            "keys.0.created: timezone_aware",
        ),
        (
            '{"keys": [{"id": "a", "created": "2026-01-01T00:00:00Z", "key": "canary!"}]}',
            "key a is not 32 bytes",
        ),
        (
            '{"keys": [{"id": "a", "created": "2026-01-01T00:00:00Z", "key": "Y2FuYXJ5"}]}',
            "key a is not 32 bytes",
        ),
    ],
)
def test_wrong_key_file_is_explained_without_its_content(text: str, sentence: str) -> None:
    """The error names the place and the kind of mistake, never what stands there."""
    with pytest.raises(ConfigurationError, match=f"the-file.*{sentence}") as caught:
        read_keys(text, "the-file")
    assert "canary" not in str(caught.value)
    assert "Y2FuYXJ5" not in str(caught.value)


def test_repeated_key_id_is_refused() -> None:
    """Two keys with one id would make what is sealed under one of them unreadable."""
    with pytest.raises(ConfigurationError, match="more than one key with the id main"):
        read_keys(write_keys([KEY, KEY]), "here")


def test_keyring_needs_a_key() -> None:
    """A keyring without keys is a mistake of configuration."""
    with pytest.raises(ConfigurationError, match="at least one key"):
        Keyring([])


def test_key_material_is_never_shown() -> None:
    """Neither keys nor keyring nor errors show a key in any spelling."""
    with pytest.raises(SealBroken) as broken:
        RING.open(RING.seal(b"plain", "a"), "b")
    shown = " ".join([repr(KEY), str(KEY), repr(RING), str(RING), repr(vars(RING)), repr(broken.value)])
    assert CANARY_SECRET not in shown
    assert repr(KEY.secret)[2:-1] not in shown
    assert KEY.secret.hex() not in shown


def test_new_keys_differ() -> None:
    """Each new key has an id and 32 random bytes of its own."""
    first, second = new_key(NOW), new_key(NOW)
    assert len(first.secret) == 32
    assert (first.key_id, first.secret) != (second.key_id, second.secret)


def test_keyring_is_a_sealer() -> None:
    """The keyring fits the port of the core, for the type checker as well."""
    sealer: Sealer = RING
    assert sealer.open(sealer.seal(b"x", "c"), "c") == b"x"
