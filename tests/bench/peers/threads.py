"""What the sides that work in threads have in common: an HTTP client for each thread, and laying out their messages."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import local

import requests

from tests.bench.peers.work import Surroundings, new_request

_FEEDERS = 16  # threads that publish, each waiting for its confirmation


class Sessions:
    """One for each thread, as it is not made to be shared; its connections are kept alive."""

    def __init__(self, where: Surroundings) -> None:
        self._where = where
        self._of_thread = local()

    def mine(self) -> requests.Session:
        """That of the running thread."""
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
            self._of_thread.session.headers.update(self._where.headers)
        session: requests.Session = self._of_thread.session
        return session


def feed(send: Callable[[str], object], side: str, count: int) -> None:
    """Lay out that many messages, each one confirmed."""
    with ThreadPoolExecutor(_FEEDERS) as threads:
        for sent in [threads.submit(send, new_request(side).decode()) for _ in range(count)]:
            sent.result()
