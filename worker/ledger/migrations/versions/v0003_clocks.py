"""What each worker's clock showed, so that time goes on where it was when a machine's clock is set."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
loses = "what the workers' clocks showed"

_TIME: Final = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "clocks",
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("era", sa.Text, nullable=False),
        sa.Column("uptime", sa.Double, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("there", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("worker", name="pk_clocks"),
    )


def downgrade() -> None:
    op.drop_table("clocks")
