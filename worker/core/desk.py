"""The desk at which requests are worked on: every part their way needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.core.broker import Publisher
from worker.core.clock import Clock
from worker.core.decode import Limits
from worker.core.events import EventWriter
from worker.core.gate import LedgerGate
from worker.core.lanes import Lane
from worker.core.ledger import Ledger
from worker.core.observer import Observer
from worker.core.orders import Orders
from worker.core.provider import Provider
from worker.core.recording import Recorder
from worker.core.retry import RetryPolicy
from worker.core.sealing import CredentialBox
from worker.core.steps import Reached, unwatched
from worker.core.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything the way of a request needs, made once by the composition root."""

    worker: str
    ledger: Ledger
    publisher: Publisher
    providers: Mapping[str, Provider]
    lanes: Mapping[str, Lane]
    orders: Orders
    events: EventWriter
    recorder: Recorder
    box: CredentialBox
    gate: LedgerGate
    clock: Clock
    observer: Observer
    limits: Limits = field(default_factory=Limits)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    tasks: Tasks = field(default_factory=Tasks)
    reached: Reached = unwatched
