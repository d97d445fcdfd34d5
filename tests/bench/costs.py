"""What single pieces of the work cost for one request, by processor time, each measured alone.

They are measured in a process of their own, `python -m tests.bench.costs ROUNDS`, which prints JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from contracts.providers import postcode_eu
from contracts.reason import ReasonCode
from contracts.result import Evidence
from contracts.result import Outcome as ResultOutcome
from tests.bench.peers.work import CONTENT_TYPE, new_request
from tests.bench.report import Table
from worker import telemetry
from worker.core import states
from worker.core.broker import Message
from worker.core.decode import Decoded, Limits, decode, read_parameters
from worker.core.events import EventWriter, Subject
from worker.core.observer import Began, Called, Ended, Fact, Finished, Moved, Published, Received
from worker.core.sealing import CredentialBox, Sealer
from worker.core.states import State
from worker.core.verdict import Moment, Outcome, Verdict
from worker.keyring import ConsumerKeys, Keyring, new_consumer_key, new_key, read_consumer_keys
from worker.rabbitmq.topology import request_key, request_queue

_PROVIDER = postcode_eu.NAME
_TIMES_OVER = 5  # the least of so many measurements counts: what else the machine did is in the others
_WARM_UP = 50


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of the work, as it is done once for a request."""

    name: str
    what: str
    do: Callable[[], object]


async def run(*, rounds: int) -> dict[str, Any]:
    """Each piece so many times.

    Raises:
        RuntimeError: the process failed; it said why.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(rounds), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError("the measurement of single costs failed")
    figures: dict[str, Any] = json.loads(told)
    return figures


def main(rounds: int) -> None:
    """Measure and print."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        telemetry.configure_logs("info", "json", stream=nowhere)
        measured = {piece.name: _measure(piece, rounds) for piece in pieces()}
    sys.stdout.write(json.dumps({"rounds": rounds, "pieces": measured}))


def _measure(piece: Piece, rounds: int) -> dict[str, Any]:
    for _ in range(_WARM_UP):
        piece.do()
    took = []
    for _ in range(_TIMES_OVER):
        began = time.process_time()
        for _ in range(rounds):
            piece.do()
        took.append((time.process_time() - began) / rounds * 1000)
    return {"what": piece.what, "ms": min(took), "all_ms": took}


def pieces() -> list[Piece]:
    """All of them, ready to be done."""
    keys = Keyring([new_key(datetime.now(UTC))])
    _, public = new_consumer_key("bench", datetime.now(UTC))
    box = ConsumerKeys(read_consumer_keys(json.dumps(public), "the bench's keys"))
    message = _message()
    request = _read(message)
    log, metrics, facts = telemetry.LogObserver("bench"), telemetry.Metrics((_PROVIDER,)), _facts()
    return [
        Piece(
            "validation", "decode the message, check envelope, data and parameters", lambda: _read(message)
        ),
        Piece("sealing", "fingerprint; seal and open the request", lambda: _seal(keys, message.body)),
        Piece("JWE", "encrypt the credentials for the consumer", lambda: _encrypt(box)),
        Piece(
            "event", "build, validate and seal the result event, and open it", lambda: _event(keys, request)
        ),
        Piece("logging", "every fact of a request that goes well", lambda: _tell(log, facts)),
        Piece("metrics", "every fact of a request that goes well", lambda: _tell(metrics, facts)),
    ]


def _message() -> Message:
    return Message(
        body=new_request(_PROVIDER),
        content_type=CONTENT_TYPE,
        queue=request_queue(_PROVIDER),
        routing_key=request_key(_PROVIDER),
    )


def _read(message: Message) -> tuple[Decoded, BaseModel]:
    request = decode(message, Limits())
    if not isinstance(request, Decoded):
        raise TypeError(f"the bench's own request is refused: {request}")
    parameters = read_parameters(request, postcode_eu.Parameters)
    if not isinstance(parameters, BaseModel):
        raise TypeError(f"the bench's own parameters are refused: {parameters}")
    return request, parameters


def _seal(keys: Sealer, body: bytes) -> None:
    keys.fingerprint(body)
    keys.open(keys.seal(body, "request:bench"), "request:bench")


def _encrypt(box: CredentialBox) -> str:
    return box.encrypt("urn:bench", {"key": "k" * 43, "secret": "s" * 50})


def _event(keys: Sealer, request: tuple[Decoded, BaseModel]) -> bytes:
    decoded, _ = request
    events = EventWriter("urn:provisioner", keys)
    subject = Subject(
        request_id=str(uuid4()),
        occasion=0,
        source=decoded.context.source,
        idempotency_key=decoded.data.idempotency_key,
        provider=_PROVIDER,
        dry_run=False,
        context={"id": decoded.context.id},
    )
    event = events.provisioned(
        subject,
        datetime.now(UTC),
        account_id="3414456543",
        account={"account_id": "3414456543"},
        credentials=_JWE,
        missing=(),
        evidence=Evidence.ANSWER,
    )
    return events.body_of(event)


_JWE = ".".join(("e" * 200, "k" * 54, "i" * 16, "c" * 160, "t" * 22))


def _facts() -> list[Fact]:
    """What is told of one request that goes well, in its order."""
    request_id, key = str(uuid4()), uuid4().hex
    outcome = Outcome(
        Verdict.DONE, ReasonCode.CREATED, "postcode_eu.created", moment=Moment.ANSWER_READ, status=200
    )
    moved = [
        Moved(_PROVIDER, request_id, key, way, enters, reason, 1)
        for way, enters, reason in (
            (states.SEND, State.SENDING, None),
            (states.PROVISION, State.PROVISIONED, ReasonCode.CREATED),
        )
    ]
    return [
        Received(_PROVIDER, "structured", "new", request_id, key),
        Began(_PROVIDER, request_id),
        moved[0],
        Called(_PROVIDER, "create", ReasonCode.CREATED, 0.01, request_id, outcome),
        moved[1],
        Finished(_PROVIDER, request_id, ResultOutcome.PROVISIONED, ReasonCode.CREATED, 0.02),
        Published(request_id, str(uuid4()), "account.provisioned.v1", confirmed=True, seconds=0.002),
        Ended(_PROVIDER, request_id),
    ]


def _tell(observer: telemetry.LogObserver | telemetry.Metrics, facts: list[Fact]) -> None:
    for fact in facts:
        observer.tell(fact)


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures for people."""
    measured = figures["pieces"]
    rows = [[name, piece["what"], f"{piece['ms']:.3f}"] for name, piece in measured.items()]
    total = sum(piece["ms"] for piece in measured.values())
    return [
        Table(
            "costs: processor time of single pieces, for one request",
            ("", "what is done", "ms"),
            [*rows, ["together", "", f"{total:.3f}"]],
            f"the least of {_TIMES_OVER} times {figures['rounds']}; the rest of a request's time goes to the ledger, "
            "HTTP and AMQP",
            left=2,
        )
    ]


if __name__ == "__main__":
    main(int(sys.argv[1]))
