"""The gate in front of intake: whether the ledger works."""

import asyncio

from worker.core.observer import LedgerChanged, Observer


class LedgerGate:
    """Whether the ledger works; while it does not, nothing is taken in."""

    def __init__(self, observer: Observer, changed: asyncio.Event) -> None:
        self._observer = observer
        self._changed = changed
        self._told: bool | None = None
        self.well = True

    def sick(self, error: BaseException) -> None:
        """A write failed."""
        self._set(well=False, detail=str(error))

    def recovered(self) -> None:
        """A write succeeded."""
        self._set(well=True, detail="")

    def _set(self, *, well: bool, detail: str) -> None:
        self.well = well
        if well is not self._told:  # the first word is told as well: nobody else says that the ledger works
            self._told = well
            self._observer.tell(LedgerChanged(well, detail))
            self._changed.set()
