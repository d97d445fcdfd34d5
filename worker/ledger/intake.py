"""The unit of work that accepts a request."""

from dataclasses import dataclass
from typing import Final

from worker.core.entry import Accepted, Arrival, Claim, Entry
from worker.core.states import State
from worker.ledger import story
from worker.ledger.entries import BY_KEY, entry_of
from worker.ledger.schema import requests
from worker.ledger.statements import insert_once
from worker.ledger.writer import Batch

_ACCEPT: Final = insert_once(requests)


@dataclass(frozen=True, slots=True)
class Known:
    """The row that has the key already, and the fingerprint of its content."""

    entry: Entry
    fingerprint: str


def accept(batch: Batch, arrival: Arrival, worker: str) -> Accepted | Known:
    """Insert once; the unique key decides."""
    entry = _entry_of(arrival)
    row = {name: getattr(entry, name) for name in Entry.__slots__} | {
        "fingerprint": arrival.fingerprint,
        "content_mode": arrival.content_mode,
        "sends": 0,
        "worker": worker,
        "claimed_at": arrival.received_at,
    }
    if _ACCEPT.count(batch.connection, row) == 0:
        found = batch.connection.execute(
            BY_KEY, {"p_key": arrival.idempotency_key, "p_source": arrival.source}
        ).one()
        return Known(entry_of(found), found.fingerprint)
    story.tell(batch, arrival.request_id, story.accepted(arrival, worker))
    return Accepted(Claim(entry, worker))


def _entry_of(arrival: Arrival) -> Entry:
    """A new row as it is: nothing sent, due at once, claimed for the first time."""
    return Entry(
        request_id=arrival.request_id,
        source=arrival.source,
        idempotency_key=arrival.idempotency_key,
        provider=arrival.provider,
        state=State.ACCEPTED,
        reason=None,
        sealed_request=arrival.sealed_request,
        context=dict(arrival.context),
        dry_run=arrival.dry_run,
        deadline=arrival.deadline,
        received_at=arrival.received_at,
        since=arrival.received_at,
        changed_at=arrival.received_at,
        due_at=arrival.received_at,
        fence=1,
        attempts=0,
        deferrals=0,
        look_ups=0,
        absences=0,
        generation=0,
        doubted=False,
        attempt_sent_at=None,
        baseline={},
        account_id=None,
        event_id=None,
    )
