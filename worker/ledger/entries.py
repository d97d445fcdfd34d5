"""How a request's row becomes an `Entry`."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import sqlalchemy as sa

from worker.core.entry import Entry
from worker.ledger.schema import requests
from worker.ledger.statements import hole

_r = requests.c

ENTRY: Final = tuple(_r[field.name] for field in fields(Entry))
"""The columns of an `Entry`, in its order."""

BY_ID: Final = sa.select(*ENTRY, _r.pruned_at).where(_r.request_id == hole("request_id"))
BY_KEY: Final = sa.select(*ENTRY, _r.fingerprint).where(
    _r.idempotency_key == hole("key"), _r.source == hole("source")
)


def entry_of(row: Sequence[Any]) -> Entry:
    """The entry in a row that begins with the columns of `ENTRY`."""
    return Entry(*row[: len(ENTRY)])
