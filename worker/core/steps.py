"""The named steps between a delivery and its settled event: the places at which a process may die.

The evidence kills a worker at every one of them. A step is told the moment it is reached, before anything further is
done, so that what is true at a step is exactly what its docstring says.
"""

from collections.abc import Callable
from enum import StrEnum

Reached = Callable[["Step", str], None]
"""Is told each step, with the id of the request, event or dead letter, or "" where none is known. Must not raise."""


class Step(StrEnum):
    """How far the work has come."""

    DELIVERED = "delivered"
    """Intake has a delivery and a slot for it; nothing was read."""
    READ = "read"
    """It is a valid request; nothing was written."""
    ACCEPTED = "accepted"
    """The row is durable; RabbitMQ still has the delivery."""
    ACKNOWLEDGED = "acknowledged"
    """The promise is the ledger's alone; execution may be under way already."""
    REJECTED = "rejected"
    """The delivery was sent to the dead-letter queue."""
    BEGUN = "begun"
    """Execution has the claim."""
    PREPARED = "prepared"
    """Token, body and baseline are there; no intent was written."""
    INTENDED = "intended"
    """The intent is durable; no byte has left."""
    CONNECTING = "connecting"
    """An exchange looks for its connection; no byte has left."""
    HEADERS_SENT = "headers_sent"
    """An exchange is about to write its first byte, or has; from here on a create may be done."""
    REQUEST_SENT = "request_sent"
    """The whole request is being written, or was."""
    STATUS_READ = "status_read"
    """The answer's status line was read, its body not yet."""
    ANSWER_READ = "answer_read"
    """The whole answer is in memory, and only there."""
    DOUBTED = "doubted"
    """No answer came in time: the doubt is durable and told; the create is still listened for."""
    JUDGED = "judged"
    """The attempt has its verdict, in memory."""
    RECORDED = "recorded"
    """Verdict, account id, sealed credentials and the unpublished event are durable."""
    CONFIRMED = "confirmed"
    """RabbitMQ confirmed the event; the ledger does not know it yet."""
    SETTLED = "settled"
    """The event is marked published."""
    LOOKED_UP = "looked_up"
    """A look-up has its finding, in memory."""
    BURYING = "burying"
    """A dead letter was delivered and read; nothing was written."""
    BURIED = "buried"
    """Its row and its rejection event are durable; RabbitMQ still has the delivery."""
    BURIAL_ENDED = "burial_ended"
    """It is acknowledged."""


def unwatched(_step: Step, _request_id: str) -> None:
    """Nobody wants to know."""
