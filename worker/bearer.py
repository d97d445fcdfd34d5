"""Requests with an access token that everybody shares: fetched once however many wait, renewed before it ends."""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from worker.core.clock import Clock
from worker.core.verdict import Outcome
from worker.exchange import Exchange, Http, Limits, Request

EARLY = timedelta(seconds=60)
"""How long before its end a token is renewed."""

BLIND = timedelta(minutes=5)
"""How long a token is used that does not say when it ends."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token in clear, and until when it is used."""

    text: str = field(repr=False)
    until: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """An exchange, and the token it was made with."""

    exchange: Exchange
    token: Token


class Bearer:
    """Sends requests under the newest token.

    `fetch` gets a new one or says as an outcome why none can be had; that outcome is shared by all who waited
    for it, and then forgotten.
    """

    def __init__(self, http: Http, clock: Clock, fetch: Callable[[], Awaitable[Token | Outcome]]) -> None:
        self._http = http
        self._clock = clock
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._fetches = 0
        self._newest: Token | Outcome | None = None

    async def ask(self, request: Request, limits: Limits) -> Asked | Outcome:
        """Send the request; a read once more with a fresh token when the first was refused.

        Anything else is sent once: a gateway on the answer's way may say 401 after the provider has acted.
        """
        asked = await self._ask_once(request, limits)
        if isinstance(asked, Outcome) or request.method != "GET" or not _may_be_refused(asked.exchange):
            return asked
        return await self._ask_once(request, limits)

    async def token(self) -> Token | Outcome:
        """A token that is not about to end, or why none can be had."""
        if isinstance(self._newest, Token) and self._clock.time_of_day() < self._newest.until:
            return self._newest
        fetches = self._fetches
        async with self._lock:
            if self._newest is None or self._fetches == fetches:
                self._newest = await self._fetch()
                self._fetches += 1
            return self._newest

    async def _ask_once(self, request: Request, limits: Limits) -> Asked | Outcome:
        token = await self.token()
        if isinstance(token, Outcome):
            return token
        headers = {**request.headers, "Authorization": f"Bearer {token.text}"}
        exchange = await self._http.exchange(replace(request, headers=headers), limits)
        if _may_be_refused(exchange) and self._newest is token:
            self._newest = None
        return Asked(exchange, token)


def read_token(text: object, now: datetime) -> Token | None:
    """The token, used until `EARLY` before its `exp` (RFC 7519), or for `BLIND` when that cannot be read.

    None when it is no token. Its signature is not checked: it is not ours to trust, only to pass on.
    """
    if not isinstance(text, str) or not re.fullmatch(r"[\x21-\x7e]+", text):
        return None
    try:
        payload = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return Token(text, datetime.fromtimestamp(claims["exp"], tz=now.tzinfo) - EARLY)
    except (ValueError, LookupError, TypeError, OverflowError, OSError, RecursionError):
        return Token(text, now + BLIND)


def _may_be_refused(exchange: Exchange) -> bool:
    """Whether the token may be worth nothing any more; to fetch another one in vain costs little."""
    return exchange.status == 401
