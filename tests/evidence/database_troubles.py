"""What the ledger's database does to a worker: it dies, hangs up, loses its line, falls silent, fills its disk,
refuses to write.

Each disturbance is a function that ends in a `RunResult`. The tests run them short; all of them at length:

    python -m tests.evidence.database_troubles --times 20
"""

import argparse
import asyncio
import itertools
import json
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from tests.evidence.disks import FailingDisk, SmallDisk, failing_disk, small_disk
from tests.evidence.proxy import Direction, FaultProxy, Kind, Trouble
from tests.evidence.result import RunResult, to_its_end
from tests.evidence.troubled_house import TroubledHouse, troubled_house
from tests.evidence.watching import until
from tests.servers import frozen
from worker.core.states import SEND
from worker.keyring import load_or_create
from worker.local.postgresql_server import PostgresqlServer
from worker.local.rabbitmq_node import RabbitmqNode
from worker.sandbox import Fault, Rule

_PACE: Mapping[str, str] = {
    "LEDGER__LEASE": "3",
    **{
        f"PROVIDERS__{provider}__{name}": value
        for provider in ("CANARY_SPEECH", "PHONE_COM", "GATEWAY360", "POSTCODE_EU")
        for name, value in (
            ("CONNECT_TIMEOUT", "2"), ("ANSWER_WITHIN", "4"), ("LISTEN_FOR", "5"), ("SETTLE", "9"),
        )
    },
}  # fmt: skip
"""A commit of unknown fate leaves a row in doubt; its look-ups may be believed soon."""

_SPELL = 0.5  # seconds that silence on the line lasts before the connection breaks


@dataclass(frozen=True)
class Place:
    """A PostgreSQL server that may be hurt, a virtual host of a broker that is well, and a folder."""

    server: PostgresqlServer
    broker_url: str
    folder: Path

    @asynccontextmanager
    async def house(
        self, *, proxied: bool = False, settings: Mapping[str, str] = _PACE
    ) -> AsyncIterator[tuple[TroubledHouse, FaultProxy]]:
        """A house on a database of its own, and a proxy before the server, which the worker uses where asked to."""
        name = f"troubles_{uuid4().hex}"
        url = await asyncio.to_thread(self.server.create_database, name)
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        keys = folder / "sealing.keys.json"
        load_or_create(keys, may_create=True)
        port = urlsplit(url).port or 0
        async with FaultProxy("127.0.0.1", port) as proxy:
            seen_at = url.replace(f":{port}/", f":{proxy.port}/") if proxied else url
            async with troubled_house(
                self.broker_url,
                folder,
                ledger=seen_at,
                books_at=url,
                settings={**settings, "SEALING__KEYS_FILE": str(keys)},
            ) as house:
                yield house, proxy


async def restarted(place: Place, *, times: int) -> RunResult:
    """The server dies by SIGKILL, and the next time is restarted in good order, while requests flow."""
    async with place.house() as (house, _):
        for number in range(times):
            async with house.requests_flow():
                await house.told(await house.ask())
                if number % 2:
                    await asyncio.to_thread(place.server.restart)
                else:
                    await asyncio.to_thread(place.server.kill)
                    await asyncio.to_thread(place.server.start)
                house.faults["database restarted" if number % 2 else "database killed"] += 1
                await house.back("database away")
        return await house.result(f"database killed or restarted {times} times")


async def hung_up(place: Place, *, times: int) -> RunResult:
    """Every session of the worker is ended by the server, again and again, while requests flow."""
    async with place.house() as (house, _):
        async with house.requests_flow(every=0.02):
            for _number in range(times):
                await house.told(await house.ask())
                house.faults["database session ended"] += await asyncio.to_thread(
                    _end_sessions, house.books_at
                )
            await house.back("sessions ended")
        return await house.result(f"database sessions ended {times} times")


async def bad_line(place: Place, *, rounds: int) -> RunResult:
    """Connections to the server are delayed, cut, reset, torn, stalled and swallowed in the midst of transactions.

    Of many commits nobody knows whether they were carried out.
    """
    async with place.house(proxied=True) as (house, proxy):
        async with house.requests_flow(every=0.02):
            for _number, kind, direction in itertools.product(range(rounds), Kind, Direction):
                await until(lambda: _is_connected(proxy))
                proxy.now(_trouble(kind, direction))
                await asyncio.sleep(_SPELL)
                proxy.heal()
                if kind is Kind.BLACK_HOLE:  # what was swallowed is lost, and with it the connection
                    proxy.now(Trouble(kind=Kind.RESET))
                await asyncio.sleep(_SPELL)
            await house.back("bad line")
        house.faults.update({f"database connection {kind}": times for kind, times in proxy.applied.items()})
        return await house.result(f"bad line to the database, {rounds} rounds")


async def _is_connected(proxy: FaultProxy) -> bool:
    return proxy.connections > 0


def _trouble(kind: Kind, direction: Direction) -> Trouble:
    delay = 0.05 if kind is Kind.DELAY else None
    return Trouble(kind=kind, direction=direction, seconds=delay)


async def silent(place: Place, *, seconds: float) -> RunResult:
    """The server takes what it is told and answers nothing, for a long time; then its connections break."""
    async with place.house(proxied=True) as (house, proxy):
        async with house.requests_flow(every=0.2):
            await house.told(await house.ask())
            proxy.weather({Trouble(kind=Kind.BLACK_HOLE, direction=Direction.DOWN): 1.0})
            proxy.now(Trouble(kind=Kind.BLACK_HOLE, direction=Direction.DOWN))
            house.faults["database silent"] += 1
            began = time.monotonic()
            await house.shown("database silent")
            await asyncio.sleep(began + seconds - time.monotonic())
            proxy.heal()
            await house.back("database silent")
        return await house.result(f"database silent for {seconds:g} s")


async def stands_still(place: Place, *, seconds: float) -> RunResult:
    """The server and all its sessions are frozen; then they go on with whatever they were told meanwhile."""
    async with place.house() as (house, _):
        async with house.requests_flow(every=0.2):
            await house.told(await house.ask())
            began = time.monotonic()
            with frozen(place.server):
                house.faults["database frozen"] += 1
                await house.shown("database frozen")
                await asyncio.sleep(began + seconds - time.monotonic())
            await house.back("database frozen")
        return await house.result(f"database frozen for {seconds:g} s")


async def disk_full(place: Place, disk: SmallDisk, *, seconds: float) -> RunResult:
    """No table can grow, while small writes still succeed; then no log can be written, and the server dies of it."""
    # Each round of upkeep opens intake again, and each time what was delivered goes back: the limit is reached soon.
    settings = {**_PACE, "BROKER__DELIVERY_LIMIT": "20"}
    async with place.house(settings=settings) as (house, _):
        await house.told(await house.ask())
        async with house.requests_flow(every=0.1):
            disk.fill()
            house.faults["database disk full"] += 1
            await house.shown("database disk full")
            await asyncio.sleep(seconds)
            await asyncio.to_thread(_switch_log, house.books_at)
            await until(lambda: asyncio.to_thread(lambda: not place.server.running))
            house.faults["database died of a full disk"] += 1
            disk.clear()
            await asyncio.to_thread(place.server.start)
            await house.back("database disk full")
        return await house.result(f"disk of the database full for {seconds:g} s")


async def read_only(place: Place, *, seconds: float) -> RunResult:
    """The server only reads, as a standby does: no create leaves until it writes again."""
    async with place.house() as (house, _):
        async with house.requests_flow():
            await house.told(await house.ask())
            await asyncio.to_thread(_only_read, house.books_at, "on")
            house.faults["database read-only"] += 1
            await house.shown("database read-only")
            intended = await asyncio.to_thread(_intended, house.books_at)
            await asyncio.sleep(seconds)
            assert house.creates <= intended
            await asyncio.to_thread(_only_read, house.books_at, "off")
            await house.back("database read-only")
        return await house.result(f"database read-only for {seconds:g} s")


async def failed_disk(broker_url: str, folder: Path, disk: FailingDisk, *, seconds: float) -> RunResult:
    """The file system under a ledger in SQLite turns read-only while creates are under way; it is repaired and the
    worker, which must be started anew for that, finds what it could not write down.
    """
    settings, ledger = {**_PACE, "SHUTDOWN__DRAIN": "1"}, f"sqlite:///{disk.folder / 'ledger.db'}"
    async with troubled_house(broker_url, folder, ledger=ledger, settings=settings) as house:
        faults, gate = house.house.sandbox.faults, house.house.sandbox.gate("the disk failed")
        await house.told(await house.ask("phone_com"))
        faults.add(Rule(fault=Fault.LATE_ANSWER, until="the disk failed"))
        under_way = [await house.ask("phone_com") for _ in range(4)]
        await until(lambda: _made(house, 1 + len(under_way)))
        disk.fail()
        house.faults["disk failed"] += 1
        gate.set()
        waiting = [await house.ask("phone_com") for _ in range(4)]
        await house.shown("disk failed")
        await asyncio.sleep(seconds)
        assert house.creates == 1 + len(under_way)
        await house.worker.stop()
        await asyncio.to_thread(disk.repair)
        await house.worker.start()
        await house.told(*under_way, *waiting)
        result = await house.result("file system of the ledger read-only")
        assert result.notes["creates that reached a provider"] == result.requests
        return result


async def _made(house: TroubledHouse, count: int) -> bool:
    return house.house.sandbox.creates("phone_com").made >= count


def _end_sessions(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'provisioner'"
        )
        return len(ended.fetchall())


def _only_read(url: str, only: str) -> None:
    database = urlsplit(url).path.removeprefix("/")
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        connection.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = {only}')
    _end_sessions(url)


def _intended(url: str) -> int:
    """Creates that were written down before they were sent."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM history WHERE name = %s", (SEND.name,)).fetchone()
        return int(row[0]) if row else 0


def _switch_log(url: str) -> None:
    """Make the server begin a new file of its log, for which there is no room."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(3):
                connection.execute("SELECT pg_switch_wal(), txid_current()")
    except psycopg.Error:
        return


async def _at_length(place: Callable[[PostgresqlServer], Place], times: int) -> AsyncIterator[RunResult]:
    async for run in _runs(place, times):
        yield await to_its_end(run, "database")


async def _runs(
    place: Callable[[PostgresqlServer], Place], times: int
) -> AsyncIterator[Coroutine[Any, Any, RunResult]]:
    with PostgresqlServer() as server:
        yield restarted(place(server), times=times)
        yield hung_up(place(server), times=5 * times)
        yield bad_line(place(server), rounds=times // 2)
        yield silent(place(server), seconds=60)
        yield stands_still(place(server), seconds=60)
        yield read_only(place(server), seconds=60)
        with small_disk(96) as disk, PostgresqlServer(disk.folder / "server") as small:
            yield disk_full(place(small), disk, seconds=60)
        with failing_disk() as failing:
            yield failed_disk(place(server).broker_url, place(server).folder, failing, seconds=30)


async def _run(chosen: argparse.Namespace) -> int:
    broken = 0
    with RabbitmqNode() as node, tempfile.TemporaryDirectory(prefix="evidence-") as folder:

        def place(server: PostgresqlServer) -> Place:
            return Place(server, node.add_vhost(f"troubles-{uuid4().hex}"), Path(folder))

        async for found in _at_length(place, chosen.times):
            command = f"python -m tests.evidence.database_troubles --times {chosen.times}"
            sys.stdout.write(json.dumps(asdict(replace(found, command=command)), indent=1) + "\n")
            sys.stdout.flush()
            broken += not found.good
    return broken


def main() -> int:
    """Run all of it at length, one JSON for each; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20)
    logging.disable(logging.CRITICAL)
    return 1 if asyncio.run(_run(parser.parse_args())) else 0


if __name__ == "__main__":
    sys.exit(main())
