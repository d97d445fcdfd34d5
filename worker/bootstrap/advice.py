"""What the settings mean all together, in the words of `config check`."""

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
