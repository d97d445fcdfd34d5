"""`make run`: the worker against what is configured; a private RabbitMQ and the sandbox stand in for what is not."""

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from rich.console import Console

from worker import bootstrap
from worker.demo.surroundings import consumer_keys, provider_settings
from worker.local.find_broker import find_broker
from worker.sandbox import Sandbox

console = Console(stderr=True, highlight=False, soft_wrap=True)

_PROVIDERS = "PROVISIONER_PROVIDERS__"


def run(folder: Path) -> None:
    """Keep the worker up until SIGINT or SIGTERM. State is kept in `folder`, so that a restart goes on.

    Raises:
        ConfigurationError: what is configured is wrong.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        environment = dict(os.environ)
        broker = stack.enter_context(find_broker(folder / "rabbitmq"))
        environment["PROVISIONER_BROKER__URL"] = broker.url
        bootstrap.run(_run(environment, folder))


async def _run(environment: dict[str, str], folder: Path) -> None:
    async with AsyncExitStack() as stack:
        if not any(name.startswith(_PROVIDERS) for name in environment):
            sandbox = await stack.enter_async_context(Sandbox(seed=int.from_bytes(os.urandom(4))))
            environment.update(provider_settings(sandbox.base_url))
            console.print(
                f"no provider is configured: the sandbox plays them all (faults: {sandbox.control_url})"
            )
        for name, value in _defaults(folder).items():
            environment.setdefault(name, value)
        _write_environment(environment, folder)
        await bootstrap.run_worker(bootstrap.settings(environment), watched=_say_where)


def _defaults(folder: Path) -> Mapping[str, str]:
    keys = folder / "consumer.jwks.json"
    if not keys.exists():
        consumer_keys(folder)
    return {
        "PROVISIONER_LEDGER__URL": f"sqlite:///{folder.absolute() / 'ledger.db'}",
        "PROVISIONER_CREDENTIALS__KEYS_FILE": str(keys.absolute()),
        # Who is root in a container of their own would have to give a name with every verb.
        "PROVISIONER_ACTOR": os.environ.get("USER", "developer"),
    }


def _write_environment(environment: Mapping[str, str], folder: Path) -> None:
    """So that the other verbs can be pointed at this worker from another terminal."""
    path = folder / "environment"
    path.touch(mode=0o600)
    own = {name: value for name, value in environment.items() if name.startswith("PROVISIONER_")}
    path.write_text(
        "".join(f"export {name}='{value}'\n" for name, value in sorted(own.items())), encoding="utf-8"
    )
    console.print(f"in another terminal:  source {path} && .venv/bin/provisioner requests list")


def _say_where(port: int) -> None:
    console.print(f"metrics and health:   http://127.0.0.1:{port}/metrics  /livez  /readyz")
