"""Epochs of journals, terms of those whose book nodes share, and journals within the book."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "tenure",
        sa.Column("journal", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("expires_us", WHOLE),
        sa.Column("shared", WHOLE, nullable=False, server_default="0"),
        sqlite_strict=True,
    )
    op.create_table(
        "shared_row",
        sa.Column("journal", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("seq", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("hold_seq", WHOLE, nullable=False),
        sa.Column("ends", WHOLE, nullable=False),
        sa.Column("row", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("journal", "ends", "hold_seq", name="shared_row_once"),
        sqlite_strict=True,
    )
    op.create_table(
        "shared_checkpoint",
        sa.Column("journal", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("hold_seq", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("prompt_tokens", WHOLE, nullable=False),
        sa.Column("completion_tokens", WHOLE, nullable=False),
        sa.Column("charge", WHOLE, nullable=False),
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("shared_checkpoint")
    op.drop_table("shared_row")
    op.drop_table("tenure")
