"""Organisations, teams and users with limits and budgets; keys that belong to them and rotate."""

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("owner", sa.Text),
        sa.Column("tokens_per_minute", WHOLE),
        sa.Column("requests_at_once", WHOLE),
        sa.Column("networks", sa.Text, nullable=False, server_default="[]"),
        sa.Column("previous_digest", sa.LargeBinary),
        sa.Column("previous_until_us", WHOLE),
    ]


def _recreate() -> Literal["always", "never"]:
    """SQLite alters a table by copying it: then it reads as if it had been made so at first."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def _key() -> None:
    with op.batch_alter_table(
        "key", recreate=_recreate(), table_kwargs={"sqlite_strict": True}
    ) as batch:
        for column in _key_columns():
            batch.add_column(column)
    op.create_index("key_previous_digest", "key", ["previous_digest"])
    op.create_index("key_owner", "key", ["owner"])


def _party() -> None:
    op.create_table(
        "party",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("created_us", WHOLE, nullable=False),
        sa.Column("closed_us", WHOLE),
        sa.Column("expires_us", WHOLE),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("networks", sa.Text, nullable=False),
        sa.Column("requests_per_minute", WHOLE),
        sa.Column("tokens_per_minute", WHOLE),
        sa.Column("requests_at_once", WHOLE),
        sa.UniqueConstraint("parent", "kind", "name", name="party_name"),
        sqlite_strict=True,
    )


def _budget() -> None:
    op.create_table(
        "budget",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("span", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("amount", WHOLE, nullable=False),
        sa.CheckConstraint("amount >= 0", name="budget_amount"),
        sqlite_strict=True,
    )
    op.create_index("budget_subject", "budget", ["subject"])


def upgrade() -> None:
    _key()
    _party()
    _budget()


def downgrade() -> None:
    op.drop_table("budget")
    op.drop_table("party")
    op.drop_index("key_owner", "key")
    op.drop_index("key_previous_digest", "key")
    with op.batch_alter_table(
        "key", recreate=_recreate(), table_kwargs={"sqlite_strict": True}
    ) as batch:
        for column in _key_columns():
            batch.drop_column(column.name)
