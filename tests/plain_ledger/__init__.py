"""The ledger in plain dicts: the port's promises without a database, held to them by the tests of the real ones."""

from tests.plain_ledger.ledger import AtOnce, PlainLedger
from tests.plain_ledger.tables import Tables

__all__ = ["AtOnce", "PlainLedger", "Tables"]
