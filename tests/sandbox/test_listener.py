"""The provider port closes for real, opens again, and lets nobody wait."""

import asyncio
import socket
from typing import Any

import aiohttp
import pytest

from worker.local.loopback import free_ports
from worker.sandbox import Fault, Rule, Sandbox


async def test_a_closed_listener_refuses(caller: Any, sandbox: Sandbox) -> None:
    """After closing, a connection attempt is refused, and no create is counted."""
    await sandbox.close_listener()
    with pytest.raises(ConnectionRefusedError):
        await caller.raw_create("gateway360")
    assert sandbox.creates("gateway360").attempted == 0
    assert not sandbox.listening


async def test_a_kept_alive_connection_is_dropped(caller: Any, sandbox: Sandbox) -> None:
    """A pooled connection that was idle when the listener closed does not serve on: the next send is
    refused.
    """
    assert (await caller.create("gateway360")).status == 200
    await sandbox.close_listener()
    with pytest.raises(aiohttp.ClientConnectorError):
        await caller.create("gateway360", user_name="next")
    assert sandbox.creates("gateway360").attempted == 1


async def test_a_request_under_way_is_answered(caller: Any, sandbox: Sandbox, naps: Any) -> None:
    """A request that was read before the listener closed is answered, and its connection then closed."""
    sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, seconds=5))
    sent = asyncio.create_task(caller.create("gateway360"))
    await naps.begun.wait()
    await sandbox.close_listener()
    naps.over.set()
    reply = await sent
    assert (reply.status, reply.headers["Connection"]) == (200, "close")
    with pytest.raises(aiohttp.ClientConnectorError):
        await caller.create("gateway360", user_name="next")


async def test_it_opens_on_the_same_port(caller: Any, sandbox: Sandbox) -> None:
    """Closed and opened three times it serves again at the same URL; doing either twice does no harm."""
    url = sandbox.base_url
    for name in ("one", "two", "three"):
        await sandbox.close_listener()
        await sandbox.close_listener()
        await sandbox.open_listener()
        await sandbox.open_listener()
        assert (await caller.create("gateway360", user_name=name)).status == 200
    assert sandbox.base_url == url


async def test_a_closed_port_stays_reserved(sandbox: Sandbox) -> None:
    """While the listener is closed nobody else is given its port."""
    port = int(sandbox.base_url.rpartition(":")[2])
    await sandbox.close_listener()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))


async def test_ports_can_be_chosen(sandbox: Sandbox) -> None:
    """A given port is used; a port in use is an OSError, and leaves nothing behind."""
    free = free_ports(1)[0]
    async with Sandbox("127.0.0.1", free) as chosen:
        assert chosen.base_url == f"http://127.0.0.1:{free}"
        with pytest.raises(OSError, match="in use"):
            async with Sandbox("127.0.0.1", 0, free):
                pass
        with pytest.raises(OSError, match="in use"):
            async with Sandbox("127.0.0.1", free):
                pass


async def test_a_host_name_can_be_bound() -> None:
    """A host name is bound as such and stands in the URL."""
    async with Sandbox("localhost") as named, aiohttp.ClientSession() as session:
        assert named.base_url.startswith("http://localhost:")
        async with session.get(named.base_url + "/v4/x") as reply:
            assert reply.status == 404


async def test_an_ipv6_address_can_be_bound() -> None:
    """An IPv6 address stands in brackets in both URLs."""
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with Sandbox("::1") as sandbox, aiohttp.ClientSession() as session:
        assert sandbox.base_url.startswith("http://[::1]:")
        async with session.get(sandbox.control_url + "/health") as reply:
            assert reply.status == 200


async def test_leaving_ends_what_is_under_way(session: aiohttp.ClientSession, naps: Any) -> None:
    """Leaving the block cuts waiting requests and drops delayed work instead of waiting for them."""
    async with Sandbox(sleep=naps) as sandbox:
        sandbox.faults.add(Rule(fault=Fault.SLOW, seconds=3600))
        sent = asyncio.create_task(_create(session, sandbox))
        await naps.begun.wait()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await sent
    assert sandbox.creates("gateway360").made == 0


async def _create(session: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    async with session.post(f"{sandbox.base_url}/api/3.0/subaccount/create", json={}):
        pass


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
