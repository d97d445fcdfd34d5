"""Who plays: the requests of the demonstration, what is made to go wrong, and how each must end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.reason import ReasonCode
from contracts.result import Outcome
from worker.sandbox.faults import Fault, Rule

_ADDRESS = {
    "line_1": "14282 Danielson Street",
    "city": "Poway",
    "province": "CA",
    "postal_code": "92064",
    "country": "US",
}


@dataclass(frozen=True, slots=True)
class Act:
    """One request of the show.

    Attributes:
        says: What happens, for the spectator.
        faults: What the sandbox is told to do to it.
        outcomes: The outcomes its events must have, in order; the last one is the end.
        code: The reason code that its last event must carry, where it carries one.
        resolve: An operator resolves it with the account found in the provider's portal.
    """

    key: str
    provider: str
    parameters: Mapping[str, Any] = field(repr=False)
    says: str
    faults: tuple[Rule, ...] = ()
    outcomes: tuple[Outcome, ...] = (Outcome.PROVISIONED,)
    code: ReasonCode | None = None
    resolve: bool = False


def canary_speech(name: str) -> dict[str, Any]:
    """Parameters of a plain request."""
    return {"name": name, "contact": {"email": f"{name}@example.org", "phone_number": "+18585551111"}}


def phone_com(username: str) -> dict[str, Any]:
    """Parameters of a plain request; the password is left to the worker."""
    contact = {
        "name": "Teddy Example",
        "address": _ADDRESS,
        "primary_email": "teddy@example.org",
        "phone": "+18585551111",
    }
    billing = {**contact, "name": "Bobby Example", "primary_email": "bobby@example.org"}
    return {"username": username, "contact": contact, "billing_contact": billing}


def gateway360(user_name: str, language: str = "es") -> dict[str, Any]:
    """Parameters of a plain request; the password is left to the worker."""
    return {
        "user_name": user_name,
        "email": f"{user_name}@example.org",
        "name": "John",
        "surname": "Doe",
        "language": language,
    }


def postcode_eu(company: str, country: str = "NLD") -> dict[str, Any]:
    """Parameters of a plain request."""
    return {
        "company_name": company,
        "country_iso": country,
        "contact_email": "contact@example.org",
        "subscription_amount": 100,
        "site_urls": ["https://www.example.org"],
        "invoice_email": "invoice@example.org",
        "invoice_address_line1": "Julianastraat 30",
        "invoice_address_postal_code": "2012ES",
        "invoice_address_locality": "Haarlem",
        "invoice_address_country_iso": country,
    }


MAKERS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "canary_speech": canary_speech,
    "phone_com": phone_com,
    "gateway360": gateway360,
    "postcode_eu": postcode_eu,
}
"""Parameters of a plain request to each provider, for an account of this name."""

PLAIN: tuple[Act, ...] = tuple(
    Act(
        f"plain-{provider}-{number}",
        provider,
        make(f"plain-{provider.replace('_', '-')}-{number}"),
        "plain sailing",
    )
    for number in (1, 2, 3)
    for provider, make in MAKERS.items()
)

TROUBLED: tuple[Act, ...] = (
    Act(
        "too-fast",
        "phone_com",
        phone_com("too-fast"),
        "429: the provider asks to wait 2 s",
        (Rule(fault=Fault.RATE_LIMITED, provider="phone_com", match="too-fast", times=1, seconds=2),),
    ),
    Act(
        "cut-canary",
        "canary_speech",
        canary_speech("cut-canary"),
        "connection cut after the create; found by look-up",
        (Rule(fault=Fault.CUT_AFTER_CREATE, provider="canary_speech", match="cut-canary", times=1),),
    ),
    Act(
        "cut-phone",
        "phone_com",
        phone_com("cut-phone"),
        "connection cut after the create; found by look-up",
        (Rule(fault=Fault.CUT_AFTER_CREATE, provider="phone_com", match="cut-phone", times=1),),
    ),
    Act(
        "lost-before",
        "phone_com",
        phone_com("lost-before"),
        "connection cut before the create; absence confirmed, then created",
        (Rule(fault=Fault.CUT_BEFORE_CREATE, provider="phone_com", match="lost-before", times=1),),
    ),
    Act(
        "error-after",
        "canary_speech",
        canary_speech("error-after"),
        "500 although the account was created; found by look-up",
        (
            Rule(
                fault=Fault.SERVER_ERROR_AFTER_CREATE, provider="canary_speech", match="error-after", times=1
            ),
        ),
    ),
    Act(
        "cut-postcode",
        "postcode_eu",
        postcode_eu("Cut Postcode B.V."),
        "cut after the create, no look-up exists: held, then resolved by an operator",
        (Rule(fault=Fault.CUT_AFTER_CREATE, provider="postcode_eu", match="Cut Postcode", times=1),),
        (Outcome.HELD, Outcome.PROVISIONED),
        resolve=True,
    ),
    Act(
        "refused-language",
        "gateway360",
        gateway360("refused-language", "xx"),
        "the provider refuses the language",
        outcomes=(Outcome.REJECTED,),
        code=ReasonCode.PROVIDER_VALIDATION,
    ),
    Act(
        "no-vat-number",
        "postcode_eu",
        postcode_eu("Ohne GmbH", "DEU"),
        "the contract refuses it: VAT number missing",
        outcomes=(Outcome.REJECTED,),
        code=ReasonCode.INVALID_PARAMETERS,
    ),
)

KILLED: tuple[Act, ...] = tuple(
    Act(
        f"killed-{number}",
        provider,
        make(f"killed-{number}"),
        "worker killed with SIGKILL while the provider was answering; found by look-up",
        (Rule(fault=Fault.LATE_ANSWER, provider=provider, match=f"killed-{number}", times=1, seconds=30),),
    )
    for number, (provider, make) in enumerate(
        (("canary_speech", canary_speech), ("phone_com", phone_com), ("canary_speech", canary_speech)),
        start=1,
    )
)
