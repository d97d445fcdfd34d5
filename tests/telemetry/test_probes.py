"""The port for whoever watches."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from worker.core.errors import ConfigurationError
from worker.telemetry import Metrics, Probes

Health = dict[str, str]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def get(http: aiohttp.ClientSession, probes: Probes, path: str) -> tuple[int, str]:
    async with http.get(f"http://127.0.0.1:{probes.port}{path}") as answer:
        return answer.status, await answer.text()


async def test_metrics_are_shown(http: aiohttp.ClientSession) -> None:
    """The page has our metrics and the process's own, in the form that was asked for."""
    async with Probes("127.0.0.1", 0, Metrics(["phone_com"])) as probes:
        status, page = await get(http, probes, "/metrics")
        assert status == 200
        assert 'provisioner_requests_in_progress{provider="phone_com"} 0.0' in page
        assert "process_cpu_seconds_total" in page
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with http.get(f"http://127.0.0.1:{probes.port}/metrics", headers=accept) as answer:
            assert answer.content_type == "application/openmetrics-text"
            assert (await answer.text()).endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_health_follows_its_parts(http: aiohttp.ClientSession, path: str) -> None:
    """All parts well is 200, one that is not makes it 503 and is named with its reason; each is asked for anew."""
    parts: Health = {"upkeep": "", "consuming": ""}
    async with Probes("127.0.0.1", 0, Metrics([]), liveness=lambda: parts, readiness=lambda: parts) as probes:
        assert await get(http, probes, path) == (200, "ok\n")
        parts["consuming"] = "orders: not served"
        assert await get(http, probes, path) == (503, "not well: consuming (orders: not served)\n")


async def test_verbose_lists_every_part(http: aiohttp.ClientSession) -> None:
    """With `?verbose` every part is listed as JSON, with the same status."""
    parts: Health = {"ledger": "", "publish_connection": "down"}
    async with (
        Probes("127.0.0.1", 0, Metrics([]), readiness=lambda: parts) as probes,
        http.get(f"http://127.0.0.1:{probes.port}/readyz?verbose") as answer,
    ):
        assert answer.status == 503
        assert await answer.json() == [
            {"name": "ledger", "well": True, "reason": ""},
            {"name": "publish_connection", "well": False, "reason": "down"},
        ]


async def test_liveness_knows_nothing_of_readiness(http: aiohttp.ClientSession) -> None:
    """A worker without broker and ledger is alive: a restart would cure neither."""
    async with Probes("127.0.0.1", 0, Metrics([]), readiness=lambda: {"ledger": "fails"}) as probes:
        assert await get(http, probes, "/livez") == (200, "ok\n")


async def test_nothing_else_is_there(http: aiohttp.ClientSession) -> None:
    """Other paths are 404, other methods 405."""
    async with Probes("127.0.0.1", 0, Metrics([])) as probes:
        assert (await get(http, probes, "/"))[0] == 404
        async with http.post(f"http://127.0.0.1:{probes.port}/livez") as answer:
            assert answer.status == 405


async def test_port_is_free_again_afterwards(http: aiohttp.ClientSession) -> None:
    """After its context the port answers nobody."""
    async with Probes("127.0.0.1", 0, Metrics([])) as probes:
        port = probes.port
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(f"http://127.0.0.1:{port}/livez")


async def test_address_that_is_taken_is_explained() -> None:
    """A port in use, or an address that is not ours, is a mistake of configuration with the settings' names."""
    async with Probes("127.0.0.1", 0, Metrics([])) as first:
        for host, port in (("127.0.0.1", first.port), ("192.0.2.1", 0)):
            with pytest.raises(ConfigurationError, match=f"{host}:{port} .*PROVISIONER_MONITORING__HOST"):
                async with Probes(host, port, Metrics([])):
                    raise AssertionError("it listens")
