"""The system of record, in SQLite or PostgreSQL. How it keeps its promises is told in `writer` and `changes`."""

from worker.ledger.ledger import SqlLedger
from worker.ledger.migrating import migrate
from worker.ledger.opening import open_ledger
from worker.ledger.urls import sqlite_path

__all__ = ["SqlLedger", "migrate", "open_ledger", "sqlite_path"]
