"""What may be set and costs something: told by `config check`, refused by nobody."""

from worker.settings import Settings


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
