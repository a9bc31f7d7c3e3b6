"""Everything a first book needs: keys, upstreams, prices, changes, accounts, requests, entries."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

REQUEST_ENTRY_VIEW = """
CREATE VIEW request_entry AS
SELECT id, account, -charge AS amount_nano FROM request WHERE charge <> 0
UNION ALL
SELECT id, 'operator:overrun', -overrun FROM request WHERE overrun <> 0
UNION ALL
SELECT id, 'revenue', charge + overrun FROM request WHERE charge + overrun <> 0
UNION ALL
SELECT id, 'upstream_payable', -cost FROM request WHERE cost <> 0
UNION ALL
SELECT id, 'cogs', cost FROM request WHERE cost <> 0
"""

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key() -> None:
    op.create_table(
        "key",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("tail", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_us", WHOLE, nullable=False),
        sa.Column("expires_us", WHOLE),
        sa.Column("revoked_us", WHOLE),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("default_model", sa.Text),
        sa.Column("requests_per_minute", WHOLE),
        sa.Column("strict", WHOLE, nullable=False),
        sa.Column("deterministic", WHOLE, nullable=False),
        sa.Column("parse_special", WHOLE, nullable=False),
        sqlite_strict=True,
    )


def _upstream() -> None:
    op.create_table(
        "upstream",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary),
        sa.Column("created_us", WHOLE, nullable=False),
        sqlite_strict=True,
    )


def _price() -> None:
    op.create_table(
        "price",
        sa.Column("version", WHOLE, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("upstream", sa.Text),
        sa.Column("effective_us", WHOLE, nullable=False),
        sa.Column("input_pico", WHOLE, nullable=False),
        sa.Column("cached_input_pico", WHOLE),
        sa.Column("output_pico", WHOLE, nullable=False),
        sa.Column("request_nano", WHOLE, nullable=False),
        sqlite_strict=True,
    )


def _change() -> None:
    op.create_table(
        "change",
        sa.Column("seq", WHOLE, primary_key=True),
        sa.Column("at_us", WHOLE, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sqlite_strict=True,
    )


def _account() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("limit_nano", WHOLE),
        sa.Column("posted_nano", WHOLE, nullable=False, server_default="0"),
        sa.CheckConstraint("posted_nano >= 0", name="account_posted"),
        sqlite_strict=True,
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("number", WHOLE, primary_key=True),
        sa.Column("identity", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("folded_seq", WHOLE, nullable=False, server_default="0"),
        sa.Column("created_us", WHOLE, nullable=False),
        sqlite_strict=True,
    )


def _lease() -> None:
    op.create_table(
        "lease",
        sa.Column("journal", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("granted_nano", WHOLE, nullable=False),
        sa.CheckConstraint("granted_nano >= 0", name="lease_granted"),
        sqlite_strict=True,
    )
    op.create_index("lease_account", "lease", ["account"])


def _request() -> None:
    op.create_table(
        "request",
        sa.Column("id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("created_us", WHOLE, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("user", sa.Text),
        sa.Column("stream", WHOLE, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("hold", WHOLE, nullable=False),
        sa.Column("charge", WHOLE, nullable=False),
        sa.Column("overrun", WHOLE, nullable=False),
        sa.Column("cost", WHOLE, nullable=False),
        sa.Column("price_version", WHOLE, nullable=False),
        sa.Column("prompt_tokens", WHOLE),
        sa.Column("cached_tokens", WHOLE),
        sa.Column("completion_tokens", WHOLE),
        sa.Column("reasoning_tokens", WHOLE),
        sa.Column("audio_prompt_tokens", WHOLE),
        sa.Column("image_prompt_tokens", WHOLE),
        sa.Column("audio_completion_tokens", WHOLE),
        sa.Column("cache_write_tokens", WHOLE),
        sa.Column("estimated", WHOLE, nullable=False),
        sa.Column("queue_us", WHOLE),
        sa.Column("hold_us", WHOLE),
        sa.Column("first_byte_us", WHOLE),
        sa.Column("last_byte_us", WHOLE),
        sa.Column("status", WHOLE, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("fills", sa.Text, nullable=False),
        sa.Column("handoffs", WHOLE, nullable=False),
        sa.Column("attempts", WHOLE, nullable=False),
        sa.CheckConstraint("state IN ('settled', 'released', 'interrupted')", name="request_state"),
        sa.CheckConstraint("charge >= 0 AND charge <= hold", name="request_charge"),
        sqlite_strict=True,
    )
    op.create_index("request_created", "request", ["created_us"])


def _fold() -> None:
    op.create_table(
        "fold",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("journal", WHOLE, nullable=False),
        sa.Column("last_seq", WHOLE, nullable=False),
        sa.Column("requests", WHOLE, nullable=False),
        sa.Column("at_us", WHOLE, nullable=False),
        sqlite_strict=True,
    )


def _entry() -> None:
    op.create_table(
        "entry",
        sa.Column("fold", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("amount_nano", WHOLE, nullable=False),
        sqlite_strict=True,
    )


def _usage_day() -> None:
    op.create_table(
        "usage_day",
        sa.Column("day", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("upstream", sa.Text, primary_key=True),
        sa.Column("requests", WHOLE, nullable=False),
        sa.Column("failed", WHOLE, nullable=False),
        sa.Column("streams", WHOLE, nullable=False),
        sa.Column("estimated", WHOLE, nullable=False),
        sa.Column("handoffs", WHOLE, nullable=False),
        sa.Column("prompt_tokens", WHOLE, nullable=False),
        sa.Column("cached_tokens", WHOLE, nullable=False),
        sa.Column("completion_tokens", WHOLE, nullable=False),
        sa.Column("reasoning_tokens", WHOLE, nullable=False),
        sa.Column("charge", WHOLE, nullable=False),
        sa.Column("overrun", WHOLE, nullable=False),
        sa.Column("cost", WHOLE, nullable=False),
        sqlite_strict=True,
    )


def upgrade() -> None:
    _key()
    _upstream()
    _price()
    _change()
    _account()
    _journal()
    _lease()
    _request()
    _fold()
    _entry()
    _usage_day()
    op.execute(REQUEST_ENTRY_VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW request_entry")
    op.drop_table("usage_day")
    op.drop_table("entry")
    op.drop_table("fold")
    op.drop_table("request")
    op.drop_table("lease")
    op.drop_table("journal")
    op.drop_table("account")
    op.drop_table("change")
    op.drop_table("price")
    op.drop_table("upstream")
    op.drop_table("key")
