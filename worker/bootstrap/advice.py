"""What the settings mean all together, in the words of `config check`."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from contracts import providers as contracts
from worker.core.errors import ConfigurationError
from worker.settings import Settings

_MAKE_ONE = (
    "`provisioner keys new consumer` makes a pair, PROVISIONER_CREDENTIALS__KEYS_FILE names its public half"
)


def without_consumer_keys(configured: Settings) -> str:
    """What becomes of requests while nobody could read their credentials.

    Raises:
        ConfigurationError: a configured provider could not open a single account.
    """
    known = contracts.discover()
    issuing = {name: known[name] for name in sorted(configured.providers) if name in known}
    # What the requester can choose it knows, and needs to be told only where it was generated.
    always = [
        name
        for name, it in issuing.items()
        if it.Credentials.model_fields.keys() - it.Parameters.model_fields
    ]
    sometimes = [name for name, it in issuing.items() if it.Credentials.model_fields and name not in always]
    if always:
        raise ConfigurationError(
            f"none, and every account at {' and '.join(always)} comes with credentials: all requests there would be "
            f"rejected before the provider is asked (no_consumer_key). {_MAKE_ONE}"
        )
    if sometimes:
        return f"none: requests at {' and '.join(sometimes)} that leave a password to us are rejected. {_MAKE_ONE}"
    return "none, and no configured provider issues credentials"


_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
"""Values of PostgreSQL's `sslmode` with which nothing is sent in clear."""


def on_encryption(configured: Settings) -> str:
    """What leaves this machine in clear, passwords and keys included."""
    plain = sorted(_in_clear(configured))
    if not plain:
        return "nothing is sent to another machine in clear"
    return (
        f"sent in clear, with the passwords: what goes to {', '.join(plain)}. Between containers of one machine that "
        "is all right; elsewhere use amqps://, sslmode=verify-full, https://"
    )


def _in_clear(configured: Settings) -> Iterator[str]:
    """Names of other machines that are spoken to without TLS; no address that may hold a password."""
    broker = urlsplit(configured.broker.url.get_secret_value() if configured.broker.url else "")
    if broker.scheme == "amqp" and not _is_here(broker.hostname):
        yield f"RabbitMQ at {broker.hostname}"
    yield from _ledger_in_clear(configured)
    for name, own in configured.providers.items():
        address = urlsplit(own.base_url)
        if address.scheme == "http" and not _is_here(address.hostname):
            yield f"{name} at {address.hostname}"


def _ledger_in_clear(configured: Settings) -> Iterator[str]:
    parts = urlsplit(configured.ledger.url.get_secret_value())
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    host = asked.get("host", parts.hostname)
    is_elsewhere = configured.ledger.sqlite_file() is None and not _is_here(host)
    if is_elsewhere and asked.get("sslmode") not in _ENCRYPTED:
        yield f"PostgreSQL at {host}"


def _is_here(host: str | None) -> bool:
    """Whether it is this very machine; a path is a socket."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def on_stopping(configured: Settings) -> str:
    """Whether a worker that is told to stop waits for as long as its creates may take."""
    drain = configured.shutdown.drain
    longer = {name: own.listen_for for name, own in configured.providers.items() if own.listen_for > drain}
    if not longer:
        return f"creates under way are waited for, {drain:g} seconds at most"
    listened = ", ".join(f"{name} {seconds:g}" for name, seconds in sorted(longer.items()))
    return (
        f"creates under way are waited for only {drain:g} seconds, and listened to for longer ({listened}): with each "
        "stop some may end in doubt. Raise PROVISIONER_SHUTDOWN__DRAIN above that, and above both the time to stop "
        "that the supervisor gives"
    )
