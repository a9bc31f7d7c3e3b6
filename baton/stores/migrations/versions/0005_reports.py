"""Prices of kinds of tokens and prices that follow a cost; sums by user; sums of what was archived;
notices that are to be delivered, and which process does so."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
PRICES = (
    "cache_write_pico",
    "audio_input_pico",
    "image_input_pico",
    "audio_output_pico",
    "reasoning_pico",
    "markup_bp",
)
ARCHIVED = (
    "requests",
    "failed",
    "streams",
    "estimated",
    "handoffs",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "tokens",
    "charge",
    "overrun",
    "cost",
)
BY_USER = (
    "requests",
    "failed",
    "estimated",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "charge",
    "cost",
)
FILL_BY_USER = """
INSERT INTO usage_user(day, key_id, "user", requests, failed, estimated, prompt_tokens,
  cached_tokens, completion_tokens, charge, cost)
SELECT created_us / 86400000000, key_id, "user", count(*),
  sum(CASE WHEN status >= 400 OR state = 'interrupted' THEN 1 ELSE 0 END), sum(estimated),
  coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),
  coalesce(sum(completion_tokens), 0), sum(charge), sum(cost)
FROM request WHERE "user" IS NOT NULL GROUP BY 1, 2, 3
"""


def _sums(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, WHOLE, nullable=False) for name in names]


def _archived() -> None:
    op.create_table(
        "archived",
        sa.Column("day", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("scopes", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("upstream", sa.Text, primary_key=True),
        *_sums(*ARCHIVED),
        sqlite_strict=True,
    )


def _notices() -> None:
    op.create_table(
        "notice",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("percent", WHOLE, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_us", WHOLE, nullable=False),
        sa.Column("attempts", WHOLE, nullable=False, server_default="0"),
        sa.Column("next_us", WHOLE),
        sa.Column("delivered_us", WHOLE),
        sa.Column("failure", sa.Text),
        sa.UniqueConstraint("account", "percent", name="notice_once"),
        sqlite_strict=True,
    )
    op.create_index("notice_next", "notice", ["next_us"])
    op.create_table(
        "duty",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until_us", WHOLE, nullable=False),
        sqlite_strict=True,
    )


def upgrade() -> None:
    for name in PRICES:
        op.add_column("price", sa.Column(name, WHOLE))
    op.add_column("price", sa.Column("markup_of", sa.Text))
    op.create_table(
        "usage_user",
        sa.Column("day", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("user", sa.Text, primary_key=True),
        *_sums(*BY_USER),
        sqlite_strict=True,
    )
    op.execute(FILL_BY_USER)
    _archived()
    _notices()


def downgrade() -> None:
    for name in ("duty", "notice", "archived", "usage_user"):
        op.drop_table(name)
    for name in (*PRICES, "markup_of"):
        op.drop_column("price", name)
