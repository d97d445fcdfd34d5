"""The error tree. Infrastructure that fails is an exception; a provider or a request that says no is a value.

WorkerError
├── ConfigurationError      a person must change a setting, a queue or a file; the process ends with exit code 78
│   └── TopologyMismatch    a queue or an exchange exists with other arguments
├── BrokerUnavailable       RabbitMQ cannot be reached or did not answer in time
│   └── PublishUnconfirmed  a publish was returned, refused or not confirmed; the event stays unpublished
├── LedgerUnavailable       the ledger's disk or server is full, read-only or gone; intake must stop
├── AccountClaimed          another request has this account already; one account is never given to two
├── AccountKnown            the row has an account, by an answer or a look-up, of which the change knows nothing
├── StaleClaim              the row moved on under another fence; whoever holds the claim must let go
├── UnknownRequest          no row has this id
│   └── AmbiguousKey        several requests have this as key or id; which request is meant must be asked
├── NotAllowed              an operator's verb does not fit the state the row is in
└── SealBroken              sealed data cannot be opened: the key is missing or the data was changed
"""


class WorkerError(Exception):
    """Base of everything the worker raises on purpose. Its text never holds a secret."""


class ConfigurationError(WorkerError):
    """A setting, a file or the broker's topology must be changed by a person."""


class TopologyMismatch(ConfigurationError):
    """A queue or an exchange exists on the broker with other arguments than declared."""


class BrokerUnavailable(WorkerError):
    """RabbitMQ cannot be reached, or did not answer within the deadline."""


class PublishUnconfirmed(BrokerUnavailable):
    """A publish was returned as unroutable, refused, or not confirmed in time: unknown, never 'not sent'."""


class LedgerUnavailable(WorkerError):
    """The ledger cannot be written: disk full, read-only or gone, or the server is away."""


class AccountClaimed(WorkerError):
    """Another request of the same provider has this account id already."""


class StaleClaim(WorkerError):
    """The row is no longer in the state or under the fence that this change leaves."""


class AccountKnown(WorkerError):
    """An account is recorded for this row, by an older attempt's answer or look-up, of which the change knows nothing.

    Attributes:
        account_id: Of the account that exists.
    """

    def __init__(self, message: str, account_id: str) -> None:
        super().__init__(message)
        self.account_id = account_id


class UnknownRequest(WorkerError):
    """No row in the ledger has this id."""


class AmbiguousKey(UnknownRequest):
    """Several requests have this as key or id; the text names them, one of which is meant."""


class NotAllowed(WorkerError):
    """The operator's verb does not fit the state of the row; the text says which state and what would fit."""


class SealBroken(WorkerError):
    """Sealed data cannot be opened: its key is not in the keyring, or the data was changed."""
