"""The mask: names that announce a secret, and values known to be one."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from worker.core.states import State
from worker.telemetry.masking import MASK, Mask

CANARY = "canary/7f3a"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "voip_password",
        "api_key",
        "apiKey",
        "X-Api-Key",
        "client_secret",
        "access_token",
        "Authorization",
        "Set-Cookie",
        "credentials",
        "key",
        "private_key",
        "passphrase",
    ],
)
def test_value_under_a_secret_name_is_masked(name: str) -> None:
    """Whatever stands under a name that announces a secret is masked, at any depth."""
    masked = Mask()({name: CANARY, "deep": [{"er": {name: {"x": CANARY}}}]})
    assert masked[name] == MASK
    assert CANARY not in repr(masked)


@pytest.mark.parametrize(
    "name", ["idempotency_key", "routing_key", "key_id", "request_id", "event", "provider"]
)
def test_value_under_another_name_is_kept(name: str) -> None:
    """Names that merely look similar keep their values: an operator needs them."""
    assert Mask()({name: "order-1"}) == {name: "order-1"}


def test_nothing_is_masked_as_nothing() -> None:
    """That a secret is not there may be seen."""
    assert Mask()({"password": None}) == {"password": None}


@given(before=st.text(), after=st.text())
def test_known_secret_is_masked_in_any_text(before: str, after: str) -> None:
    """A registered secret never survives, as it is or as it looks in a URL."""
    mask = Mask([CANARY])
    for spelling in (CANARY, "canary%2F7f3a"):
        masked = mask({"text": before + spelling + after, before + spelling: 1})
        assert CANARY not in repr(masked)
        assert "canary%2F7f3a" not in repr(masked)


def test_longer_secret_goes_first() -> None:
    """Of two secrets that begin alike none leaves its tail behind."""
    assert Mask(["secret", "secret-tail"])({"a": "secret-tail"}) == {"a": MASK}


def test_too_short_secrets_are_not_searched() -> None:
    """A secret of three letters would be masked in half of all words."""
    assert Mask(["the", ""])({"a": "the end"}) == {"a": "the end"}


def test_values_become_plain_data() -> None:
    """Known kinds become text or lists; of unknown ones only the kind is told."""
    when = datetime(2026, 11, 21, tzinfo=UTC)
    own = UUID(int=1)
    event = {
        "a": when,
        "b": own,
        "c": Path("/x"),
        "d": State.HELD,
        "e": (1, {2}),
        "f": SecretStr(CANARY),
        "g": b"x",
    }
    assert Mask()(event) == {
        "a": str(when),
        "b": str(own),
        "c": "/x",
        "d": "held",
        "e": [1, [2]],
        "f": "<SecretStr>",
        "g": "<bytes>",
    }


def test_depth_has_an_end() -> None:
    """A structure that holds itself is cut off."""
    loop: dict[str, object] = {}
    loop["again"] = loop
    assert "<dict>" in repr(Mask()({"loop": loop}))
