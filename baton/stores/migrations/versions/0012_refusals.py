"""Refused requests, which are on no ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "refusal",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False, unique=True),
        sa.Column("at_us", WHOLE, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("key_id", "route", "model")),
        sa.Column("status", WHOLE, nullable=False),
        sa.Column("code", sa.Text),
        sa.Column("param", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("times", WHOLE, nullable=False),
        sa.Index("refusal_at", "at_us"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("refusal")
