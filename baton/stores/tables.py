"""The tables of the book, as SQLAlchemy Core sees them. Migrations create them; a test compares.

An account's columns are in its own unit: nano-USD, or tokens where its name begins with `tokens:`.
Columns are 64-bit integers, text or bytes, nothing else: the same on SQLite (STRICT, so that no
float or string ever stands where money should) and PostgreSQL. Flags are 0 or 1. Lists are JSON.
The view `request_entry` (migration 0001) lists the double entry of each request; `entry` holds the
same, summed per fold and account.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

Whole = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit integer; on SQLite the word INTEGER, which makes a primary key the row id."""

metadata = MetaData()


def _whole(name: str, default: int | None = None) -> Column[int]:
    """An integer that is always there."""
    text = None if default is None else str(default)
    return Column(name, Whole, nullable=False, server_default=text)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


key = Table(
    "key",
    metadata,
    Column("id", Text, primary_key=True),
    _text("name"),
    Column("digest", LargeBinary, nullable=False, unique=True),
    _text("head"),
    _text("tail"),
    _text("role"),
    _whole("created_us"),
    Column("expires_us", Whole),
    Column("revoked_us", Whole),
    _text("models"),
    Column("default_model", Text),
    Column("requests_per_minute", Whole),
    _whole("strict"),
    _whole("deterministic"),
    _whole("parse_special"),
    Column("owner", Text),
    Column("tokens_per_minute", Whole),
    Column("requests_at_once", Whole),
    Column("networks", Text, nullable=False, server_default="[]"),
    Column("previous_digest", LargeBinary),
    Column("previous_until_us", Whole),
    _whole("keep_content_days", 0),
    Index("key_previous_digest", "previous_digest"),
    Index("key_owner", "owner"),
    sqlite_strict=True,
)

party = Table(
    "party",
    metadata,
    Column("id", Text, primary_key=True),
    _text("kind"),
    _text("name"),
    _text("parent"),  # "" for an organisation
    _whole("created_us"),
    Column("closed_us", Whole),
    Column("expires_us", Whole),
    _text("models"),
    _text("networks"),
    Column("requests_per_minute", Whole),
    Column("tokens_per_minute", Whole),
    Column("requests_at_once", Whole),
    UniqueConstraint("parent", "kind", "name", name="party_name"),
    sqlite_strict=True,
)

budget = Table(
    "budget",
    metadata,
    Column("id", Text, primary_key=True),  # stores/windows.py: budget_id
    _text("subject"),  # account of a key, or kind:id of a party
    _text("unit"),
    _text("span"),
    _text("zone"),
    _whole("amount"),
    CheckConstraint("amount >= 0", name="budget_amount"),
    Index("budget_subject", "subject"),
    sqlite_strict=True,
)

upstream = Table(
    "upstream",
    metadata,
    Column("name", Text, primary_key=True),
    _text("document"),  # UpstreamRecord as JSON, without its secret
    Column("secret", LargeBinary),  # sealed: stores/vault.py
    _whole("created_us"),
    sqlite_strict=True,
)

price = Table(
    "price",
    metadata,
    Column("version", Whole, primary_key=True),
    _text("model"),
    Column("upstream", Text),
    _whole("effective_us"),
    _whole("input_pico"),
    Column("cached_input_pico", Whole),
    _whole("output_pico"),
    _whole("request_nano"),
    Column("cache_write_pico", Whole),
    Column("audio_input_pico", Whole),
    Column("image_input_pico", Whole),
    Column("audio_output_pico", Whole),
    Column("reasoning_pico", Whole),
    Column("markup_bp", Whole),
    Column("markup_of", Text),
    Column("free_amount", Whole),
    Column("free_unit", Text),
    Column("free_span", Text),
    sqlite_strict=True,
)

change = Table(
    "change",
    metadata,
    Column("seq", Whole, primary_key=True),
    _whole("at_us"),
    _text("actor"),
    _text("kind"),
    _text("object_id"),
    _text("action"),
    _text("detail"),
    sqlite_strict=True,
)

account = Table(
    "account",
    metadata,
    Column("id", Text, primary_key=True),
    Column("limit_nano", Whole),
    _whole("posted_nano", 0),
    CheckConstraint("posted_nano >= 0", name="account_posted"),
    sqlite_strict=True,
)

journal = Table(
    "journal",
    metadata,
    Column("number", Whole, primary_key=True),
    Column("identity", Text, nullable=False, unique=True),
    _text("name"),
    _whole("folded_seq", 0),
    _whole("created_us"),
    sqlite_strict=True,
)

lease = Table(
    "lease",
    metadata,
    Column("journal", Whole, primary_key=True, autoincrement=False),
    Column("account", Text, primary_key=True),
    _whole("granted_nano"),
    CheckConstraint("granted_nano >= 0", name="lease_granted"),
    Index("lease_account", "account"),
    sqlite_strict=True,
)

request = Table(
    "request",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=False),  # journal number << 40 | hold's seq
    _text("request_id"),
    _whole("created_us"),
    _text("key_id"),
    _text("account"),
    _text("scopes"),
    _text("model"),
    _text("upstream"),
    Column("user", Text),
    _whole("stream"),
    _text("state"),
    _whole("hold"),
    _whole("charge"),
    _whole("overrun"),
    _whole("cost"),
    _whole("price_version"),
    Column("prompt_tokens", Whole),
    Column("cached_tokens", Whole),
    Column("completion_tokens", Whole),
    Column("reasoning_tokens", Whole),
    Column("audio_prompt_tokens", Whole),
    Column("image_prompt_tokens", Whole),
    Column("audio_completion_tokens", Whole),
    Column("cache_write_tokens", Whole),
    _whole("estimated"),
    Column("queue_us", Whole),
    Column("hold_us", Whole),
    Column("first_byte_us", Whole),
    Column("last_byte_us", Whole),
    _whole("status"),
    Column("error_code", Text),
    Column("finish_reason", Text),
    _text("fills"),
    _whole("handoffs"),
    _whole("attempts"),
    Column("cost_version", Whole),  # NULL: several attempts, or a row from before there was one
    CheckConstraint("state IN ('settled', 'released', 'interrupted')", name="request_state"),
    CheckConstraint("charge >= 0 AND charge <= hold", name="request_charge"),
    Index("request_created", "created_us"),
    Index("request_request_id", "request_id"),
    sqlite_strict=True,
)

attempt = Table(  # of requests with several
    "attempt",
    metadata,
    Column("request", Whole, primary_key=True, autoincrement=False),
    Column("n", Whole, primary_key=True, autoincrement=False),  # from 1, in order
    _text("upstream"),
    _whole("cost"),
    _whole("price_version"),
    _whole("prompt_tokens"),
    Column("cached_tokens", Whole),
    _whole("completion_tokens"),
    Column("reasoning_tokens", Whole),
    Column("audio_prompt_tokens", Whole),
    Column("image_prompt_tokens", Whole),
    Column("audio_completion_tokens", Whole),
    Column("cache_write_tokens", Whole),
    _whole("estimated"),
    sqlite_strict=True,
)

fold = Table(
    "fold",
    metadata,
    Column("id", Whole, primary_key=True),
    _whole("journal"),
    _whole("last_seq"),
    _whole("requests"),
    _whole("at_us"),
    sqlite_strict=True,
)

entry = Table(
    "entry",
    metadata,
    Column("fold", Whole, primary_key=True, autoincrement=False),
    Column("account", Text, primary_key=True),
    _whole("amount_nano"),
    sqlite_strict=True,
)

usage_day = Table(
    "usage_day",
    metadata,
    Column("day", Whole, primary_key=True, autoincrement=False),  # days since 1970, UTC
    Column("key_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("upstream", Text, primary_key=True),
    _whole("requests"),
    _whole("failed"),
    _whole("streams"),
    _whole("estimated"),
    _whole("handoffs"),
    _whole("prompt_tokens"),
    _whole("cached_tokens"),
    _whole("completion_tokens"),
    _whole("reasoning_tokens"),
    _whole("charge"),
    _whole("overrun"),
    _whole("cost"),
    sqlite_strict=True,
)

usage_user = Table(
    "usage_user",
    metadata,
    Column("day", Whole, primary_key=True, autoincrement=False),
    Column("key_id", Text, primary_key=True),
    Column("user", Text, primary_key=True),  # what callers wrote in `user`
    _whole("requests"),
    _whole("failed"),
    _whole("estimated"),
    _whole("prompt_tokens"),
    _whole("cached_tokens"),
    _whole("completion_tokens"),
    _whole("charge"),
    _whole("cost"),
    sqlite_strict=True,
)

traffic = Table(
    "traffic",
    metadata,
    Column("span_s", Whole, primary_key=True, autoincrement=False),
    Column("start_s", Whole, primary_key=True, autoincrement=False),  # seconds since 1970
    _whole("requests"),
    _whole("failed"),
    _whole("handoffs"),
    _whole("prompt_tokens"),
    _whole("cached_tokens"),
    _whole("completion_tokens"),
    _whole("charge"),
    _whole("cost"),
    sqlite_strict=True,
)

latency = Table(
    "latency",
    metadata,
    Column("span_s", Whole, primary_key=True, autoincrement=False),
    Column("start_s", Whole, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),  # first | gap
    Column("bucket", Whole, primary_key=True, autoincrement=False),  # stores/traffic.py: BOUNDS_US
    _whole("times"),
    sqlite_strict=True,
)

archived = Table(
    "archived",
    metadata,
    Column("day", Whole, primary_key=True, autoincrement=False),
    Column("key_id", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("scopes", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("upstream", Text, primary_key=True),
    _whole("requests"),
    _whole("failed"),
    _whole("streams"),
    _whole("estimated"),
    _whole("handoffs"),
    _whole("prompt_tokens"),
    _whole("cached_tokens"),
    _whole("completion_tokens"),
    _whole("reasoning_tokens"),
    _whole("tokens"),
    _whole("charge"),
    _whole("overrun"),
    _whole("cost"),
    _whole("unreleased", 0),
    sqlite_strict=True,
)

notice = Table(
    "notice",
    metadata,
    Column("id", Whole, primary_key=True),
    _text("account"),  # a window's name is a part of it
    _whole("percent"),
    _text("body"),
    _whole("created_us"),
    _whole("attempts", 0),
    Column("next_us", Whole),  # NULL: delivered, or given up
    Column("delivered_us", Whole),
    Column("failure", Text),
    UniqueConstraint("account", "percent", name="notice_once"),
    Index("notice_next", "next_us"),
    sqlite_strict=True,
)

duty = Table(
    "duty",
    metadata,
    Column("name", Text, primary_key=True),
    _text("owner"),
    _whole("until_us"),
    sqlite_strict=True,
)
