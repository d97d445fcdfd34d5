"""The observer of one process: every fact goes into the trace, and a surprise is a broken promise."""

from tests.simulation.scene import Scene
from worker.core.observer import (
    Began,
    Called,
    Counted,
    Ended,
    Fact,
    Finished,
    Moved,
    Published,
    Rescued,
    Surprised,
)


class Watch:
    """Implements `worker.core.observer.Observer`."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._trace = scene.trace
        self._name = name

    def tell(self, fact: Fact) -> None:
        """Take note of one fact."""
        match fact:
            case Moved(request_id=request_id, transition=way, enters=enters, reason=reason):
                self._trace.counts[way.name] += 1
                self._trace.tell(self._name, f"{request_id} {way.name} -> {enters} ({reason})")
            case Surprised(where=where, error=error, request_id=request_id):
                self._trace.fail("no surprises", f"{self._name} {where} {request_id}: {error!r}")
            case Called(provider=provider, operation=operation, result=result, request_id=request_id):
                self._trace.tell(self._name, f"{provider} {operation} {request_id}: {result}")
            case Rescued(request_ids=request_ids):
                self._trace.counts["rescue"] += len(request_ids)
                self._trace.tell(self._name, f"rescues {', '.join(request_ids)}")
            case Published(event_id=event_id, confirmed=confirmed, detail=detail):
                self._trace.tell(self._name, f"{event_id} confirmed {confirmed} {detail}")
            case Began() | Finished() | Ended() | Counted():
                pass
            case _:
                self._trace.tell(self._name, repr(fact))
