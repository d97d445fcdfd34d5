"""The creates sent with aiohttp: what the naive worker and the FastStream one have in common."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.peers.creates import (
    TOKEN_NEEDED,
    HttpRequest,
    ProviderBusy,
    TokenStale,
    create_request,
    read_account_id,
    read_token,
    token_request,
)
from tests.peers.settings import ProviderSettings, Settings
from tests.peers.wire import Request

WORTH_ANOTHER_TRY = (ProviderBusy, aiohttp.ClientError, TimeoutError)
"""Passing troubles, as every guide on retries lists them: no connection, a broken one, no answer in time, 5xx."""


class AiohttpClient:
    """Opens accounts over one session, as aiohttp's documents advise ("don't create a session per request").

    aiohttp repeats a request by itself only where its method is idempotent, so never these.
    """

    def __init__(self, settings: Settings) -> None:
        self._providers = settings.providers
        self._tokens: dict[str, str] = {}
        self._fetching = asyncio.Lock()
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def create(self, request: Request) -> str:
        """Ask once; the id of the new account.

        Raises:
            ProviderBusy: a status worth another try.
            ProviderRefused: a status not worth one.
            aiohttp.ClientError: no connection, or a broken one.
            TimeoutError: no answer in time.
        """
        settings = self._providers[request.provider]
        token = await self._token(request.provider) if request.provider in TOKEN_NEEDED else ""
        asked = create_request(request.provider, settings, request.parameters, token)
        status, body = await self._post(asked, settings)
        try:
            return read_account_id(request.provider, status, body)
        except TokenStale:
            self._tokens.pop(request.provider, None)
            raise

    async def _token(self, provider: str) -> str:
        async with self._fetching:
            if provider not in self._tokens:
                settings = self._providers[provider]
                self._tokens[provider] = read_token(*await self._post(token_request(settings), settings))
            return self._tokens[provider]

    async def _post(self, asked: HttpRequest, settings: ProviderSettings) -> tuple[int, bytes]:
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=settings.connect_timeout, sock_read=settings.answer_within
        )
        body: Mapping[str, Any] = asked.body
        async with self._session.post(asked.url, json=body, headers=asked.headers, timeout=limits) as answer:
            return answer.status, await answer.read()
