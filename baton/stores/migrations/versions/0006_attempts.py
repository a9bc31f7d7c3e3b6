"""Attempts of requests that had several, with their costs; the price of each request's cost; free
allowances of prices."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
KINDS = (
    "reasoning_tokens",
    "audio_prompt_tokens",
    "image_prompt_tokens",
    "audio_completion_tokens",
    "cache_write_tokens",
)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, WHOLE, nullable=False)


def upgrade() -> None:
    op.create_table(
        "attempt",
        sa.Column("request", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("n", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("upstream", sa.Text, nullable=False),
        _whole("cost"),
        _whole("price_version"),
        _whole("prompt_tokens"),
        sa.Column("cached_tokens", WHOLE),
        _whole("completion_tokens"),
        *(sa.Column(name, WHOLE) for name in KINDS),
        _whole("estimated"),
        sqlite_strict=True,
    )
    op.add_column("request", sa.Column("cost_version", WHOLE))
    op.add_column("archived", sa.Column("unreleased", WHOLE, nullable=False, server_default="0"))
    op.add_column("price", sa.Column("free_amount", WHOLE))
    for name in ("free_unit", "free_span"):
        op.add_column("price", sa.Column(name, sa.Text))


def downgrade() -> None:
    for name in ("free_amount", "free_unit", "free_span"):
        op.drop_column("price", name)
    op.drop_column("archived", "unreleased")
    op.drop_column("request", "cost_version")
    op.drop_table("attempt")
