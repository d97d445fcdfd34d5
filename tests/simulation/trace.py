"""What happened, in order: a digest that tells two runs apart, a tail for the reader, and counts."""

from collections import Counter, deque
from dataclasses import dataclass
from hashlib import sha256

from tests.simulation.loop import BEGINNING, VirtualLoop

_TAIL = 150  # lines that are shown of a run that failed


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was not kept."""

    at: float
    promise: str
    story: str

    def __str__(self) -> str:
        return f"{self.at:.3f} s: {self.promise}: {self.story}"


class Trace:
    """Is told everything that happens."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._digest = sha256()
        self.lines = 0
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self.broken: list[Broken] = []
        self.faults: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    @property
    def digest(self) -> str:
        """The same for two runs in which the same happened at the same times."""
        return self._digest.hexdigest()

    def tell(self, who: str, what: str) -> None:
        """Something happened."""
        line = f"{self._loop.now - BEGINNING:.6f} {who} {what}\n"
        self._digest.update(line.encode())
        self.tail.append(line)
        self.lines += 1

    def fault(self, kind: str, who: str, what: str = "") -> None:
        """Something was made to go wrong."""
        self.faults[kind] += 1
        self.tell(who, f"FAULT {kind} {what}")

    def fail(self, promise: str, story: str) -> None:
        """A promise was not kept."""
        broken = Broken(self._loop.now - BEGINNING, promise, story)
        self.broken.append(broken)
        self.tell("PROMISE BROKEN", str(broken))
