"""Which connection meets what, when the fault proxy takes none, and what it leaves behind."""

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.evidence.line import LARGE, Rig, Server, open_rig, turns
from tests.evidence.proxy import Direction, FaultProxy, Kind, Trouble

UP, DOWN = Direction.UP, Direction.DOWN


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A server and a proxy in front of it."""
    async with open_rig() as opened:
        yield opened


# Which connection meets what


async def test_next_goes_by_the_order_of_connections(rig: Rig) -> None:
    """The first connection is cut, the second left alone even in bad weather, the third reset."""
    cut, reset = Trouble(kind=Kind.CUT), Trouble(kind=Kind.RESET)
    rig.proxy.next(cut, None)
    rig.proxy.weather({reset: 1.0})
    first, second, third = [await rig.connect() for _ in range(3)]
    assert await first.client[0].read() == b""
    await second.carries(UP, b"alone")
    with pytest.raises(ConnectionResetError):
        await third.client[0].read()
    assert rig.proxy.applied == {Kind.CUT: 1, Kind.RESET: 1}


WEATHER: Mapping[Trouble, float] = {
    Trouble(kind=Kind.CUT): 0.3,
    Trouble(kind=Kind.RESET): 0.2,
    Trouble(kind=Kind.BYTE_LIMIT, after_bytes=4): 0.1,
}


async def weathered(server: Server, seed: int, count: int = 40) -> list[str]:
    """What each of so many connections met, in order."""
    met = []
    async with FaultProxy("127.0.0.1", server.port, seed=seed) as proxy:
        proxy.weather(WEATHER)
        for _ in range(count):
            before = proxy.applied.copy()
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            _, at_server = await server.accepted.get()
            at_server.write(b"12345")
            try:
                read = await reader.readexactly(5)
            except asyncio.IncompleteReadError as short:
                read = short.partial
            except ConnectionResetError:
                read = b""
            met.append(f"{read.decode()} {sorted(proxy.applied - before)}")
            writer.transport.abort()
            at_server.transport.abort()
    return met


async def test_weather_is_the_same_for_the_same_seed(rig: Rig) -> None:
    """One seed gives one sequence of troubles, another seed another one, and every trouble occurs."""
    first, again, other = [await weathered(rig.server, seed) for seed in (1, 1, 2)]
    assert first == again != other
    assert len(set(first)) == len(WEATHER) + 1


async def test_weather_ends_when_it_is_empty(rig: Rig) -> None:
    """An empty weather leaves further connections alone."""
    rig.proxy.weather({Trouble(kind=Kind.CUT): 1.0})
    assert await (await rig.connect()).client[0].read() == b""
    rig.proxy.weather({})
    await (await rig.connect()).carries(UP, b"sunshine")


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        ({Trouble(kind=Kind.CUT): 0.6, Trouble(kind=Kind.RESET): 0.5}, "more than 1 together"),
        ({Trouble(kind=Kind.CUT): -0.1}, "below zero"),
    ],
)
async def test_impossible_weather_is_refused(rig: Rig, rates: Mapping[Trouble, float], reason: str) -> None:
    """Rates that are no rates are an error of the test that gives them."""
    with pytest.raises(ValueError, match="rates"):
        rig.proxy.weather(rates)
    await (await rig.connect()).carries(UP, reason.encode())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": Kind.DELAY}, "a delay needs seconds"),
        ({"kind": Kind.CUT, "seconds": 1.0}, "takes no seconds"),
        ({"kind": Kind.CUT, "after_bytes": -1}, "not negative"),
        ({"kind": Kind.STALL, "seconds": -1.0}, "not negative"),
    ],
)
def test_impossible_trouble_is_refused(options: dict[str, object], reason: str) -> None:
    """A trouble that makes no sense cannot be made."""
    with pytest.raises(ValueError, match=reason):
        Trouble(**options)  # type: ignore[arg-type]  # wrong on purpose


# The listener


async def test_refused_and_accepted_again(rig: Rig) -> None:
    """While the proxy refuses, connects fail at once and open connections go on; then the same port takes them."""
    line, port = await rig.connect(), rig.proxy.port
    await rig.proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(rig.proxy.host, port)
    await line.carries(UP, b"still open")
    await rig.proxy.accept()
    await (await rig.connect()).carries(DOWN, b"again")
    assert (rig.proxy.port, rig.proxy.connections) == (port, 2)


async def test_target_that_refuses_resets_the_client(rig: Rig) -> None:
    """Where nobody listens behind the proxy the client gets a reset, not silence."""
    async with FaultProxy(rig.proxy.host, rig.proxy.port) as in_front:
        await rig.proxy.refuse()
        reader, writer = await asyncio.open_connection(in_front.host, in_front.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_chosen_port(rig: Rig) -> None:
    """A proxy that takes another's port after it listens where it was told."""
    async with FaultProxy("127.0.0.1", rig.server.port) as first:
        port = first.port
    async with FaultProxy("127.0.0.1", rig.server.port, listen_port=port) as second:
        assert second.port == port
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            await FaultProxy("127.0.0.1", rig.server.port, listen_port=rig.proxy.port).__aenter__()


# What is left behind


@pytest.mark.parametrize(
    "trouble",
    [
        None,
        Trouble(kind=Kind.DELAY, seconds=3600),
        Trouble(kind=Kind.CUT),
        Trouble(kind=Kind.RESET),
        Trouble(kind=Kind.HALF_CLOSE, direction=UP),
        Trouble(kind=Kind.STALL),
        Trouble(kind=Kind.STALL, seconds=3600),
        Trouble(kind=Kind.BYTE_LIMIT, after_bytes=3),
        Trouble(kind=Kind.BLACK_HOLE),
        Trouble(kind=Kind.CUT, after_bytes=10**9),
    ],
    ids=str,
)
async def test_nothing_is_left_behind(rig: Rig, trouble: Trouble | None) -> None:
    """After the block no task and no socket of the proxy is left, whatever it was in the middle of."""
    gc.collect()
    tasks, files = len(asyncio.all_tasks()), open_files()
    async with FaultProxy("127.0.0.1", rig.server.port) as proxy:
        proxy.next(trouble, trouble)
        ends = [await asyncio.open_connection(proxy.host, proxy.port) for _ in range(2)]
        ends += [await rig.server.accepted.get() for _ in range(2)]
        for _, writer in ends:
            writer.write(LARGE)
        await turns()
    assert proxy.connections == 0
    while not rig.server.accepted.empty():  # a stranger's, who looks for a server that had this port before
        ends.append(rig.server.accepted.get_nowait())
    for _, writer in ends:
        writer.transport.abort()
    await turns()
    gc.collect()
    assert (len(asyncio.all_tasks()), open_files()) == (tasks, files)


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.BYTE_LIMIT])
async def test_ends_that_never_close_are_closed_for_them(rig: Rig, kind: Kind) -> None:
    """A cut connection is gone after a while even if neither end ever answers the end with its own."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=kind))
    await rig.proxy.until(lambda: rig.proxy.connections == 0)
    assert await line.client[0].read() == b""


def open_files() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
