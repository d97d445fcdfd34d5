"""The gate in front of intake: whether the ledger works."""

import asyncio

from worker.core.observer import LedgerChanged, Observer


class LedgerGate:
    """Whether the ledger works; while it does not, nothing is taken in.

    Attributes:
        ailment: What ails the ledger, in a few words; "" while it is well.
    """

    def __init__(self, observer: Observer, changed: asyncio.Event) -> None:
        self._observer = observer
        self._changed = changed
        self._told: bool | None = None
        self.ailment = ""

    @property
    def well(self) -> bool:
        """Whether it works."""
        return not self.ailment

    def sick(self, error: BaseException) -> None:
        """A write failed."""
        self._set("fails", str(error))

    def silent(self, seconds: float) -> None:
        """Somebody has waited for it for so many seconds, and waits on."""
        self._set("does not answer", f"it has not answered for {seconds:g} seconds")

    def recovered(self) -> None:
        """A write succeeded."""
        self._set("", "")

    def _set(self, ailment: str, detail: str) -> None:
        self.ailment = ailment
        if self.well is not self._told:  # also the first time: nobody else says that the ledger works
            self._told = self.well
            self._observer.tell(LedgerChanged(self.well, detail))
            self._changed.set()
