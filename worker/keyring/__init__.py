"""Keys: the worker's own for sealing at rest, and the consumers' public ones for one-time credentials.

`Keyring` seals what the ledger stores (`worker.core.sealing.Sealer`), its keys live in a file that only the
worker may read (`load`, `load_or_create`, `rotate`) or in a setting (`read_keys`). `ConsumerKeys` encrypts
credentials so that the consumer alone can read them (`worker.core.sealing.CredentialBox`); what has to do with those
is loaded when it is first asked for, as most operators' verbs encrypt nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from worker.keyring.key_file import load, load_or_create, rotate
from worker.keyring.sealing_keys import Keyring, SealingKey, new_key, read_keys, write_keys

if TYPE_CHECKING:
    from worker.keyring.consumer_keys import (
        ConsumerKeys,
        KeySet,
        load_consumer_keys,
        new_consumer_key,
        read_consumer_keys,
    )
else:
    _OF_CONSUMERS = {
        "ConsumerKeys", "KeySet", "load_consumer_keys", "new_consumer_key", "read_consumer_keys",
    }  # fmt: skip

    def __getattr__(name: str) -> object:
        if name in _OF_CONSUMERS:
            return getattr(import_module("worker.keyring.consumer_keys"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ConsumerKeys",
    "KeySet",
    "Keyring",
    "SealingKey",
    "load",
    "load_consumer_keys",
    "load_or_create",
    "new_consumer_key",
    "new_key",
    "read_consumer_keys",
    "read_keys",
    "rotate",
    "write_keys",
]
