"""Everything around one row while it is played: processes, mailbox, ledger, and the sandbox that counts."""

import asyncio
import json
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

import aio_pika

from contracts.result import Outcome
from tests.evidence.crash_promises import Witness, broken_promises
from tests.evidence.crash_row import GATE, Place, Row, RowResult, Setting
from tests.evidence.doomed_process import AGAIN_AFTER, DoomedProcess, PatientProcess, until
from tests.evidence.doomed_worker import Doom
from tests.scenarios.conftest import House, furnish
from worker.core.entry import Entry
from worker.core.states import State
from worker.demo.mailbox import SOURCE
from worker.keyring import load_or_create
from worker.ledger import open_ledger

_MOST_REQUESTS: Final = 15  # asked of three workers until the doomed one has had its turn
_ANOTHER_AFTER: Final = 1.0  # seconds until the next of them
_UNDER_WAY: Final = frozenset({State.ACCEPTED, State.WAITING, State.SENDING, State.IN_DOUBT, "unpublished"})


class RowFailed(Exception):
    """The row did not come to its end; the text says where it stopped."""


class Scene:
    """Everything around one row while it is played."""

    def __init__(self, row: Row, house: House, ledger_url: str, patience: float) -> None:
        self.row = row
        self.house = house
        self.complaints: list[str] = []
        self._ledger_url = ledger_url
        self._patience = patience
        self._doomed = 0
        self._keys: list[str] = []

    @classmethod
    async def set(cls, row: Row, place: Place, stack: AsyncExitStack, patience: float) -> Self:
        """The house, without a worker."""
        house = await furnish(place.broker_url, place.folder, stack)
        sealing = place.folder / "sealing.keys.json"
        load_or_create(sealing, may_create=True)
        house.environment |= {
            "PROVISIONER_LEDGER__URL": place.ledger_url,
            "PROVISIONER_LEDGER__LEASE": "2",
            "PROVISIONER_SEALING__KEYS_FILE": str(sealing),
            "PROVISIONER_UPKEEP__REPUBLISH_AFTER": "1",
            **{f"PROVISIONER_PROVIDERS__{row.provider.upper()}__{name}": it for name, it in row.pace.items()},
        }
        house.sandbox.faults.add(*row.rules)
        return cls(row, house, place.ledger_url, patience)

    async def steady(self, name: str) -> None:
        """Start a worker that nobody kills."""
        await self._started(PatientProcess(self.house.environment, self.house.folder / f"{name}.log"))

    async def doomed(self) -> DoomedProcess:
        """Start a worker that dies at the row's point."""
        row, house = self.row, self.house
        self._doomed += 1
        name = f"doomed-{self._doomed}"
        doom = Doom(
            point=row.point,
            note=house.folder / f"{name}.note",
            after=row.after,
            count=row.count,
            lingers=row.lingers,
        )
        process = DoomedProcess(house.environment, house.folder / f"{name}.log", doom)
        await self._started(process)
        return process

    async def _started(self, process: PatientProcess) -> None:
        self.house.stack.push_async_callback(process.kill)  # also if it does not come up in time
        await process.start()

    async def look_on(self) -> None:
        """Open the mailbox, the ledger and a channel; a worker must have made what they look at."""
        stack = self.house.stack
        self._mailbox = await self.house.mailbox()
        self._ledger = await stack.enter_async_context(open_ledger(self._ledger_url))
        connection = await stack.enter_async_context(await aio_pika.connect(self.house.broker_url))
        self._channel = await connection.channel()
        self._witness = Witness(self.house, self._mailbox, self._ledger, self.row.provider)

    async def ask_until_dead(self, doomed: DoomedProcess) -> None:
        """Ask once; where two others may be quicker, ask until the doomed one has had its turn.

        Raises:
            RowFailed: it did not come to its point.
        """
        if self.row.setting is Setting.THREE:
            for _ in range(3):
                await self._ask()
            while len(self._keys) < _MOST_REQUESTS and not await self._has_died(doomed, _ANOTHER_AFTER):
                await self._ask()
        else:
            await self._ask()
        await self.dies(doomed)

    async def ask_afterwards(self) -> None:
        """Ask everybody who is left once more: what came back to the queues lies before it, and is over when it is."""
        for _ in range(3 if self.row.setting is Setting.THREE else 1):
            await self._ask()

    async def dies(self, doomed: DoomedProcess) -> None:
        """Wait for the death, and see that it was the one that was meant.

        Raises:
            RowFailed: it did not die, or of something else.
        """
        if not await self._has_died(doomed, self._patience):
            raise RowFailed("the worker did not come to its point")
        if doomed.exit_code != -signal.SIGKILL or not doomed.was_there:
            raise RowFailed(f"the worker ended with {doomed.exit_code}, and not at its point")

    async def _has_died(self, doomed: DoomedProcess, seconds: float) -> bool:
        if not self.row.lingers:
            return await doomed.ended(seconds)
        if not await until(lambda: doomed.was_there and self._provider_has_done_its_part(), seconds):
            return False
        await doomed.kill()
        return True

    def _provider_has_done_its_part(self) -> bool:
        creates = self.house.sandbox.creates(self.row.provider)
        return creates.attempted >= len(self._keys) and (creates.made >= len(self._keys) or not self.row.made)

    async def victim(self, doomed: DoomedProcess) -> str | None:
        """The key of the request that was under way in the worker that died, where that can be known."""
        if self.row.setting is not Setting.THREE:
            return self._keys[0]
        entry: Entry | None = await self._ledger.find(doomed.subject)
        return entry.idempotency_key if entry else None

    async def check_the_moment(self, victim: str | None) -> None:
        """The sandbox's count and the ledger say whether the row was what it claims to be, before anybody takes over.

        Of three workers the others may have begun to.
        """
        if victim is None:
            return
        row, states = self.row, [entry.state for entry in await self._ledger.find_by_key(SOURCE, victim)]
        made, asked = len(self._witness.accounts(victim)), len(self._witness.creates(victim))
        if row.setting is Setting.THREE:
            if made < row.made or asked < row.asked:
                self.complaints.append(f"{made} accounts and {asked} creates at the death were too few")
            return
        if (made, asked) != (row.made, row.asked):
            self.complaints.append(
                f"{made} accounts existed and {asked} creates had been read at the death, "
                f"instead of {int(row.made)} and {int(row.asked)}"
            )
        if not set(states) <= set(row.states) or bool(states) != bool(row.states):
            self.complaints.append(f"the ledger had {states} at the death, instead of {list(row.states)}")

    async def make_it_now(self) -> None:
        """Let the provider make the account once somebody has looked for it in vain, or has given up."""
        before = self._look_ups()
        if not await until(lambda: self._look_ups() > before or self._all_told(), self._patience):
            raise RowFailed("nobody looked for the account")
        self.house.sandbox.gate(GATE).set()
        await self.house.sandbox.settle()

    def _look_ups(self) -> int:
        books = self.house.sandbox.public_state()["providers"]
        return int(books[self.row.provider]["requests"].get("look_up", 0))

    async def rest(self) -> None:
        """Wait until every request was answered, and nothing is under way in ledger or queues.

        Raises:
            RowFailed: that does not come.
        """
        if not await self._mailbox.until(self._all_told, self._patience):
            waiting = [key for key in self._keys if not self._mailbox.events[key]]
            raise RowFailed(f"no event for {', '.join(waiting)}")
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    if await self._at_rest():
                        return
                    await asyncio.sleep(AGAIN_AFTER)
        except TimeoutError:
            standings = [f"{one.count} {one.kind}" for one in await self._ledger.standings()]
            raise RowFailed(f"it does not come to rest: {', '.join(standings)}") from None

    def _all_told(self) -> bool:
        return all(self._mailbox.events[key] for key in self._keys)

    async def _at_rest(self) -> bool:
        if any(one.kind in _UNDER_WAY and one.count for one in await self._ledger.standings()):
            return False
        names = (f"provisioning.requests.{self.row.provider}", "provisioning.dead-letters")
        queues = [await self._channel.declare_queue(name, passive=True) for name in names]
        return not any(queue.declaration_result.message_count for queue in queues)

    async def check_promises(self, victim: str | None) -> None:
        """Every request by itself; the victim's must end as the row says.

        A delivery that came back late has its event told once more, so what is complained of may be mended yet; what
        should never have happened stays.
        """
        for _ in range(int(self._patience / 4)):
            broken = await self._broken_promises(victim)
            if not broken:
                return
            await asyncio.sleep(_ANOTHER_AFTER)
        self.complaints += broken

    async def _broken_promises(self, victim: str | None) -> list[str]:
        await self.house.sandbox.settle()
        broken: list[str] = []
        for key in self._keys:
            ending = self.row.ending if key == victim else None
            broken += await broken_promises(self._witness, key, ending)
        return broken

    def check_logs(self) -> None:
        """Nothing happened that the worker itself has no name for."""
        for log in self._logs():
            surprises = [line for line in _lines(log) if '"event": "surprise"' in line]
            self.complaints += [f"{log.name}: {line}" for line in surprises]

    def result(self, seconds: float) -> RowResult:
        """What is known now."""
        made = [len(self._witness.accounts(key)) for key in self._keys]
        told = [self._mailbox.events[key] for key in self._keys]
        return RowResult(
            row=self.row,
            complaints=tuple(self.complaints),
            seconds=round(seconds, 2),
            requests=len(self._keys),
            accounts=sum(made),
            surplus=sum(max(0, count - 1) for count in made),
            ended=tuple(_ending(events[-1]["data"]) for events in told if events),
            copies=sum(len(events) - len({event["id"] for event in events}) for events in told),
            log=self._last_words() if self.complaints else "",
        )

    def _last_words(self) -> str:
        return "\n".join(f"--- {log.name}\n" + "\n".join(_lines(log)[-30:]) for log in self._logs())

    def _logs(self) -> list[Path]:
        return sorted(self.house.folder.glob("*.log"))

    async def _ask(self) -> None:
        row, key = self.row, f"order-{len(self._keys)}"
        self._keys.append(key)
        data = {"idempotency_key": key, "provider": row.provider, "parameters": row.parameters(key)}
        envelope = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": SOURCE,
            "type": "account.requested.v1",
        }
        event = {**envelope, "time": datetime.now(UTC).isoformat(), "data": data}
        await self._mailbox.send(json.dumps(event).encode(), row.routing_key, "application/cloudevents+json")


def _ending(data: Mapping[str, Any]) -> str:
    """The outcome, or why the request is held."""
    return str(data["reason"]["code"] if data["outcome"] == Outcome.HELD else data["outcome"])


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()
