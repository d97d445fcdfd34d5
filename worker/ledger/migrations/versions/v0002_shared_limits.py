"""What the workers of a provider share, and where a ledger went that was moved."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
loses = "the waits that providers asked for, and how their slots are divided"

_TIME: Final = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, _TIME, nullable=False)


def upgrade() -> None:
    op.create_table(
        "shares",
        _text("provider"),
        _text("worker"),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("provider", "worker", name="pk_shares"),
    )
    op.create_table(
        "waits",
        _text("provider"),
        _time("until"),
        sa.PrimaryKeyConstraint("provider", name="pk_waits"),
    )
    op.create_table(
        "moves",
        _text("place"),
        _text("way"),
        _time("begun_at"),
        sa.Column("ended_at", _TIME),
        sa.PrimaryKeyConstraint("place", name="pk_moves"),
    )


def downgrade() -> None:
    for table in ("moves", "waits", "shares"):
        op.drop_table(table)
