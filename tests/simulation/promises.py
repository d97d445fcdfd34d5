"""The promises, checked while it happens and once all of it is over."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from contracts.reason import ReasonCode
from tests.simulation.books import UNKNOWN, Books, Line, Row
from tests.simulation.broker import Publication
from tests.simulation.scene import Scene
from tests.simulation.sealing import opened
from tests.simulation.upstream import Asked
from tests.simulation.vendors import HandedOver, Vendor
from worker.core.states import FINAL, State

_PROOFS: Final = frozenset(
    {
        "not_done", "late_not_done", "confirm_absent", "refuse", "late_refusal", "absent_for_good",
        "resolve_not_created", "replay_held",
    }
)  # fmt: skip
"""Steps that say that the create before them opened nothing."""

ENDED: Final = FINAL | {State.HELD}
_TO_RECORD: Final = 30.0
"""Seconds within which a process that lives has recorded what it was told."""


@dataclass
class Promises:
    """What was heard from the broker, and what must be true of it and of the ledger.

    Attributes:
        heard: The body of each result, by event id.
        times: How often each was heard.
    """

    scene: Scene
    books: Books
    vendors: Mapping[str, Vendor]
    heard: dict[str, bytes] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)

    # --- all the time ---------------------------------------------------------------------------------------------

    def hear(self, result: Publication) -> None:
        """The broker took a result."""
        event_id = result.event_id
        self.scene.trace.tell("results", f"{event_id} {result.routing_key}")
        self.times[event_id] = self.times.get(event_id, 0) + 1
        if self.heard.setdefault(event_id, result.body) != result.body:
            self._fail("the same event for the same outcome", f"{event_id} says something else than before")
        if self.times[event_id] == 1 and not self.books.knows(event_id):
            self._fail("no event for a state not reached", f"{event_id} is in no row")

    def left(self) -> list[str]:
        """What has not come to its end yet, in words."""
        keyless = self.books.keyless()
        in_hand = [key for key, provider in keyless if self._may_come(self._handed_over(provider, key))]
        return [*self.books.unended(), *self.books.unpublished(), *(f"key of {key}" for key in in_hand)]

    def _handed_over(self, provider: str, key: str) -> HandedOver | None:
        return self.vendors[provider].handed_over.get(key)

    def _may_come(self, handed: HandedOver | None) -> bool:
        """Whether a process was told a key and has not had the time to record it yet."""
        return handed is not None and not handed.life.dead and not handed.life.lived_on(handed.at, _TO_RECORD)

    def count_ended(self) -> int:
        """How many requests have come to their end by now."""
        return self.books.count() - len(self.books.unended())

    def count_letters(self) -> int:
        """Dead letters that were kept."""
        return len(self.books.letters())

    # --- in the end -----------------------------------------------------------------------------------------------

    def judge(self, asked: Sequence[Asked]) -> Sequence[Row]:
        """Look at everything there is. The rows, for the record."""
        rows = self.books.rows()
        stories = self._stories()
        self._nothing_lost(asked, rows)
        self._told_once({row.request_id for row in rows})
        for row in rows:
            self._told(row, stories[row.request_id])
            self._no_second_create(row, stories[row.request_id])
            self._true(row)
            if row.state == State.PROVISIONED:
                self._credentials(row)
            if row.state == State.HELD and row.reason in UNKNOWN:
                self._really_lost(row)
        return rows

    def _stories(self) -> Mapping[str, list[Line]]:
        stories: dict[str, list[Line]] = defaultdict(list)
        for subject_id, line in self.books.steps():
            stories[subject_id].append(line)
        return stories

    def _nothing_lost(self, asked: Iterable[Asked], rows: Sequence[Row]) -> None:
        """Each message is a request or a dead letter; of contents that differ under one key, one is the request."""
        keys = {row.key for row in rows}
        letters = set(self.books.letters())
        contents: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for one in asked:
            if not one.is_request and one.message_id not in letters:
                self._fail("never lost", f"{one.message_id} is nowhere")
            if one.is_request and one.key not in keys:
                self._fail("never lost", f"{one.message_id} with the key {one.key} is nowhere")
            if one.is_request and one.key is not None:
                contents[one.key][one.content].append(one.message_id)
        for key, by_content in contents.items():
            refused = [all(one in letters for one in ids) for ids in by_content.values()]
            if len(by_content) > 1 and sum(refused) < len(by_content) - 1:
                self._fail("a used key with other content is refused", key)

    def _told_once(self, requests: Collection[str]) -> None:
        """A message that became no request is told of one cause by one event, however often it dies of it."""
        told: dict[tuple[str, str], set[str]] = defaultdict(set)
        for event_id, body in self.heard.items():
            data = json.loads(body)["data"]
            if data["request_id"] not in requests:
                told[data["request_id"], f"{data['reason']} {data['problems']}"].add(event_id)
        for (letter, _), ids in told.items():
            if len(ids) > 1:
                self._fail("the same event for the same outcome", f"{letter} is told by {sorted(ids)}")

    def _told(self, row: Row, story: Sequence[Line]) -> None:
        """It has ended and says why, and each of its ends was told by an event of its own."""
        if row.state not in ENDED or row.reason is None:
            self._fail("everything ends", f"{row.request_id} is {row.state} ({row.reason})")
        ids = [line.event_id for line in story if line.enters in ENDED]
        if None in ids or len(set(ids)) != len(ids):
            self._fail("every end has its own event", f"{row.request_id}: {ids}")
        for event_id in sorted({*ids, row.event_id} - self.heard.keys() - {None}, key=str):
            self._fail("every end is told", f"{row.request_id}: {event_id} was never heard")
        if row.state in ENDED and not row.pruned and row.event_id not in ids[-1:]:
            self._fail("the newest event tells the newest end", row.request_id)
        if row.state in ENDED and row.event_id in self.heard:
            self._says_so(row, self._data(row))

    def _says_so(self, row: Row, data: Mapping[str, Any]) -> None:
        told = (data["request_id"], data["outcome"], data.get("account_id") or row.account_id)
        if told != (row.request_id, row.state, row.account_id):
            self._fail(
                "the newest event tells the newest end", f"{row.request_id} is {row.state}, told {told}"
            )

    def _data(self, row: Row) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.heard.get(row.event_id or "", b'{"data": {}}'))["data"]
        return data

    def _no_second_create(self, row: Row, story: Sequence[Line]) -> None:
        for one, after in pairwise(story):
            if after.leaves != one.enters:
                self._fail(
                    "the story has no gap", f"{row.request_id}: {one.enters}, then from {after.leaves}"
                )
        sends = [at for at, line in enumerate(story) if line.enters == State.SENDING]
        for at in sends:
            if story[at].leaves == State.IN_DOUBT:
                self._fail("no way from in doubt to sending", row.request_id)
        for first, second in pairwise(sends):
            if not {line.name for line in story[first:second]} & _PROOFS:
                names = ", ".join(line.name for line in story)
                self._fail("no second create without proof or word", f"{row.request_id}: {names}")

    def _true(self, row: Row) -> None:
        """What is said of the account is what the vendor has."""
        owned = [account.account_id for account in self.vendors[row.provider].accounts.get(row.key, ())]
        if row.state == State.PROVISIONED and row.account_id not in owned:
            self._fail("provisioned is true", f"{row.request_id} has {row.account_id}, the vendor {owned}")
        if row.state == State.REJECTED and owned:
            self._fail("rejected is true", f"{row.request_id} ({row.reason}), and the vendor has {owned}")
        if row.dry_run and owned:
            self._fail("a dry run opens nothing", f"{row.request_id}: {owned}")

    def _credentials(self, row: Row) -> None:
        boxed = self._data(row).get("credentials")
        given = opened(boxed)["credentials"] if boxed else {}
        vendor = self.vendors[row.provider]
        wanted: dict[str, str] = {}
        if vendor.kind.generates:
            wanted["password"] = f"password of {row.key}"
        if vendor.kind.issues_key and row.reason in (ReasonCode.CREATED, ReasonCode.CREATED_LATE):
            wanted["api_key"] = vendor.accounts[row.key][0].api_key
        if not wanted.items() <= given.items():
            self._fail("credentials arrive", f"{row.request_id} lacks {sorted(wanted.keys() - given.keys())}")

    def _really_lost(self, row: Row) -> None:
        """What a process had in its hands, and that went on to live, no person is asked for."""
        handed = self._handed_over(row.provider, row.key)
        if handed is not None and handed.life.lived_on(handed.at, _TO_RECORD):
            self._fail(
                "credentials arrive", f"{row.request_id} is held, and {handed.life.name} was told the key"
            )

    def _fail(self, promise: str, story: str) -> None:
        self.scene.trace.fail(promise, story)
