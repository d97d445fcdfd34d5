"""Connections to PostgreSQL that wait for an answer, but not for ever.

A server that was frozen still holds up its end of the connection, and so does whatever stands between in its name: no
time-out of the network notices that, and none of the server's own runs. So it is the wait itself that ends.
"""

import select
import time
from collections.abc import Mapping
from typing import Any, Final, Self

import psycopg
from psycopg.abc import RV, PQGen

_LOOKS: Final = 0.1  # seconds between two looks at the clock, as in the driver itself
_WORKS_ON: Final = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state NOT LIKE 'idle%%'"


class NoAnswer(psycopg.OperationalError):
    """The server said nothing for too long. What it was asked last, it may do all the same."""


class HeedfulConnection(psycopg.Connection[Any]):
    """Is closed when nothing was heard for too long.

    Attributes:
        limit: Seconds without a word from the server after which it is given up.
        patient: Go on waiting as long as the server, asked on another connection, says that it still works on it.
        parameters: Lead to that server.
    """

    limit: float
    patient = False
    parameters: Mapping[str, Any]

    @classmethod
    def open(cls, parameters: Mapping[str, Any], limit: float) -> Self:
        """Connect within the `connect_timeout` of the parameters.

        Raises:
            NoAnswer: nobody answered in that time.
            psycopg.OperationalError: the server cannot be reached, or refused.
        """
        try:
            connection = cls.connect(**parameters)
        except psycopg.errors.ConnectionTimeout as error:
            raise NoAnswer(_in_words(parameters["connect_timeout"])) from error
        connection.limit, connection.parameters = limit, parameters
        return connection

    def wait(self, gen: PQGen[RV], interval: float = _LOOKS, timeout: float | None = None) -> RV:
        """Every wait of the driver's passes through here; `gen` goes on whenever something can be read or written."""
        return super().wait(self._heeded(gen), interval, timeout)

    def rollback(self) -> None:
        """Nothing on a connection that is lost: the server undoes it by itself, and why it was lost is told already."""
        if not self.closed:
            super().rollback()

    def _heeded(self, waiting: PQGen[RV]) -> PQGen[RV]:
        """The same, with a look at the clock whenever nothing happened."""
        heard_at = time.monotonic()
        try:
            wanted = next(waiting)
            while True:
                happened = yield wanted
                now = time.monotonic()
                if not happened and now - heard_at >= self.limit:
                    self._require_work()
                    heard_at = time.monotonic()
                elif happened:
                    heard_at = now
                wanted = waiting.send(happened)
        except StopIteration as end:
            result: RV = end.value
            return result

    def _require_work(self) -> None:
        """Nothing was heard for too long: give up, unless the server says why."""
        if self.patient and (self._is_worked_on() or self._has_spoken()):
            return
        self.close()  # does not wait either: it sends only what can leave at once
        raise NoAnswer(_in_words(self.limit))

    def _is_worked_on(self) -> bool:
        """Ask the same server on another connection."""
        mine, seconds = self.info, self.parameters["connect_timeout"]
        same = {**self.parameters, "host": mine.host, "port": mine.port}
        try:
            with type(self).open(same, seconds) as other:
                return other.execute(_WORKS_ON, [mine.backend_pid]).fetchone() is not None
        except psycopg.Error:
            return False

    def _has_spoken(self) -> bool:
        """Whether the answer came while the server was asked about it."""
        ears = select.poll()
        ears.register(self.fileno(), select.POLLIN)
        return bool(ears.poll(_LOOKS * 1000))


def _in_words(seconds: float) -> str:
    return f"its server did not answer within {seconds:g} seconds"
