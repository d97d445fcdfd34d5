"""The whole ledger."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Frozen here on purpose: a later change of the code must not change what this step did.
_TIME: Final = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
_LINE: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, **options)


def _time(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, _TIME, **options)


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON, nullable=False)


def upgrade() -> None:
    _create_requests()
    _create_stories()
    _create_dead_letters()
    _create_standing()
    for statement in _GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in _UNGUARD[op.get_bind().dialect.name]:
        op.execute(statement)
    for table in (
        "checks", "workers", "pauses", "dead_letters", "events", "history", "attempts", "requests",
    ):  # fmt: skip
        op.drop_table(table)


def _create_requests() -> None:
    op.create_table(
        "requests",
        _text("request_id"),
        _text("source", nullable=False),
        _text("idempotency_key", nullable=False),
        _text("provider", nullable=False),
        _text("fingerprint", nullable=False),
        _text("state", nullable=False),
        _text("came_from"),
        _text("reason"),
        _text("sealed_request", nullable=False),
        _json("context"),
        _text("content_mode", nullable=False),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        _time("deadline"),
        _time("received_at", nullable=False),
        _time("since", nullable=False),
        _time("changed_at", nullable=False),
        _time("due_at"),
        _time("closed_at"),
        _time("pruned_at"),
        _count("fence"),
        _text("worker"),
        _time("claimed_at"),
        *map(_count, ("sends", "attempts", "deferrals", "look_ups", "absences", "generation")),
        sa.Column("doubted", sa.Boolean, nullable=False),
        _time("attempt_sent_at"),
        _json("baseline"),
        _text("account_id"),
        _text("event_id"),
        sa.PrimaryKeyConstraint("request_id", name="pk_requests"),
        sa.UniqueConstraint("idempotency_key", "source", name="uq_requests_idempotency_key_source"),
        sa.CheckConstraint(
            "due_at IS NOT NULL OR state NOT IN ('accepted', 'waiting', 'in_doubt')",
            name=op.f("ck_requests_due"),
        ),
    )
    op.create_index("ix_requests_state_provider_due_at", "requests", ["state", "provider", "due_at"])
    op.create_index("ix_requests_received_at", "requests", ["received_at"])
    _create_partial_index("ix_requests_worker", ["worker"], "worker IS NOT NULL")
    _create_partial_index(
        "ix_requests_closed_at", ["closed_at"], "closed_at IS NOT NULL AND pruned_at IS NULL"
    )
    _create_partial_index(
        "uq_requests_account", ["provider", "account_id"], "account_id IS NOT NULL", unique=True
    )


def _create_partial_index(
    name: str, columns: list[str], where: str, *, table: str = "requests", unique: bool = False
) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _create_stories() -> None:
    op.create_table(
        "attempts",
        _text("request_id"),
        _count("number"),
        _count("fence"),
        _text("worker", nullable=False),
        _time("begun_at", nullable=False),
        _time("ended_at"),
        _text("moment"),
        sa.Column("status", sa.Integer),
        *map(_text, ("verdict", "rule_id", "reason", "error_id", "message")),
        _json("baseline"),
        _json("detail"),
        sa.PrimaryKeyConstraint("request_id", "number", name="pk_attempts"),
        sa.ForeignKeyConstraint(["request_id"], ["requests.request_id"], name="fk_attempts_request_id"),
    )
    op.create_table(
        "history",
        sa.Column("line", _LINE, autoincrement=True),
        _text("subject_id", nullable=False),
        _time("at", nullable=False),
        _text("actor", nullable=False),
        _text("name", nullable=False),
        *map(_text, ("leaves", "enters", "reason", "note")),
        _json("detail"),
        sa.PrimaryKeyConstraint("line", name="pk_history"),
    )
    op.create_index("ix_history_subject_id_line", "history", ["subject_id", "line"])
    op.create_table(
        "events",
        _text("event_id"),
        _text("subject_id", nullable=False),
        _text("event_type", nullable=False),
        _text("routing_key", nullable=False),
        _text("sealed_body", nullable=False),
        _time("recorded_at", nullable=False),
        _time("tried_at", nullable=False),
        _time("published_at"),
        _count("publishes"),
        sa.PrimaryKeyConstraint("event_id", name="pk_events"),
    )
    op.create_index("ix_events_subject_id", "events", ["subject_id"])
    _create_partial_index("ix_events_tried_at", ["tried_at"], "published_at IS NULL", table="events")


def _create_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        _text("dead_letter_id"),
        *(_text(name, nullable=False) for name in ("queue", "routing_key", "reason")),
        _json("problems"),
        _text("sealed_message", nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        *map(_text, ("message_id", "source", "idempotency_key", "provider")),
        _time("received_at", nullable=False),
        _text("state", nullable=False),
        _time("changed_at"),
        _time("pruned_at"),
        sa.PrimaryKeyConstraint("dead_letter_id", name="pk_dead_letters"),
    )
    op.create_index("ix_dead_letters_state_received_at", "dead_letters", ["state", "received_at"])


def _create_standing() -> None:
    op.create_table(
        "pauses",
        _text("provider"),
        *(_text(name, nullable=False) for name in ("cause", "by", "note")),
        _time("since", nullable=False),
        sa.PrimaryKeyConstraint("provider", name="pk_pauses"),
    )
    op.create_table(
        "workers",
        _text("worker"),
        _time("heartbeat_at", nullable=False),
        sa.PrimaryKeyConstraint("worker", name="pk_workers"),
    )
    op.create_table(
        "checks",
        _text("name"),
        _time("at", nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_checks"),
    )


# The history is append-only whoever writes: no line changes, and only a subject that was pruned loses its lines.
_PRUNED: Final = """
    EXISTS (SELECT 1 FROM requests WHERE request_id = OLD.subject_id AND pruned_at IS NOT NULL)
    OR EXISTS (SELECT 1 FROM dead_letters WHERE dead_letter_id = OLD.subject_id AND pruned_at IS NOT NULL)
"""
_NEVER_CHANGES: Final = """
    CREATE TRIGGER history_never_changes BEFORE UPDATE ON history
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END
"""
_NEVER_SHRINKS: Final = f"""
    CREATE TRIGGER history_never_shrinks BEFORE DELETE ON history WHEN NOT ({_PRUNED})
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END
"""
_KEEP: Final = f"""
    CREATE FUNCTION keep_history() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'DELETE' AND ({_PRUNED}) THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'the history is append-only';
    END $$
"""
_IS_KEPT: Final = """
    CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON history FOR EACH ROW EXECUTE FUNCTION keep_history()
"""
_GUARDS: Final = {"sqlite": (_NEVER_CHANGES, _NEVER_SHRINKS), "postgresql": (_KEEP, _IS_KEPT)}
_UNGUARD: Final = {
    "sqlite": ("DROP TRIGGER history_never_changes", "DROP TRIGGER history_never_shrinks"),
    "postgresql": ("DROP TRIGGER history_is_kept ON history", "DROP FUNCTION keep_history()"),
}
