"""What the fault proxy does to a connection: each kind, each direction, measured at both ends."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from tests.evidence import connection
from tests.evidence.line import LARGE, Rig, open_rig, other, turns
from tests.evidence.proxy import Direction, Kind, Trouble

UP, DOWN = Direction.UP, Direction.DOWN


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """A server and a proxy in front of it, which gives both ends the time to close that a busy machine takes."""
    monkeypatch.setattr(connection, "_LINGER", 30.0)
    async with open_rig() as opened:
        yield opened


@pytest.mark.parametrize("direction", Direction)
async def test_without_trouble_everything_passes(rig: Rig, direction: Direction) -> None:
    """Two megabytes arrive as they were sent, and nothing is counted as applied."""
    line = await rig.connect()
    await line.carries(direction, LARGE)
    assert rig.proxy.connections == 1
    assert not rig.proxy.applied


@pytest.mark.parametrize("direction", Direction)
async def test_end_of_one_direction_is_passed_on(rig: Rig, direction: Direction) -> None:
    """When one end has no more to say, the other learns it and may still answer."""
    line = await rig.connect()
    line.source(direction).write_eof()
    assert await line.sink(direction).read() == b""
    await line.carries(other(direction), b"an answer all the same")


async def test_reset_is_passed_on(rig: Rig) -> None:
    """A client that resets is seen as a reset by the server, and no trouble is counted for it."""
    line = await rig.connect()
    at_client = line.client[1]
    at_client.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    at_client.transport.abort()
    with pytest.raises(ConnectionResetError):
        await line.server[0].read()
    assert not rig.proxy.applied


# Ends


@pytest.mark.parametrize("direction", [UP, DOWN, None])
async def test_cut_is_an_orderly_end_for_both(rig: Rig, direction: Direction | None) -> None:
    """Both ends read what was passed on, then the end (FIN), and no error."""
    line = await rig.connect()
    await line.carries(UP, b"question")
    await line.carries(DOWN, b"answer")
    rig.proxy.now(Trouble(kind=Kind.CUT, direction=direction))
    assert await line.client[0].read() == await line.server[0].read() == b""
    assert rig.proxy.applied == {Kind.CUT: 1}


async def test_cut_in_the_middle_of_a_large_upload_is_no_reset(rig: Rig) -> None:
    """Bytes still on their way when the connection is cut do not turn the orderly end into a reset."""
    rig.proxy.next(Trouble(kind=Kind.CUT, direction=UP, after_bytes=1000))
    line = await rig.connect()
    line.client[1].write(LARGE * 8)
    assert len(await line.server[0].read()) == 1000
    assert await line.client[0].read() == b""
    await line.client[1].drain()  # raises after a reset


@pytest.mark.parametrize("direction", [UP, DOWN, None])
async def test_reset_is_a_reset_for_both(rig: Rig, direction: Direction | None) -> None:
    """Both ends get ECONNRESET, which is what a TCP RST makes of a read."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=Kind.RESET, direction=direction))
    for end in (line.client, line.server):
        with pytest.raises(ConnectionResetError):
            await end[0].read()
    assert rig.proxy.applied == {Kind.RESET: 1}


@pytest.mark.parametrize("direction", Direction)
async def test_half_close_ends_one_direction_only(rig: Rig, direction: Direction) -> None:
    """One direction ends, also for what is sent afterwards; the other carries on."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=Kind.HALF_CLOSE, direction=direction))
    line.source(direction).write(b"into nothing")
    assert await line.sink(direction).read() == b""
    await line.carries(other(direction), b"still here")
    assert rig.proxy.applied == {Kind.HALF_CLOSE: 1}


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("limit", [0, 1, 1000, 65536, 65537, 1_000_000])
async def test_byte_limit_passes_exactly_so_many(rig: Rig, direction: Direction, limit: int) -> None:
    """Of two megabytes exactly the first so many arrive, then both ends see an orderly end."""
    rig.proxy.next(Trouble(kind=Kind.BYTE_LIMIT, direction=direction, after_bytes=limit))
    line = await rig.connect()
    line.source(direction).write(LARGE)
    assert await line.sink(direction).read() == LARGE[:limit]
    assert await line.sink(other(direction)).read() == b""
    assert rig.proxy.applied == {Kind.BYTE_LIMIT: 1}


async def test_limit_that_is_not_reached_is_no_trouble(rig: Rig) -> None:
    """One byte fewer passes, and nothing is counted."""
    rig.proxy.next(Trouble(kind=Kind.BYTE_LIMIT, direction=UP, after_bytes=8))
    line = await rig.connect()
    await line.carries(UP, b"1234567")
    assert not rig.proxy.applied
    line.client[1].write(b"8")
    assert await line.server[0].read() == b"8"


# What lasts


@pytest.mark.parametrize("direction", Direction)
async def test_stall_loses_nothing(rig: Rig, direction: Direction) -> None:
    """Two megabytes sent into a stalled direction arrive whole and in order once it heals, the end as well."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=Kind.STALL, direction=direction))
    line.source(direction).write(LARGE)
    line.source(direction).write_eof()
    await line.carries(other(direction), LARGE)
    arriving = asyncio.create_task(line.sink(direction).read())
    await turns()
    assert not arriving.done()
    rig.proxy.heal()
    assert await arriving == LARGE
    assert rig.proxy.applied == {Kind.STALL: 1}


async def test_stall_of_some_seconds_ends_by_itself(rig: Rig) -> None:
    """Nothing has to heal a stall that was given a time."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=Kind.STALL, seconds=0.05))
    await line.carries(UP, LARGE)
    await line.carries(DOWN, LARGE)
    assert rig.proxy.applied == {Kind.STALL: 1}


async def test_stall_begins_at_its_byte(rig: Rig) -> None:
    """What comes before the byte passes, the rest waits."""
    rig.proxy.next(Trouble(kind=Kind.STALL, direction=DOWN, after_bytes=6))
    line = await rig.connect()
    line.server[1].write(b"beforeafter")
    assert await line.client[0].readexactly(6) == b"before"
    rig.proxy.heal()
    assert await line.client[0].readexactly(5) == b"after"


async def test_stalled_connection_can_be_cut(rig: Rig) -> None:
    """What a cut meets in a stall is gone: both ends see the end, and the held bytes never arrive."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=Kind.STALL))
    line.client[1].write(b"held")
    await turns()
    rig.proxy.now(Trouble(kind=Kind.CUT))
    assert await line.client[0].read() == await line.server[0].read() == b""


@pytest.mark.parametrize("direction", Direction)
async def test_black_hole_swallows(rig: Rig, direction: Direction) -> None:
    """What is sent into it never arrives, the sender is told nothing, and what is sent after it is a reset."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=Kind.BLACK_HOLE, direction=direction))
    line.source(direction).write(LARGE)
    await line.source(direction).drain()
    await line.carries(other(direction), b"the other way is free")
    arriving = asyncio.create_task(line.sink(direction).readexactly(5))
    await turns()
    assert not arriving.done()
    rig.proxy.heal()
    line.source(direction).write(b"after")
    with pytest.raises(ConnectionResetError):
        await arriving
    assert rig.proxy.applied == {Kind.BLACK_HOLE: 1}


async def test_black_hole_hides_the_end_until_it_heals(rig: Rig) -> None:
    """A client that goes away inside a black hole is still there for the server, until the network heals."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=Kind.BLACK_HOLE))
    line.client[1].close()
    seen = asyncio.create_task(line.server[0].read())
    await turns()
    assert not seen.done()
    rig.proxy.heal()
    assert await seen == b""


async def test_delay_holds_every_chunk(rig: Rig) -> None:
    """A chunk arrives no sooner than the delay, every time, and whole."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=Kind.DELAY, direction=UP, seconds=0.05))
    loop = asyncio.get_running_loop()
    for chunk in (b"one", b"two"):
        began = loop.time()
        await line.carries(UP, chunk)
        assert loop.time() - began >= 0.05
    assert rig.proxy.applied == {Kind.DELAY: 1}


async def test_healed_delay_lets_go_at_once(rig: Rig) -> None:
    """Healing does not wait for a delay that has begun, however long it would last."""
    line = await rig.connect()
    rig.proxy.now(Trouble(kind=Kind.DELAY, seconds=3600))
    line.client[1].write(b"held")
    await turns()
    rig.proxy.heal()
    assert await line.server[0].readexactly(4) == b"held"


async def test_heal_forgets_what_was_to_come(rig: Rig) -> None:
    """After healing neither an open nor a further connection meets anything that was planned."""
    cut = Trouble(kind=Kind.CUT, after_bytes=1)
    rig.proxy.next(cut, cut)
    open_one = await rig.connect()
    rig.proxy.weather({cut: 1.0})
    rig.proxy.heal()
    for line in (open_one, await rig.connect(), await rig.connect()):
        await line.carries(UP, b"fine")
    assert not rig.proxy.applied
