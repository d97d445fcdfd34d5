"""What can be set, group by group. Every duration is in seconds; every value has been checked once loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, InstanceOf, SecretStr

from contracts.text import UriReference
from worker.core.errors import ConfigurationError
from worker.core.provider import ProviderSettings

PREFIX = "PROVISIONER_"
"""With it the name of every variable begins."""

SQLITE = "sqlite:///"
_POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg"})


class Group(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


_BROKER_URL = "must be amqp:// or amqps://, user, password and host; special characters in a password as %XX"


def _broker_url(url: SecretStr) -> SecretStr:
    parts = _split(url)
    if parts is None or parts.scheme not in {"amqp", "amqps"} or not parts.hostname:
        raise ValueError(_BROKER_URL)
    return url


def _ledger_url(url: SecretStr) -> SecretStr:
    file = url.get_secret_value().removeprefix(SQLITE)
    if file != url.get_secret_value():
        if not file or file.startswith(":memory:") or "?" in file:
            raise ValueError("must name a plain file: what was accepted has to outlive the worker")
        return url
    parts = _split(url)
    if parts is None or parts.scheme not in _POSTGRESQL or not parts.path.strip("/"):
        raise ValueError("must be sqlite:/// and a file, or postgresql:// with a server and a database")
    return url


def _split(url: SecretStr) -> SplitResult | None:
    try:
        parts = urlsplit(url.get_secret_value())
        _ = parts.port  # judged only when it is read
    except ValueError:
        return None
    return parts


class BrokerSettings(Group):
    """RabbitMQ."""

    url: Annotated[SecretStr, AfterValidator(_broker_url)] | None = Field(
        default=None,
        description="Address of RabbitMQ with user, password and virtual host. `run` needs it.",
        examples=["amqps://provisioner:password@rabbitmq.example.org:5671/provisioning"],
    )
    heartbeat: int = Field(
        default=12,
        ge=5,
        le=60,
        description="Seconds between heartbeats; a connection silent for three is given up.",
    )
    connect_timeout: float = Field(
        default=10.0, gt=0, le=300, description="Seconds to connect, TLS and log-in included."
    )
    operation_timeout: float = Field(
        default=10.0, gt=0, le=300, description="Seconds for every other call, publisher confirms included."
    )
    prefetch: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Deliveries a provider's queue hands out ahead; left out, as many as this worker has slots.",
        examples=[16],
    )
    declare: bool = Field(
        default=True,
        description="Declare exchanges and queues at start; false only verifies that they are there.",
    )
    audit_queue: bool = Field(
        default=True,
        description="Declare `provisioning.results.audit`, which keeps every result until somebody empties it.",
    )
    delivery_limit: int = Field(
        default=1000,
        ge=20,
        le=1_000_000,
        description="Deliveries of one message after which RabbitMQ makes it a dead letter.",
    )

    def address(self) -> str:
        """The URL IN CLEAR.

        Raises:
            ConfigurationError: it is not set.
        """
        if self.url is None:
            raise ConfigurationError(
                f"{PREFIX}BROKER__URL is not set: the worker needs RabbitMQ's address, "
                "for example amqp://user:password@rabbitmq:5672/"
            )
        return self.url.get_secret_value()


class LedgerSettings(Group):
    """The ledger, system of record."""

    url: Annotated[SecretStr, AfterValidator(_ledger_url)] = Field(
        default=SecretStr(f"{SQLITE}provisioner.db"),
        description="Where the ledger is: `sqlite:///` and a file on a durable volume (four slashes for an "
        "absolute path), or `postgresql://user:password@host/database` for several workers.",
        examples=["sqlite:////var/lib/provisioner/ledger.db"],
    )
    lease: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds without a sign of life after which a worker counts as dead and others take over.",
    )
    retention_days: int = Field(
        default=90,
        ge=1,
        le=36500,
        description="Days after which the content of closed requests is erased; keys, states and account ids stay.",
    )

    def sqlite_file(self) -> Path | None:
        """The database file, or None when the ledger is on a server."""
        text = self.url.get_secret_value()
        return Path(text.removeprefix(SQLITE)) if text.startswith(SQLITE) else None


class SealingSettings(Group):
    """Keys for encryption at rest."""

    keys: SecretStr | None = Field(
        default=None,
        description="The sealing keys themselves, as the JSON of a key file.",
        examples=['{"keys": [{"id": "k1", "created": "2026-11-21T00:00:00Z", "key": "<base64url>"}]}'],
    )
    keys_file: Path | None = Field(
        default=None,
        description="File with the sealing keys, readable by the worker only. With SQLite the default is "
        "`<database>.keys.json`, which the worker makes itself; with PostgreSQL this or the keys are required.",
        examples=["/var/lib/provisioner/sealing.keys.json"],
    )


class CredentialsSettings(Group):
    """The consumers' public keys, under which one-time credentials are encrypted."""

    keys: SecretStr | None = Field(
        default=None,
        description="The consumers' public keys themselves, as a JWKS (JSON).",
        examples=[
            '{"keys": [{"kid": "crm-2026", "use": "enc", "kty": "EC", "crv": "P-256", "x": "", "y": ""}]}'
        ],
    )
    keys_file: Path | None = Field(
        default=None,
        description="File with the consumers' public keys, as a JWKS.",
        examples=["/etc/provisioner/consumers.jwks.json"],
    )
    by_source: Mapping[str, Path] = Field(
        default_factory=dict,
        description="JWKS files of single consumers, by the `source` of their requests; they replace the general keys.",
        examples=['{"urn:crm": "/etc/provisioner/crm.jwks.json"}'],
    )


class ResultsSettings(Group):
    """Result events."""

    source: UriReference = Field(
        default="urn:provisioner", description="URI of this deployment: the `source` of every result event."
    )


class RequestsSettings(Group):
    """Bounds on requests."""

    max_bytes: int = Field(
        default=1_048_576, ge=1024, le=134_217_728, description="Bytes of a request, at most."
    )
    max_depth: int = Field(default=32, ge=4, le=200, description="Levels of nesting in a request, at most.")


class RetrySettings(Group):
    """When a create that did not happen is tried again."""

    base: float = Field(
        default=2.0,
        gt=0,
        le=3600,
        description="Seconds of the first wait, at most; each further wait may be twice as long.",
    )
    cap: float = Field(default=600.0, gt=0, le=86400, description="Seconds of any wait, at most.")
    attempts: int = Field(default=8, ge=1, le=1000, description="Attempts after which a person is asked.")
    max_age: float = Field(
        default=86400.0,
        gt=0,
        le=31_536_000,
        description="Seconds since the request came after which a person is asked instead of trying again.",
    )


class BreakerSettings(Group):
    """When a provider that is out of order is left alone."""

    failures: int = Field(
        default=5, ge=1, le=1000, description="Outages in a row after which a provider is no longer asked."
    )
    cooldown: float = Field(
        default=30.0,
        gt=0,
        le=86400,
        description="Seconds after which a harmless read finds out whether it is back.",
    )


class UpkeepSettings(Group):
    """The periodic work."""

    interval: float = Field(default=1.0, gt=0, le=60, description="Seconds between rounds.")
    republish_after: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds after which an unconfirmed result is published again.",
    )
    look_ups_at_once: int = Field(
        default=4, ge=1, le=100, description="Look-ups under way at once for each provider."
    )

    @property
    def stuck_after(self) -> float:
        """Seconds after which something is stuck: the process, if no new round began, and the ledger, if it kept one
        waiting. A round may itself take a while.
        """
        return max(30.0, 3 * self.interval)


class MonitoringSettings(Group):
    """Metrics and health over HTTP."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 in a container."
    )
    port: int = Field(
        default=9464,
        ge=0,
        le=65535,
        description="Port to listen on; 0 takes any free one. Of several processes each takes the next one.",
    )

    def of_process(self, number: int) -> Self:
        """The same for one of several processes, counted from 0."""
        return self.model_copy(update={"port": self.port + number if self.port else 0})


class WorkerSettings(Group):
    """The command `run`."""

    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Workers that `run` starts, about one for each processor core. More than one need PostgreSQL.",
    )


class ShutdownSettings(Group):
    """The end of the worker."""

    drain: float = Field(
        default=125.0,
        ge=0,
        le=3600,
        description="Seconds to wait for creates under way; those still unanswered then are in doubt. Above every "
        "`listen_for`; whatever supervises the worker must give it longer than this to stop.",
    )


class LogSettings(Group):
    """Logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important level that is written."
    )
    format: Literal["auto", "json", "pretty"] = Field(
        default="auto", description="`auto` is pretty on a terminal and JSON elsewhere."
    )


class Settings(Group):
    """Everything that was set. A provider that has no settings is not configured and not in `providers`."""

    broker: BrokerSettings = BrokerSettings()
    ledger: LedgerSettings = LedgerSettings()
    sealing: SealingSettings = SealingSettings()
    credentials: CredentialsSettings = CredentialsSettings()
    results: ResultsSettings = ResultsSettings()
    requests: RequestsSettings = RequestsSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    worker: WorkerSettings = WorkerSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    log: LogSettings = LogSettings()
    providers: Mapping[str, InstanceOf[ProviderSettings]] = Field(
        default_factory=dict, description="By the provider's name."
    )
    origins: Mapping[str, str] = Field(
        default_factory=dict,
        repr=False,
        exclude=True,
        description="Where each value that is no default came from, by dotted name.",
    )

    def sealing_keys_file(self) -> Path | None:
        """The key file to use: the one that was set, else the one beside the SQLite database; None for inline keys."""
        database = self.ledger.sqlite_file()
        if self.sealing.keys is not None or self.sealing.keys_file is not None or database is None:
            return self.sealing.keys_file
        return database.with_name(f"{database.name}.keys.json")
