"""One carried TCP connection, and what can be done to it."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

_CHUNK = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LINGER = 1.0
"""Seconds that the ends of a cut connection get to close theirs; whatever they still send is thrown away, as an
answer to it would be a reset."""


class Kind(StrEnum):
    """What a network does to a connection."""

    DELAY = "delay"
    """Every chunk waits `seconds`."""
    CUT = "cut"
    """Both ends see an orderly end (FIN)."""
    RESET = "reset"
    """Both ends see a TCP reset (RST)."""
    HALF_CLOSE = "half_close"
    """The direction ends orderly, the other goes on."""
    STALL = "stall"
    """Nothing is passed on, and nothing is lost: it flows afterwards."""
    BYTE_LIMIT = "byte_limit"
    """Exactly `after_bytes` bytes are passed on, then both ends see an orderly end."""
    BLACK_HOLE = "black_hole"
    """What is sent never arrives, and nobody is told; an end of the connection arrives afterwards. Bytes behind the gap
    do not, as TCP delivers none: what is sent after it resets the connection."""


class Direction(StrEnum):
    """Which way bytes flow."""

    UP = "up"  # from the client to the server
    DOWN = "down"  # from the server to the client


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that happens to a connection.

    Attributes:
        kind: What.
        direction: To which direction; None to both, and then the first that gets there decides about an end.
        after_bytes: When: after so many bytes in that direction, counted from the connection's beginning. 0 is at once.
        seconds: DELAY: for each chunk. STALL and BLACK_HOLE: how long; None until healed or closed.

    Raises:
        ValueError: a delay without seconds, seconds where none belong, or a number below zero.
    """

    kind: Kind
    direction: Direction | None = None
    after_bytes: int = 0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.kind is Kind.DELAY and self.seconds is None:
            raise ValueError("a delay needs seconds")
        if self.seconds is not None and self.kind not in (Kind.DELAY, Kind.STALL, Kind.BLACK_HOLE):
            raise ValueError(f"{self.kind} takes no seconds")
        if self.after_bytes < 0 or (self.seconds or 0) < 0:
            raise ValueError("bytes and seconds are not negative")


class Connection:
    """A client's connection and the one to the target that belongs to it. `note` is told of each trouble it met."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[Kind], None]
    ) -> None:
        self._client = (reader, writer)
        self._note = note
        self._writers = [writer]
        self._ways: dict[Direction, _Way] = {}
        self._early: list[Trouble] = []
        self._linger: asyncio.TimerHandle | None = None

    async def carry(self, target: tuple[str, int]) -> None:
        """Carry bytes both ways until both have ended; when cancelled, or the target refuses, both ends are reset."""
        try:
            reader, writer = await asyncio.open_connection(*target)
            self._writers.append(writer)
            client_reader, client_writer = self._client
            self._ways = {
                Direction.UP: _Way(client_reader, writer, self),
                Direction.DOWN: _Way(reader, client_writer, self),
            }
            for trouble in self._early:
                self.meet(trouble)
            await asyncio.gather(*(way.carry() for way in self._ways.values()))
        except (OSError, asyncio.CancelledError):
            self.reset()
        finally:
            await self._close()

    def meet(self, trouble: Trouble) -> None:
        """Let a trouble happen, now or once its bytes have passed."""
        if not self._ways:
            self._early.append(trouble)
        meeting = _Meeting(trouble)
        for direction, way in self._ways.items():
            if trouble.direction in (None, direction):
                way.expect(meeting)

    def heal(self) -> None:
        """End what lasts, forget what was still to come."""
        self._early.clear()
        for way in self._ways.values():
            way.heal()

    def come_over(self, meeting: "_Meeting", way: "_Way") -> None:
        """The moment of a trouble came, in one direction."""
        trouble = meeting.trouble
        if not meeting.is_noted:
            meeting.is_noted = True
            self._note(trouble.kind)
        match trouble.kind:
            case Kind.CUT | Kind.BYTE_LIMIT:
                self.cut()
            case Kind.RESET:
                self.reset()
            case Kind.HALF_CLOSE:
                way.end()
            case Kind.DELAY | Kind.STALL | Kind.BLACK_HOLE:
                way.begin(trouble)
            case _:
                assert_never(trouble.kind)

    def cut(self) -> None:
        """End both directions orderly, and see to it that both ends close."""
        for way in self._ways.values():
            way.end()
        if self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(_LINGER, self.reset)

    def reset(self) -> None:
        """End everything without a word; the kernel sends a TCP reset to both ends."""
        for way in self._ways.values():
            way.end(tell=False)
        for writer in self._writers:
            connected = writer.get_extra_info("socket")
            with suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()

    async def _close(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        for way in self._ways.values():
            way.heal()
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()


@dataclass(slots=True, eq=False)
class _Meeting:
    """A trouble on one connection, noted once although it may come over both directions."""

    trouble: Trouble
    is_noted: bool = False


class _Way:
    """One direction of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whole: Connection) -> None:
        self._reader = reader
        self._writer = writer
        self._whole = whole
        self._passed = 0
        self._expected: list[_Meeting] = []
        self._has_gap = False
        self._spells: list[_Spell] = []
        self._has_ended = False

    async def carry(self) -> None:
        """Pass on what comes, and its end. A reset at one end becomes a reset at the other."""
        try:
            while chunk := await self._reader.read(_CHUNK):
                while chunk:
                    chunk = await self._pass(chunk)
            await self._over(Kind.STALL, Kind.BLACK_HOLE)
            self.end()
        except OSError:
            self._whole.reset()

    def expect(self, meeting: _Meeting) -> None:
        """Let it happen now, or remember it."""
        self._expected.append(meeting)
        self._arrive()

    def begin(self, trouble: Trouble) -> None:
        """Something that lasts begins."""
        self._spells.append(_Spell(trouble))

    def heal(self) -> None:
        """Everything that lasts ends, and nothing is expected any more."""
        self._expected.clear()
        for spell in self._spells:
            spell.finish()
        self._spells.clear()

    def end(self, *, tell: bool = True) -> None:
        """Nothing is passed on any more; what still comes is thrown away. `tell` passes the end itself on."""
        if not self._has_ended and tell:
            with suppress(OSError):
                self._writer.write_eof()
        self._has_ended = True
        self.heal()

    async def _pass(self, chunk: bytes) -> bytes:
        """Pass on as much as nothing forbids; the rest."""
        await self._hold()
        if self._has_ended:
            return b""
        size = min([len(chunk), *(one.trouble.after_bytes - self._passed for one in self._expected)])
        if self._under(Kind.BLACK_HOLE):
            self._has_gap = True
        elif self._has_gap:
            self._whole.reset()
            return b""
        else:
            self._writer.write(chunk[:size])
        self._passed += size
        self._arrive()
        if not self._has_ended:
            await self._writer.drain()
        return chunk[size:]

    def _arrive(self) -> None:
        """Let happen what is due at this byte."""
        due = [one for one in self._expected if one.trouble.after_bytes <= self._passed]
        self._expected = [one for one in self._expected if one not in due]
        for meeting in due:
            self._whole.come_over(meeting, self)

    async def _hold(self) -> None:
        for spell in self._under(Kind.DELAY):
            await spell.over(at_most=spell.trouble.seconds)
        await self._over(Kind.STALL)

    async def _over(self, *kinds: Kind) -> None:
        while spells := self._under(*kinds):
            await spells[0].over()

    def _under(self, *kinds: Kind) -> "list[_Spell]":
        return [one for one in self._spells if one.trouble.kind in kinds and not one.is_over]


class _Spell:
    """A trouble that lasts."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self._over = asyncio.Event()
        lasts = None if trouble.kind is Kind.DELAY else trouble.seconds
        self._timer = None if lasts is None else asyncio.get_running_loop().call_later(lasts, self._over.set)

    @property
    def is_over(self) -> bool:
        """Whether it has passed."""
        return self._over.is_set()

    def finish(self) -> None:
        """It is over now."""
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()

    async def over(self, at_most: float | None = None) -> None:
        """Wait until it is over, or so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._over.wait()
