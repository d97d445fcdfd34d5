"""The same work on Celery 5.7, written as its documentation teaches. Needs the dependency group `peers`.

What the documents say, and what is done here:

- *acks_late*: "If your task is idempotent you can set the acks_late option". A create is not, but the default "is to
  acknowledge the message in advance, just before it's executed", and then a crash loses the request: the user guide
  ("Tasks") offers these two and no third. The first is what is used here; `--ack-first` is the default.
- *reject_on_worker_lost*: "allows the message to be re-queued instead, so that the task will execute again".
- *autoretry_for* with *retry_backoff*: exponential pauses in seconds; full jitter is the default.
- *worker_prefetch_multiplier* = 1, as the guide "Optimizing" advises together with late acknowledgement.
- *confirm_publish* among the transport's options, since without it Celery does not wait for the broker.
- Threads instead of processes, as the work is waiting for the network.
- The requests come in a form of their own, and Celery reads only its own. A worker with a bridge in it would be at a
  disadvantage, as the bridge is killed too; so `--forward` turns every request that waits into a task
  (`app.send_task`), before the worker starts, and nobody kills that.

Started with `python -m tests.peers.celery_worker` and the worker's own environment.
"""

import os
import sys
from threading import Lock, local

import requests
from celery import Celery

from tests.peers.creates import (
    TOKEN_NEEDED,
    HttpRequest,
    ProviderBusy,
    ProviderRefused,
    TokenStale,
    create_request,
    read_account_id,
    read_token,
    token_request,
)
from tests.peers.settings import ProviderSettings, Settings, read_settings
from tests.peers.wire import (
    CONTENT_TYPE,
    RESULTS,
    Request,
    Result,
    provisioned,
    read_request,
    rejected,
    request_queue,
)

_WORTH_ANOTHER_TRY = (ProviderBusy, requests.ConnectionError, requests.Timeout)
_RETRIES = 5
_TASK = "provision"


def main(arguments: list[str], settings: Settings) -> None:
    """Run until SIGTERM, which Celery handles itself (a warm shutdown); with `--forward`, until all is forwarded."""
    app = build(settings, ack_first="--ack-first" in arguments)
    if "--forward" in arguments:
        forward(app, settings)
    else:
        # Gossip and mingle are for workers that look for one another; this one is alone.
        alone = ["--without-gossip", "--without-mingle"]
        app.worker_main(
            ["worker", "--pool=threads", f"--concurrency={settings.at_once}", "--loglevel=WARNING", *alone]
        )


def build(settings: Settings, *, ack_first: bool) -> Celery:
    """The application with its one task."""
    app = Celery("peer", broker=settings.broker_url)
    app.conf.update(
        task_acks_late=not ack_first,
        task_reject_on_worker_lost=not ack_first,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        broker_transport_options={"confirm_publish": True},
        broker_connection_retry_on_startup=True,
    )
    client = _RequestsClient(settings)

    def provision(body: str) -> None:
        request = read_request(body)
        try:
            result = provisioned(request, client.create(request))
        except ProviderRefused as refused:
            result = rejected(request, str(refused))
        _publish(app, result)

    app.task(name=_TASK, autoretry_for=_WORTH_ANOTHER_TRY, retry_backoff=True, max_retries=_RETRIES)(
        provision
    )
    return app


def forward(app: Celery, settings: Settings) -> None:
    """Make a task of every request that waits; it is acknowledged once the broker has confirmed the task."""
    with app.connection_for_read() as connection, connection.channel() as channel:
        waiting = [request_queue(name) for name in settings.providers]
        while waiting:  # one of each provider in turn: no provider's requests wait behind all of another's
            queue = waiting.pop(0)
            if (message := channel.basic_get(queue)) is not None:
                app.send_task(_TASK, [bytes(message.body).decode()])
                channel.basic_ack(message.delivery_tag)
                waiting.append(queue)


def _publish(app: Celery, result: Result) -> None:
    with app.producer_or_acquire() as producer:
        producer.publish(
            result.body,
            exchange=RESULTS,
            routing_key=result.routing_key,
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            delivery_mode="persistent",
            retry=True,
        )


class _RequestsClient:
    """The creates sent with Requests: a session for each thread, as it is not made to be shared."""

    def __init__(self, settings: Settings) -> None:
        self._providers = settings.providers
        self._tokens: dict[str, str] = {}
        self._fetching = Lock()
        self._of_thread = local()

    def create(self, request: Request) -> str:
        """Ask once; the id of the new account."""
        settings = self._providers[request.provider]
        token = self._token(request.provider) if request.provider in TOKEN_NEEDED else ""
        asked = create_request(request.provider, settings, request.parameters, token)
        try:
            return read_account_id(request.provider, *self._post(asked, settings))
        except TokenStale:
            self._tokens.pop(request.provider, None)
            raise

    def _token(self, provider: str) -> str:
        with self._fetching:
            if provider not in self._tokens:
                settings = self._providers[provider]
                self._tokens[provider] = read_token(*self._post(token_request(settings), settings))
            return self._tokens[provider]

    def _post(self, asked: HttpRequest, settings: ProviderSettings) -> tuple[int, bytes]:
        limits = (settings.connect_timeout, settings.answer_within)
        answer = self._session().post(asked.url, json=asked.body, headers=asked.headers, timeout=limits)
        return answer.status_code, answer.content

    def _session(self) -> requests.Session:
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
        session: requests.Session = self._of_thread.session
        return session


if __name__ == "__main__":
    main(sys.argv[1:], read_settings(os.environ))
