"""Settings: what the worker is told by its environment, secret files and a TOML file.

Variables begin with ``PROVISIONER_``, groups and names are joined by ``__``: ``PROVISIONER_BROKER__URL``. The
environment wins over secret files (one file for each, named like the variable, in ``PROVISIONER_SECRETS_DIR``),
those over a TOML file (``PROVISIONER_CONFIG_FILE``), that over the defaults. `load` gives the whole or one
error with everything that is wrong; a name that nobody knows is wrong as well.
"""

from worker.settings.catalogue import REVISION
from worker.settings.groups import (
    BreakerSettings,
    BrokerSettings,
    CredentialsSettings,
    LedgerSettings,
    LogSettings,
    MonitoringSettings,
    RequestsSettings,
    ResultsSettings,
    RetrySettings,
    SealingSettings,
    Settings,
    ShutdownSettings,
    UpkeepSettings,
    WorkerSettings,
)
from worker.settings.loading import load
from worker.settings.pages import Row, environment_example, reference, secret_values, show

__all__ = [
    "REVISION",
    "BreakerSettings",
    "BrokerSettings",
    "CredentialsSettings",
    "LedgerSettings",
    "LogSettings",
    "MonitoringSettings",
    "RequestsSettings",
    "ResultsSettings",
    "RetrySettings",
    "Row",
    "SealingSettings",
    "Settings",
    "ShutdownSettings",
    "UpkeepSettings",
    "WorkerSettings",
    "environment_example",
    "load",
    "reference",
    "secret_values",
    "show",
]
