"""Single parts, made from settings."""

import os
from collections.abc import Mapping
from pathlib import Path

from worker import keyring, providers
from worker import settings as settings_edge
from worker.core.errors import ConfigurationError
from worker.core.provider import ProviderSettings
from worker.core.sealing import Sealer
from worker.settings import Settings

_KEYS_FILE = "PROVISIONER_SEALING__KEYS_FILE"


def provider_settings() -> Mapping[str, type[ProviderSettings]]:
    """The settings class of every provider there is, by its name."""
    return {name: handler.Settings for name, handler in providers.discover().items()}


def settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Everything that is configured, checked.

    Raises:
        ConfigurationError: the text lists every problem at once.
    """
    return settings_edge.load(provider_settings(), os.environ if environment is None else environment)


def revision(environment: Mapping[str, str] | None = None) -> str:
    """What was built, as far as whoever built it said so."""
    given = os.environ if environment is None else environment
    return given.get(settings_edge.REVISION) or "unknown"


def sealer(configured: Settings, *, may_create: bool) -> Sealer:
    """The keys for what is stored: those that a person named, else the worker's own file beside a ledger on SQLite.

    Raises:
        ConfigurationError: the key file is missing, open to others or broken.
    """
    sealing, own = configured.sealing, configured.sealing_keys_file()
    if sealing.keys is not None:
        return keyring.Keyring(
            keyring.read_keys(sealing.keys.get_secret_value(), "PROVISIONER_SEALING__KEYS")
        )
    if sealing.keys_file is not None:
        return _named_keys(sealing.keys_file)
    if own is None:
        raise ConfigurationError(
            f"a ledger on PostgreSQL needs {_KEYS_FILE}; see `provisioner keys new sealing`"
        )
    return keyring.load_or_create(own, may_create=may_create and not ledger_exists(configured))


def _named_keys(path: Path) -> Sealer:
    try:
        return keyring.load(path)
    except ConfigurationError as error:
        words = f"{_KEYS_FILE} names it; before the very first start `provisioner keys new sealing` makes one"
        raise ConfigurationError(f"{error} ({words})") from None


def ledger_exists(configured: Settings) -> bool:
    """A new key beside an old ledger would lock everybody out of it."""
    database = configured.ledger.sqlite_file()
    return database is None or (database.exists() and database.stat().st_size > 0)


def require_ledger(configured: Settings) -> None:
    """Say that there is no ledger before its keys are missed, which without one were never made either.

    Raises:
        ConfigurationError: there is none.
    """
    if not ledger_exists(configured):
        database = configured.ledger.sqlite_file()
        raise ConfigurationError(
            f"there is no ledger at {database.absolute() if database else 'its place'} yet. `provisioner run` makes "
            "it at its first start; if there should be one, set PROVISIONER_LEDGER__URL to where it is"
        )


def credential_box(configured: Settings) -> "keyring.ConsumerKeys":
    """The consumers' public keys.

    Raises:
        ConfigurationError: a set cannot be read, holds a private key, or holds no key that can encrypt.
    """
    credentials = configured.credentials
    general = keyring.KeySet()
    if credentials.keys is not None:
        where = "PROVISIONER_CREDENTIALS__KEYS"
        general = keyring.read_consumer_keys(credentials.keys.get_secret_value(), where)
    elif credentials.keys_file is not None:
        general = keyring.load_consumer_keys(credentials.keys_file)
    by_source = {
        source: keyring.load_consumer_keys(Path(path)) for source, path in credentials.by_source.items()
    }
    return keyring.ConsumerKeys(general, by_source)
