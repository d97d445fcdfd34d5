"""The dead-letter queue into rows: what could not become a request is kept with its reason, and its sender answered."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid5

from pydantic import JsonValue

from contracts.reason import ReasonCode
from contracts.result import Problem
from worker.core.broker import Delivery, Message
from worker.core.change import Event
from worker.core.dead_letter import DeadLetter
from worker.core.decode import Readable, Refusal, as_attribute, data_pointer, is_attribute
from worker.core.desk import Desk
from worker.core.entrance import read
from worker.core.entry import Accepted, Arrival, Conflict, Same
from worker.core.errors import ConfigurationError, LedgerUnavailable
from worker.core.events import subject_of_refusal
from worker.core.observer import Buried, Surprised
from worker.core.pipeline import Pipeline
from worker.core.sealing import Sealer
from worker.core.steps import Step

_NAMESPACE = UUID("5d2c9c1b-9d55-5d0f-8a39-0f4a1b5b7f11")
_TRACE = ("traceparent", "tracestate")
"""Ends of headers that a client library may put into whatever it publishes, anew each time."""

_CUT = "cut"
_LARGEST_KEPT = 4_194_304
"""Bytes of a body that is kept whole although it was too large to be read: what the shipped broker lets through."""
_KEPT_OF_LARGER = 4096
"""Bytes of a larger one, which a few times over would fill the memory: enough for a person to see what it is."""

_PLAIN = str | bytes | bytearray | int | float | datetime


class Burial:
    """Drains the dead-letter queue. The acknowledgement comes after the commit."""

    def __init__(self, desk: Desk, pipeline: Pipeline) -> None:
        self._desk = desk
        self._pipeline = pipeline

    async def bury(self, delivery: Delivery) -> None:
        """Take one dead letter: a row with its reason, or, when it is a good request after all, a request.

        Where the ledger fails, or may not be used by this code, the dead letter stays in its queue.
        """
        try:
            await self._bury(delivery)
        except (LedgerUnavailable, ConfigurationError) as error:
            self._desk.gate.sick(error)
            await delivery.requeue()
            return
        await delivery.ack()
        self._desk.reached(Step.BURIAL_ENDED, "")

    async def _bury(self, delivery: Delivery) -> None:
        try:
            arrival = read(self._desk, delivery.message)
            refusal = arrival if isinstance(arrival, Refusal) else await self._accept(arrival)
        except (LedgerUnavailable, ConfigurationError):
            raise  # no message is to blame for these
        except Exception as error:  # noqa: BLE001 - whatever a message does to our code, it becomes a row
            self._desk.observer.tell(Surprised("bury", error, message_id=delivery.message.message_id))
            problem = Problem(pointer="", message=f"reading it failed with {type(error).__name__}")
            refusal = Refusal(ReasonCode.INTERNAL_ERROR, (problem,))
        if refusal is not None:
            await self._keep(delivery.message, refusal)

    async def _accept(self, arrival: Arrival) -> Refusal | None:
        """A good request that came here by a mistyped routing key or a crash loop is not lost; it is run."""
        match await self._pipeline.accept(arrival):
            case Accepted(claim=claim):
                await self._desk.ledger.release(claim)
                return None
            case Same(entry=entry):
                await self._pipeline.answer_again(entry)
                return None
            case Conflict(entry=entry) as conflict:
                self._pipeline.tell_received(arrival, conflict)
                words = f"this key was used before with other content (request {entry.request_id})"
                where = f"{data_pointer(arrival.content_mode)}/idempotency_key"
                problem = Problem(pointer=where, message=words)
                return Refusal(ReasonCode.IDEMPOTENCY_CONFLICT, (problem,), _readable(arrival))

    async def _keep(self, message: Message, refusal: Refusal) -> None:
        now, sealer = self._desk.clock.now(), self._desk.orders.sealer
        names = letter_ids(message, sealer)
        known = await self._known(names)
        name = known.dead_letter_id if known else names[0]
        refusal = _as_its_sender_named_it(refusal, name)
        letter = dead_letter(name, message, refusal, sealer, now)
        # Dated as it was first: where the stored one was erased, the very same rejection is built again.
        since = known.received_at if known and known.died_alike(letter) else now
        event = self._rejection(letter.dead_letter_id, refusal, since)
        self._desk.reached(Step.BURYING, letter.dead_letter_id)
        if await self._desk.ledger.bury(letter, event):
            self._desk.observer.tell(Buried(letter.dead_letter_id, letter.provider, refusal.reason))
        self._desk.reached(Step.BURIED, letter.dead_letter_id)
        if event is not None:  # the one that was stored first, if this message died of this before
            await self._pipeline.publish_stored(letter.dead_letter_id, event.event_id)

    async def _known(self, names: Iterable[str]) -> DeadLetter | None:
        """The row of this message, if it was buried before, perhaps under an older key."""
        for name in names:
            known = await self._desk.ledger.dead_letter(name)
            if known is not None:
                return known
        return None

    def _rejection(self, dead_letter_id: str, refusal: Refusal, since: datetime) -> Event | None:
        """The sender is answered where an id could be read."""
        readable = refusal.readable
        if readable.event_id is None and readable.idempotency_key is None:
            return None
        subject = subject_of_refusal(dead_letter_id, refusal)
        return self._desk.events.rejected(subject, since, refusal.reason, problems=refusal.problems)


def _as_its_sender_named_it(refusal: Refusal, dead_letter_id: str) -> Refusal:
    """A replay gives the row's id to a message that has none: to its sender that id says nothing."""
    if refusal.readable.event_id != dead_letter_id:
        return refusal
    return replace(refusal, readable=replace(refusal.readable, event_id=None))


def letter_ids(message: Message, sealer: Sealer) -> Sequence[str]:
    """Ids that the row of a message may have, one for each key, the newest one's first.

    They come from what was published: one message is one row, however often it comes. One that came without an id of
    its own comes back from a replay with its row's.
    """
    nameless = _ids(replace(message, message_id=None), sealer)
    return nameless if message.message_id in nameless else _ids(message, sealer)


def _ids(message: Message, sealer: Sealer) -> Sequence[str]:
    return [str(uuid5(_NAMESPACE, fingerprint)) for fingerprint in sealer.fingerprints(_identity(message))]


def _identity(message: Message) -> bytes:
    """All that a message may die of. Keys, times, traces and others' headers may change on the way."""
    headers = {
        name: value
        for name, value in _kept(message.headers).items()
        if is_attribute(name) and not name.lower().endswith(_TRACE)
    }
    own = (message.content_type, message.message_id, message.correlation_id, message.app_id, message.type)
    return json.dumps((own, headers), sort_keys=True).encode() + message.body


def dead_letter(
    dead_letter_id: str, message: Message, refusal: Refusal, sealer: Sealer, now: datetime
) -> DeadLetter:
    """The row of one message."""
    return DeadLetter(
        dead_letter_id=dead_letter_id,
        queue=_origin(message),
        routing_key=_clean(message.routing_key),
        reason=refusal.reason,
        problems=tuple(problem.model_dump(mode="json") for problem in refusal.problems),
        sealed_message=sealer.seal(_stored(message, refusal), f"dead_letter:{dead_letter_id}"),
        size=len(message.body),
        message_id=_clean(message.message_id) if message.message_id else None,
        source=refusal.readable.source,
        idempotency_key=refusal.readable.idempotency_key,
        provider=refusal.readable.provider,
        received_at=now,
    )


def _stored(message: Message, refusal: Refusal) -> bytes:
    too_much = refusal.reason is ReasonCode.TOO_LARGE and len(message.body) > _LARGEST_KEPT
    return packed(message, _KEPT_OF_LARGER if too_much else None)


def packed(message: Message, keep: int | None = None) -> bytes:
    """A message as bytes: all that is read of it, and of what nobody reads the headers that can be sent again.

    `keep` is how many bytes of the body are kept; None: all. One that is cut says so (`is_cut`).
    """
    body = message.body[:keep]
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "routing_key": message.routing_key,
            "headers": _kept(message.headers),
            "content_type": message.content_type,
            "message_id": message.message_id,
            "correlation_id": message.correlation_id,
            "app_id": message.app_id,
            "type": message.type,
            "timestamp": message.timestamp.isoformat() if message.timestamp else None,
            **({_CUT: True} if len(body) < len(message.body) else {}),
        }
    ).encode()


def _kept(headers: Mapping[str, object]) -> dict[str, JsonValue]:
    """What is read of headers, as it is read, and others with a plain value; the broker's own are left out."""
    return {
        name: _sendable(value)
        for name, value in headers.items()
        if not name.startswith("x-") and (is_attribute(name) or isinstance(value, _PLAIN))
    }


def _sendable(value: object) -> JsonValue:
    """A fraction becomes text: the client library sends it in single precision, or not at all if it is too large."""
    return str(value) if isinstance(value, float) else as_attribute(value)


def unpacked(packed_message: bytes) -> Message:
    """The message that `packed` packed, with as much of its body as was kept."""
    fields = json.loads(packed_message)
    fields.pop(_CUT, None)
    timestamp = fields.pop("timestamp")
    return Message(
        **{**fields, "body": base64.b64decode(fields["body"])},
        queue="",
        timestamp=datetime.fromisoformat(timestamp) if timestamp else None,
    )


def is_cut(packed_message: bytes) -> bool:
    """Whether `packed` kept the beginning of the body only: such a message must not be published again."""
    return bool(json.loads(packed_message).get(_CUT, False))


def _readable(arrival: Arrival) -> Readable:
    context = {name: value for name, value in arrival.context.items() if isinstance(value, str)}
    return Readable(
        event_id=context.get("id"),
        source=arrival.source,
        idempotency_key=arrival.idempotency_key,
        provider=arrival.provider,
        subject=context.get("subject"),
        correlationid=context.get("correlationid"),
        dry_run=arrival.dry_run,
    )


def _origin(message: Message) -> str:
    """The queue it died in, by the broker's own word."""
    queue = message.headers.get("x-first-death-queue")
    return _clean(queue) if isinstance(queue, str) else message.queue


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:300]
