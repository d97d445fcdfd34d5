"""The credentials that the four pretended providers accept.

They are printed in the documents and belong to nobody; every one says so in its text where its shape allows.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CanarySpeechCredentials:
    """An API key (short client code, colon, base64-like secret: vendor's v3 overview) and the client it
    belongs to.
    """

    api_key: str = field(default="SBX1:c2FuZGJveC1rZXktb2Ytbm9ib2R5LWF0LWFsbA==", repr=False)
    client_id: str = "5a4db0c5-0000-4000-8000-000000000001"
    client_name: str = "Sandbox Reseller"


@dataclass(frozen=True, slots=True)
class PhoneComCredentials:
    """A permanent access token and the master account (the path's `account_id`) that it owns."""

    token: str = field(default="sandbox-phone-com-token-of-nobody", repr=False)
    account_id: int = 133532
    account_name: str = "Sandbox Master"


@dataclass(frozen=True, slots=True)
class Gateway360Credentials:
    """The parent account's API key, 32 hexadecimal digits as in the vendor's sample."""

    api_key: str = field(default="5a4db0c55a4db0c55a4db0c55a4db0c5", repr=False)


@dataclass(frozen=True, slots=True)
class PostcodeEuCredentials:
    """The reseller's key and secret, the two halves of HTTP Basic."""

    key: str = field(default="sandboxPostcodeEuKeyOfNobody000000000000000", repr=False)
    secret: str = field(default="sandboxPostcodeEuSecretOfNobody0000000000000000000", repr=False)
    company_name: str = "Sandbox Reseller B.V."


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller must present, provider by provider. A provider beyond these four keeps its own in its
    own file.
    """

    canary_speech: CanarySpeechCredentials = field(default_factory=CanarySpeechCredentials)
    phone_com: PhoneComCredentials = field(default_factory=PhoneComCredentials)
    gateway360: Gateway360Credentials = field(default_factory=Gateway360Credentials)
    postcode_eu: PostcodeEuCredentials = field(default_factory=PostcodeEuCredentials)
