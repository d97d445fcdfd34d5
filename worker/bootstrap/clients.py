"""The providers as they are configured, ready to be asked."""

from contextlib import AsyncExitStack

from worker import providers
from worker.core.clock import Clock
from worker.core.provider import Provider
from worker.core.steps import Reached, Step, unwatched
from worker.core.verdict import Moment
from worker.http_client import HttpClient
from worker.settings import Settings


async def handlers(
    configured: Settings, stack: AsyncExitStack, clock: Clock, reached: Reached = unwatched
) -> dict[str, Provider]:
    """The configured providers, each with an HTTP client of its own."""
    known = providers.discover()

    def told(moment: Moment) -> None:
        if moment is not Moment.PREPARING:
            reached(Step[moment.name], "")

    return {
        name: known[name](own, await stack.enter_async_context(HttpClient(told)), clock)
        for name, own in configured.providers.items()
    }
