"""The peers' creates are right: a control that fails for a typing error would prove nothing."""

from collections.abc import AsyncIterator

import pytest

from tests.peers.aiohttp_client import AiohttpClient
from tests.peers.counting import accounts_of
from tests.peers.creates import ProviderBusy, ProviderRefused, TokenStale
from tests.peers.orders import PROVIDERS, draw_orders, parameters_of
from tests.peers.settings import Settings, read_settings
from tests.peers.wire import Request
from worker.demo.surroundings import provider_settings
from worker.providers import discover
from worker.sandbox import CanarySpeech, Fault, Rule, Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The four providers, with nothing wrong."""
    async with Sandbox() as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AiohttpClient]:
    """A client for them."""
    async with AiohttpClient(_settings(sandbox.base_url)) as open_client:
        yield open_client


def _settings(base_url: str) -> Settings:
    return read_settings(
        {"PROVISIONER_BROKER__URL": "amqp://nowhere", **provider_settings(base_url, {"CONCURRENCY": "7"})}
    )


def _request(provider: str) -> Request:
    order = next(order for order in draw_orders(4, seed=1) if order.provider == provider)
    return Request("r1", "urn:test", order.key, provider, parameters_of(order))


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_create_opens_one_account_and_gives_its_id(
    provider: str, sandbox: Sandbox, client: AiohttpClient
) -> None:
    """Each provider takes what is sent, and its answer is read rightly."""
    account_id = await client.create(_request(provider))

    assert [account.id for account in sandbox.accounts(provider)] == [account_id]


async def test_every_account_is_found_by_the_name_it_was_asked_for(
    sandbox: Sandbox, client: AiohttpClient
) -> None:
    """The count knows at every provider whose account it is."""
    orders = draw_orders(4, seed=1)
    for provider in PROVIDERS:
        await client.create(_request(provider))

    accounts = accounts_of(sandbox, {order.name: order.key for order in orders})

    assert {account.key for account in accounts} == {order.key for order in orders}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_unavailable_provider_is_worth_another_try(
    provider: str, sandbox: Sandbox, client: AiohttpClient
) -> None:
    """503 is told apart from a refusal, and opens nothing."""
    sandbox.faults.add(Rule(fault=Fault.UNAVAILABLE))

    with pytest.raises(ProviderBusy):
        await client.create(_request(provider))
    assert sandbox.accounts(provider) == ()


@pytest.mark.parametrize("provider", ["phone_com", "gateway360"])
async def test_a_name_that_is_taken_is_a_refusal(provider: str, client: AiohttpClient) -> None:
    """Asking twice where names are unique is refused, which is not tried again."""
    await client.create(_request(provider))

    with pytest.raises(ProviderRefused):
        await client.create(_request(provider))


async def test_a_stale_token_is_replaced(sandbox: Sandbox, client: AiohttpClient) -> None:
    """After a 401 the next try has a new token and succeeds."""
    await client.create(_request("canary_speech"))
    sandbox.provider(CanarySpeech).revoke_tokens()

    with pytest.raises(TokenStale):
        await client.create(_request("canary_speech"))
    assert await client.create(_request("canary_speech"))


def test_the_settings_are_those_of_the_worker() -> None:
    """A peer works on as many requests at once as the worker is allowed to."""
    settings = _settings("http://127.0.0.1:1")

    assert tuple(settings.providers) == tuple(discover())
    assert settings.at_once == 7 * len(discover())
    assert settings.providers["phone_com"].credentials["token"] not in repr(settings)
