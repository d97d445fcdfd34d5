"""What can go wrong before a private server runs. Every message is meant for the person at the terminal."""


class LocalError(Exception):
    """Base of everything this package raises on purpose. Its text never holds a password."""


class ServerMissing(LocalError):
    """A server's program is not installed; the message names the command that installs it."""


class ServerFailed(LocalError):
    """A server did not start, answer or stop; the message ends with what it said itself."""


class CannotInstall(LocalError):
    """A package cannot be installed; the message says why, and what a person can do."""


class NoBroker(LocalError):
    """There is no RabbitMQ to be had; the message says what helps."""
