"""The tables. `migrations/` creates them; a test holds the two together.

No column holds a secret or a request's body in clear: what came in and what goes out is sealed before it gets here.
"""

import sqlalchemy as sa

from contracts.reason import ReasonCode
from worker.core.dead_letter import LetterState
from worker.core.states import State
from worker.ledger.columns import Json, Utc, Word, Words

REVISION = "0003"
"""The newest migration: the only revision this code reads and writes."""

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("state", Word(State), nullable=False),
    sa.Column("came_from", Word(State)),  # the state before this one, for the line of history
    sa.Column("reason", Word(ReasonCode)),
    sa.Column("sealed_request", sa.Text, nullable=False),
    sa.Column("context", Json, nullable=False),
    sa.Column("content_mode", sa.Text, nullable=False),
    sa.Column("dry_run", sa.Boolean, nullable=False),
    sa.Column("deadline", Utc),
    sa.Column("received_at", Utc, nullable=False),
    sa.Column("since", Utc, nullable=False),
    sa.Column("changed_at", Utc, nullable=False),
    sa.Column("due_at", Utc),
    sa.Column("closed_at", Utc),
    sa.Column("pruned_at", Utc),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text),  # who holds the claim; null while nobody does
    sa.Column("claimed_at", Utc),
    sa.Column("sends", sa.Integer, nullable=False),  # number of the newest attempt; never goes back
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("deferrals", sa.Integer, nullable=False),
    sa.Column("look_ups", sa.Integer, nullable=False),
    sa.Column("absences", sa.Integer, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("doubted", sa.Boolean, nullable=False),
    sa.Column("attempt_sent_at", Utc),
    sa.Column("baseline", Json, nullable=False),
    sa.Column("account_id", Words),
    sa.Column("event_id", sa.Text),
    # The key comes first, so that an operator who knows only the key finds the row too.
    sa.UniqueConstraint("idempotency_key", "source"),
    # What upkeep takes up has a time at which it does so: nothing waits for ever because a time was forgotten.
    sa.CheckConstraint("due_at IS NOT NULL OR state NOT IN ('accepted', 'waiting', 'in_doubt')", "due"),
)
sa.Index(None, requests.c.state, requests.c.provider, requests.c.due_at)
sa.Index(None, requests.c.received_at)
_held, _closed, _owned = (
    requests.c.worker.is_not(None),
    sa.and_(requests.c.closed_at.is_not(None), requests.c.pruned_at.is_(None)),
    requests.c.account_id.is_not(None),
)
sa.Index(None, requests.c.worker, sqlite_where=_held, postgresql_where=_held)
sa.Index(None, requests.c.closed_at, sqlite_where=_closed, postgresql_where=_closed)
# One account can never be given to two requests.
sa.Index(
    "uq_requests_account",
    requests.c.provider,
    requests.c.account_id,
    unique=True,
    sqlite_where=_owned,
    postgresql_where=_owned,
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("request_id", sa.Text, sa.ForeignKey("requests.request_id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("begun_at", Utc, nullable=False),
    sa.Column("ended_at", Utc),
    sa.Column("moment", sa.Text),
    sa.Column("status", sa.Integer),
    sa.Column("verdict", Words),
    sa.Column("rule_id", Words),
    sa.Column("reason", Word(ReasonCode)),
    sa.Column("error_id", Words),
    sa.Column("message", Words),
    sa.Column("baseline", Json, nullable=False),
    sa.Column("detail", Json, nullable=False),
)

history = sa.Table(
    "history",
    metadata,
    # SQLite counts rows by itself only in a column of exactly this type.
    sa.Column("line", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("actor", Words, nullable=False),
    sa.Column("name", Words, nullable=False),
    sa.Column("leaves", Words),
    sa.Column("enters", Words),
    sa.Column("reason", Words),
    sa.Column("note", Words),
    sa.Column("detail", Json, nullable=False),
)
sa.Index(None, history.c.subject_id, history.c.line)

events = sa.Table(
    "events",
    metadata,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("subject_id", sa.Text, nullable=False),  # a request or a dead letter
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("routing_key", Words, nullable=False),
    sa.Column("sealed_body", sa.Text, nullable=False),
    sa.Column("recorded_at", Utc, nullable=False),
    sa.Column("tried_at", Utc, nullable=False),
    sa.Column("published_at", Utc),
    sa.Column("publishes", sa.Integer, nullable=False),
)
sa.Index(None, events.c.subject_id)
_unconfirmed = events.c.published_at.is_(None)
sa.Index(None, events.c.tried_at, sqlite_where=_unconfirmed, postgresql_where=_unconfirmed)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("dead_letter_id", sa.Text, primary_key=True),
    sa.Column("queue", Words, nullable=False),
    sa.Column("routing_key", Words, nullable=False),
    sa.Column("reason", Word(ReasonCode), nullable=False),
    sa.Column("problems", Json, nullable=False),
    sa.Column("sealed_message", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("message_id", Words),
    sa.Column("source", Words),
    sa.Column("idempotency_key", Words),
    sa.Column("provider", Words),
    sa.Column("received_at", Utc, nullable=False),
    sa.Column("state", Word(LetterState), nullable=False),
    sa.Column("changed_at", Utc),
    sa.Column("pruned_at", Utc),
)
sa.Index(None, dead_letters.c.state, dead_letters.c.received_at)

pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("by", Words, nullable=False),
    sa.Column("note", Words, nullable=False),
    sa.Column("since", Utc, nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker", sa.Text, primary_key=True),
    sa.Column("heartbeat_at", Utc, nullable=False),
)

# What each worker's clock showed (at) when its machine was up for so many seconds and the clock where the ledger lies
# showed something else (there). An era is one boot of one machine. Rows outlive their workers for a while: who comes
# next goes on from there.
clocks = sa.Table(
    "clocks",
    metadata,
    sa.Column("worker", sa.Text, primary_key=True),
    sa.Column("era", sa.Text, nullable=False),
    sa.Column("uptime", sa.Double, nullable=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("there", Utc, nullable=False),
)

checks = sa.Table(
    "checks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", Utc, nullable=False),
)

# How many of a provider's slots each worker has; together never more than the provider is to be asked with.
shares = sa.Table(
    "shares",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("worker", sa.Text, primary_key=True),
    sa.Column("slots", sa.Integer, nullable=False),
)

# Until when a provider asked everybody to wait.
waits = sa.Table(
    "waits",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("until", Utc, nullable=False),
)

# Where this ledger was copied to, or from. No worker may use one that went away, nor one that is not all there yet.
moves = sa.Table(
    "moves",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("way", sa.Text, nullable=False),  # to or from
    sa.Column("begun_at", Utc, nullable=False),
    sa.Column("ended_at", Utc),
)
