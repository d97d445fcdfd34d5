"""What every provider promises, asked of each handler that is found; a further one is tried without an edit."""

import base64
import html
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr, ValidationError

from contracts.model import reveal, secret_paths
from contracts.providers import discover as contracts
from contracts.reason import ReasonCode
from tests.providers.bench import CANARY, PROVIDERS, REQUEST_ID, Bench, SetClock
from tests.providers.cases import fault, says
from tests.providers.known import KNOWN
from worker.core.provider import Doubt, Found, Order, Prepared, Unclear
from worker.core.verdict import Moment, Verdict
from worker.http_client import HttpClient
from worker.providers import Handler
from worker.providers import discover as handlers
from worker.sandbox import CanarySpeech, Fault, Operation, Sandbox
from worker.sandbox.provider import discover as pretended

URL_SAFE = str.maketrans("+/", "-_")
every_provider = pytest.mark.parametrize("provider", PROVIDERS)
MARK = "canary+secret/<value>"
PASSWORD = f"{MARK}-password"
BREAKS = (Fault.UNAUTHORIZED, Fault.CUT_AFTER_CREATE, Fault.WRONG_JSON, Fault.HTML_WITH_200)


@every_provider
async def test_a_place_is_told_from_another(bench: Bench, provider: str) -> None:
    """The same settings name the same place, another address or account another one; no secret stands in it."""
    settings = bench.handler(provider).settings
    others = [
        {"base_url": "http://elsewhere.test"},
        KNOWN[provider].elsewhere or {"base_url": "http://3rd.test"},
    ]
    places = {settings.place, *(bench.handler(provider, **other).settings.place for other in others)}
    assert len(places) == 3
    assert bench.handler(provider, concurrency=1).settings.place == settings.place
    secrets = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    assert [secret for secret in secrets if secret in settings.place] == []


@every_provider
async def test_good_create(bench: Bench, provider: str) -> None:
    """The account exists, its id is known, and what is told of it is what the contract says."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    outcome = await bench.run(handler, order)
    contract = contracts()[provider]
    assert (outcome.verdict, outcome.reason) == (Verdict.DONE, ReasonCode.CREATED)
    assert outcome.created is not None
    assert outcome.created.account_id == bench.sandbox.accounts(provider)[0].id
    assert contract.Account.model_validate(outcome.created.account).model_dump() == outcome.created.account
    assert next(iter(outcome.created.account.values())) == outcome.created.account_id
    assert set(outcome.created.secrets) <= {path[0] for path in secret_paths(contract.Credentials)}
    assert contract.misfit(outcome.created.account_id, reveal(order.parameters)) is None


@every_provider
@pytest.mark.parametrize("left_out", [False, True], ids=["given", "left out"])
async def test_what_an_account_is_recognised_by_is_what_was_sent(
    bench: Bench, provider: str, *, left_out: bool
) -> None:
    """A person who looks for it at the provider finds what `explain` shows, also where the worker chose it."""
    handler, contract = bench.handler(provider), contracts()[provider]
    optional = [name for name, field in contract.Parameters.model_fields.items() if not field.is_required()]
    told = contract.recognised_by(reveal(bench.order(handler).parameters), REQUEST_ID)
    changes = dict.fromkeys(name for name in told if name in optional)
    order = bench.order(handler, changes if left_out else {})
    await bench.run(handler, order)
    sent = json.dumps(dict(bench.sandbox.accounts(provider)[0].fields))
    told = contract.recognised_by(reveal(order.parameters), order.request_id)
    assert told
    assert [name for name, value in told.items() if json.dumps(value) not in sent] == []


@every_provider
async def test_secrets_are_the_provider_s_own(bench: Bench, provider: str) -> None:
    """What is handed over is what the provider holds, in clear, and nothing of it is missing."""
    handler = bench.handler(provider)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.created is not None
    held = {**bench.sandbox.accounts(provider)[0].fields, **bench.sandbox.accounts(provider)[0].issued}
    secrets = {name: value.get_secret_value() for name, value in outcome.created.secrets.items()}
    assert secrets == {name: held[name] for name in secrets}
    assert outcome.created.missing == ()


@every_provider
async def test_the_sandbox_shows_no_secret(bench: Bench, provider: str) -> None:
    """What is handed over stands nowhere in the state that the sandbox shows."""
    handler = bench.handler(provider)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.created is not None
    state = json.dumps(bench.sandbox.public_state())
    secrets = {name: value.get_secret_value() for name, value in outcome.created.secrets.items()}
    assert [name for name, value in secrets.items() if value in state] == []


@every_provider
@pytest.mark.parametrize("password", [None, "given-by-the-requester"])
async def test_handing_over_is_announced(bench: Bench, provider: str, password: str | None) -> None:
    """Credentials come exactly when `hands_over_credentials` said so of the parameters as they were asked for."""
    handler = bench.handler(provider)
    if "password" not in handler.Parameters.model_fields:
        password = None
    changes = {} if password is None else {"password": SecretStr(password)}
    order = bench.order(handler, changes)
    asked = order.parameters.model_copy(update=dict.fromkeys(order.generated))
    outcome = await bench.run(handler, order)
    assert outcome.created is not None
    assert bool(outcome.created.secrets) == handler.hands_over_credentials(asked)


@every_provider
async def test_completing_is_done_once(bench: Bench, provider: str) -> None:
    """Completed parameters are complete: a second time changes and generates nothing."""
    handler = bench.handler(provider)
    completed = bench.order(handler).parameters
    assert handler.complete(completed) == (completed, frozenset())


@every_provider
async def test_cut_after_create_is_found_or_unclear(bench: Bench, provider: str) -> None:
    """The account exists and nobody answered: in doubt, and then found by those who can look up."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    bench.break_creates(Fault.CUT_AFTER_CREATE)
    outcome, doubt = await bench.run_with_baseline(handler, order)
    finding = await handler.look_up(order, doubt)
    assert (outcome.verdict, outcome.moment) == (Verdict.IN_DOUBT, Moment.REQUEST_SENT)
    assert isinstance(finding, Found if handler.CAN_LOOK_UP else Unclear)


@every_provider
async def test_refused_connection_is_not_done(bench: Bench, provider: str) -> None:
    """Where nothing could be sent nothing was done, whether it shows while preparing or while sending."""
    bench.base_url = "http://127.0.0.1:1"
    handler = bench.handler(provider)
    outcome = await bench.run(handler, bench.order(handler))
    assert (outcome.verdict, outcome.retry) == (Verdict.NOT_DONE, True)
    assert bench.sandbox.creates(provider).attempted == 0


@every_provider
async def test_late_answer_is_listened_for(bench: Bench, provider: str) -> None:
    """An answer later than `answer_within` still settles the create: the handler listens on."""
    bench.break_creates(Fault.LATE_ANSWER, seconds=0.2)
    handler = bench.handler(provider)
    order = bench.order(handler)
    prepared = await handler.prepare(order)
    assert isinstance(prepared, Prepared)
    # Not before: the reads that prepare a create are really given up after it.
    handler.settings = handler.settings.model_copy(update={"answer_within": 0.1})
    assert (await handler.create(order, prepared)).verdict is Verdict.DONE


@every_provider
async def test_waits_are_read(bench: Bench, provider: str) -> None:
    """The seconds that the provider asks for are passed on, wherever it says them."""
    bench.break_creates(Fault.RATE_LIMITED, seconds=17)
    handler = bench.handler(provider)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.wait == 17


@every_provider
async def test_reads_create_nothing(bench: Bench, provider: str) -> None:
    """Preparing, looking up and probing may be repeated: no create is sent."""
    handler = bench.handler(provider)
    order = bench.order(handler)
    for _ in range(2):
        assert isinstance(await handler.prepare(order), Prepared)
        await handler.look_up(order, Doubt(bench.clock.now(), {}))
        await handler.probe()
    assert bench.sandbox.creates(provider).attempted == 0


@every_provider
@pytest.mark.parametrize(
    "fault", [Fault.CUT_AFTER_CREATE, Fault.SERVER_ERROR_BEFORE_CREATE, Fault.EMPTY_BODY]
)
async def test_create_is_sent_once(bench: Bench, provider: str, fault: Fault) -> None:
    """However it goes wrong, one call sends one create."""
    bench.break_creates(fault)
    handler = bench.handler(provider)
    await bench.run(handler, bench.order(handler))
    assert bench.sandbox.creates(provider).attempted == 1


@every_provider
async def test_probe_tells_health(bench: Bench, provider: str) -> None:
    """The probe is good while the provider answers and takes our credentials, and says why when not."""
    wrong = next(name for name, value in bench.credentials_of(provider).items() if isinstance(value, str))
    good = await bench.handler(provider).probe()
    refused = await bench.handler(provider, **{wrong: "wrong"}).probe()
    bench.base_url = "http://127.0.0.1:1"
    gone = await bench.handler(provider).probe()
    assert (good.healthy, refused.healthy, gone.healthy) == (True, False, False)
    assert all((refused.detail, gone.detail))


@every_provider
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Retry-After", "Sun, 01 Mar 99999999999999999999 12:01:00 GMT"),
        ("Retry-After", "Sun, 01 Mar 2026 12:01:00 +99999999999999"),
        ("Retry-After", "9" * 5000),
        ("Content-Type", "application/json; charset=no-such-charset"),
        ("Content-Type", '\u00ff;;;charset="idna'),
        ("Set-Cookie", '\u00ff="; expires=99999999999999999999; Max-Age=x'),
        ("Date", "99999999999999999999"),
    ],
)
async def test_no_header_costs_an_account(bench: Bench, provider: str, name: str, value: str) -> None:
    """A good answer stays good, whatever stands in its headers."""
    handler = bench.handler(provider)
    says(200, KNOWN[provider].good, headers={name: value})(bench)
    outcome = await bench.run(handler, bench.order(handler))
    assert (outcome.verdict, outcome.reason) == (Verdict.DONE, ReasonCode.CREATED)


def with_message(shape: object, text: str) -> Any:
    """An error of the provider's shape in whose words, and in whose id, this text stands."""
    if isinstance(shape, dict):
        return {name: with_message(value, text) for name, value in shape.items()}
    return f"before {text} after" if isinstance(shape, str) and shape != "error" else shape


def as_base64(text: str) -> str:
    """The text as HTTP Basic and some error pages spell it."""
    return base64.b64encode(text.encode()).decode()


def with_marks(name: str, accepted: Any) -> Any:
    """What the sandbox accepts, but that each text by which a caller is let in holds the mark."""
    names = handlers()[name].Settings.model_fields.keys() - KNOWN[name].no_secrets
    texts = [field for field in sorted(names) if isinstance(getattr(accepted, field, None), str)]
    return replace(accepted, **{field: f"{MARK}-{number}" for number, field in enumerate(texts)})


@pytest.fixture
async def marked() -> AsyncIterator[Bench]:
    """A bench whose every credential holds the mark."""
    credentials = {kind.name: with_marks(kind.name, kind.credentials) for kind in pretended()}
    clock = SetClock()
    async with Sandbox(now=clock.now, credentials=credentials) as sandbox, HttpClient() as http:
        yield Bench(sandbox, http, clock)


def marked_order(bench: Bench, handler: Handler) -> Order:
    """An order whose password, where there is one, holds the mark."""
    order = bench.order(handler)
    if "password" in handler.Parameters.model_fields:
        password = SecretStr(PASSWORD)
        order = replace(order, parameters=order.parameters.model_copy(update={"password": password}))
    return order


def secrets_in_use(bench: Bench, handler: Handler) -> list[str]:
    """Everything secret that the handler knows, as clear text."""
    values = [value for value in bench.credentials_of(handler.name).values() if isinstance(value, str)]
    return [*values, PASSWORD] if "password" in handler.Parameters.model_fields else values


@every_provider
@pytest.mark.parametrize("spelled", [str, quote, quote_plus, html.escape, as_base64])
async def test_echoed_secrets_are_masked(
    marked: Bench, provider: str, spelled: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A provider that repeats our secrets in its errors gives none of them away, in any usual spelling."""
    caplog.set_level(logging.DEBUG)
    handler = marked.handler(provider)
    order = marked_order(marked, handler)
    echoes = [spelled(secret) for secret in secrets_in_use(marked, handler)]
    for echo in echoes:
        marked.sandbox.faults.clear()
        says(400, with_message(KNOWN[provider].own_shape, echo))(marked)
        outcome = await marked.run(handler, order)
        assert outcome.message is not None
        assert "***" in outcome.message
        assert not any(one in f"{outcome!r} {caplog.text}" for one in echoes)


@every_provider
def test_what_lets_us_in_is_a_secret(marked: Bench, provider: str) -> None:
    """Each text among the credentials is a secret of the settings, so that nobody is shown it."""
    secret = {path[0] for path in secret_paths(handlers()[provider].Settings)}
    open_to_all = KNOWN[provider].no_secrets
    given = marked.credentials_of(provider)
    assert [
        name for name, value in given.items() if isinstance(value, str) and name not in secret | open_to_all
    ] == []


@every_provider
async def test_nothing_shows_a_secret(marked: Bench, provider: str, caplog: pytest.LogCaptureFixture) -> None:
    """No setting, order, payload, outcome, finding, probe or log line shows a secret, whatever happens."""
    caplog.set_level(logging.DEBUG)
    handler = marked.handler(provider)
    order = marked_order(marked, handler)
    shown: list[object] = [handler.settings, order]
    for arrange in (lambda _bench: None, *map(fault, BREAKS)):
        marked.sandbox.faults.clear()
        arrange(marked)
        prepared = await handler.prepare(order)
        assert isinstance(prepared, Prepared)
        shown += [prepared, await handler.create(order, prepared), await handler.probe()]
        shown += [await handler.look_up(order, Doubt(marked.clock.now(), prepared.baseline))]
    issued = [value for one in marked.sandbox.accounts(provider) for value in one.issued.values()]
    text = f"{shown!r} {caplog.text}"
    assert MARK in str(marked.credentials_of(provider))
    assert MARK not in text
    assert not any(value in text for value in issued if len(value) > 20 and value.count("-") != 4)


async def test_generated_password_is_strong_and_new(bench: Bench) -> None:
    """Two requests get two passwords, each long and of all classes."""
    for handler in map(bench.handler, PROVIDERS):
        if "password" in bench.order(handler).generated:
            made = {_password(bench.order(handler)) for _ in range(20)}
            assert len(made) == 20
            assert all(len(one) >= 20 for one in made)


def _password(order: Order) -> str:
    value = order.parameters.model_dump()["password"]
    assert isinstance(value, SecretStr)
    return value.get_secret_value()


async def test_basic_pair_is_masked(marked: Bench) -> None:
    """The header of HTTP Basic is a secret, too, though it is in no setting as it stands."""
    handler = marked.handler("postcode_eu")
    pair = as_base64(":".join(marked.credentials_of("postcode_eu").values()))
    says(400, {"exception": f"Basic {pair} is wrong"})(marked)
    outcome = await marked.run(handler, marked.order(handler))
    assert outcome.message == "Basic *** is wrong"


@pytest.mark.parametrize(
    "spell", [lambda pair: pair.rstrip("="), quote, lambda pair: pair.translate(URL_SAFE)]
)
async def test_basic_pair_is_masked_in_any_spelling(bench: Bench, spell: Callable[[str], str]) -> None:
    """The pair of HTTP Basic is masked without its padding, quoted, and in the other alphabet of Base64."""
    handler = bench.handler("postcode_eu", key="key-of-nobody-???", secret="secret-of-nobody->>")
    pair = spell(as_base64("key-of-nobody-???:secret-of-nobody->>"))
    says(400, {"exception": f"Basic {pair} is wrong"})(bench)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.message == "Basic *** is wrong"


@every_provider
async def test_each_half_of_a_credential_is_masked(bench: Bench, provider: str) -> None:
    """A provider that repeats only the secret half of a credential, padded or not, does not give it away."""
    handler = bench.handler(provider)
    for half in halves_in_use(bench, provider):
        bench.sandbox.faults.clear()
        says(400, with_message(KNOWN[provider].own_shape, half))(bench)
        outcome = await bench.run(handler, bench.order(handler))
        assert outcome.message == "before *** after"


def halves_in_use(bench: Bench, provider: str) -> list[str]:
    """What stands behind the colon of each credential, with and without padding."""
    values = [value for value in bench.credentials_of(provider).values() if isinstance(value, str)]
    halves = [value.rpartition(":")[2] for value in values]
    return [*halves, *(half.rstrip("=") for half in halves)]


async def test_half_of_the_key_is_masked_where_a_token_is_refused(bench: Bench) -> None:
    """Canary Speech's token endpoint, too, may name the secret half of our key alone; the short code is no secret."""
    code, half = bench.sandbox.provider(CanarySpeech).credentials.api_key.split(":")
    body = {"message": f"client {code}: secret {half} is invalid"}
    says(401, body, Operation.TOKEN)(bench)
    handler = bench.handler(CANARY)
    outcome = await bench.run(handler, bench.order(handler))
    assert (outcome.reason, outcome.message) == (
        ReasonCode.TOKEN_REFUSED,
        f"client {code}: secret *** is invalid",
    )


async def test_each_piece_of_a_token_is_masked(bench: Bench) -> None:
    """An error about the signature of Canary Speech's token does not give the signature away."""
    token = f"{as_base64('a header')}.{as_base64('some claims')}.signature-of-nobody"
    says(200, {"accessToken": token}, Operation.TOKEN)(bench)
    says(200, {"associates": []}, Operation.LOOK_UP)(bench)
    says(400, {"message": "signature-of-nobody is wrong"})(bench)
    handler = bench.handler(CANARY)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.message == "*** is wrong"


@every_provider
def test_every_setting_is_described(marked: Bench, provider: str) -> None:
    """An operator reads what each setting is for, and sees no secret in a dump or an error of the settings."""
    settings = marked.handler(provider).settings
    assert all(info.description for info in type(settings).model_fields.values())
    assert MARK not in f"{settings!r} {settings.model_dump()!r}"
    with pytest.raises(ValidationError) as raised:
        type(settings).model_validate({**marked.credentials_of(provider), "unknown": MARK})
    assert MARK not in str(raised.value)


@every_provider
@pytest.mark.parametrize("url", ["ftp://x", "https://user@x", "https://x/path", "https://x?y", "x"])
def test_address_that_is_no_root_is_refused(bench: Bench, provider: str, url: str) -> None:
    """The base address is a host and nothing else, so that paths are the documented ones."""
    with pytest.raises(ValidationError, match="base_url"):
        bench.handler(provider, base_url=url)


@every_provider
@pytest.mark.parametrize("value", ["", "a b", "a\r\nX-Other: y", "\u00e9"])
def test_credential_that_breaks_a_header_is_refused(bench: Bench, provider: str, value: str) -> None:
    """A key with a line break would be another header; it is refused at the start, without being shown."""
    name = next(name for name, given in bench.credentials_of(provider).items() if isinstance(given, str))
    with pytest.raises(ValidationError, match=name):
        bench.handler(provider, **{name: value})
