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


def whole(name: str, default: int | None = None) -> Column[int]:
    """An integer that is always there."""
    text = None if default is None else str(default)
    return Column(name, Whole, nullable=False, server_default=text)


def whole_key(name: str) -> Column[int]:
    """An integer that is a part of the primary key, and is given."""
    return Column(name, Whole, primary_key=True, autoincrement=False)


def words(name: str) -> Column[str]:
    """A text that is always there."""
    return Column(name, Text, nullable=False)


key = Table(
    "key",
    metadata,
    Column("id", Text, primary_key=True),
    words("name"),
    Column("digest", LargeBinary, nullable=False, unique=True),
    words("head"),
    words("tail"),
    words("role"),
    whole("created_us"),
    Column("expires_us", Whole),
    Column("revoked_us", Whole),
    words("models"),
    Column("default_model", Text),
    Column("requests_per_minute", Whole),
    whole("strict"),
    whole("deterministic"),
    whole("parse_special"),
    Column("owner", Text),
    Column("tokens_per_minute", Whole),
    Column("requests_at_once", Whole),
    Column("networks", Text, nullable=False, server_default="[]"),
    Column("previous_digest", LargeBinary),
    Column("previous_until_us", Whole),
    whole("keep_content_days", 0),
    Index("key_previous_digest", "previous_digest"),
    Index("key_owner", "owner"),
    sqlite_strict=True,
)

party = Table(
    "party",
    metadata,
    Column("id", Text, primary_key=True),
    words("kind"),
    words("name"),
    words("parent"),  # "" for an organisation
    whole("created_us"),
    Column("closed_us", Whole),
    Column("expires_us", Whole),
    words("models"),
    words("networks"),
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
    words("subject"),  # account of a key, or kind:id of a party
    words("unit"),
    words("span"),
    words("zone"),
    whole("amount"),
    CheckConstraint("amount >= 0", name="budget_amount"),
    Index("budget_subject", "subject"),
    sqlite_strict=True,
)

upstream = Table(
    "upstream",
    metadata,
    Column("name", Text, primary_key=True),
    words("document"),  # UpstreamRecord as JSON, without its secret
    Column("secret", LargeBinary),  # sealed: stores/vault.py
    whole("created_us"),
    sqlite_strict=True,
)

price = Table(
    "price",
    metadata,
    Column("version", Whole, primary_key=True),
    words("model"),
    Column("upstream", Text),
    whole("effective_us"),
    whole("input_pico"),
    Column("cached_input_pico", Whole),
    whole("output_pico"),
    whole("request_nano"),
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
    whole("at_us"),
    words("actor"),
    words("kind"),
    words("object_id"),
    words("action"),
    words("detail"),
    sqlite_strict=True,
)

account = Table(
    "account",
    metadata,
    Column("id", Text, primary_key=True),
    Column("limit_nano", Whole),
    whole("posted_nano", 0),
    CheckConstraint("posted_nano >= 0", name="account_posted"),
    sqlite_strict=True,
)

journal = Table(
    "journal",
    metadata,
    Column("number", Whole, primary_key=True),
    Column("identity", Text, nullable=False, unique=True),
    words("name"),
    whole("folded_seq", 0),
    whole("created_us"),
    sqlite_strict=True,
)

lease = Table(
    "lease",
    metadata,
    whole_key("journal"),
    Column("account", Text, primary_key=True),
    whole("granted_nano"),
    CheckConstraint("granted_nano >= 0", name="lease_granted"),
    Index("lease_account", "account"),
    sqlite_strict=True,
)

request = Table(
    "request",
    metadata,
    whole_key("id"),  # journal number << 40 | hold's seq
    words("request_id"),
    whole("created_us"),
    words("key_id"),
    words("account"),
    words("scopes"),
    words("model"),
    words("upstream"),
    Column("user", Text),
    whole("stream"),
    words("state"),
    whole("hold"),
    whole("charge"),
    whole("overrun"),
    whole("cost"),
    whole("price_version"),
    Column("prompt_tokens", Whole),
    Column("cached_tokens", Whole),
    Column("completion_tokens", Whole),
    Column("reasoning_tokens", Whole),
    Column("audio_prompt_tokens", Whole),
    Column("image_prompt_tokens", Whole),
    Column("audio_completion_tokens", Whole),
    Column("cache_write_tokens", Whole),
    whole("estimated"),
    Column("queue_us", Whole),
    Column("hold_us", Whole),
    Column("first_byte_us", Whole),
    Column("last_byte_us", Whole),
    whole("status"),
    Column("error_code", Text),
    Column("finish_reason", Text),
    words("fills"),
    whole("handoffs"),
    whole("attempts"),
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
    whole_key("request"),
    whole_key("n"),  # from 1, in order
    words("upstream"),
    whole("cost"),
    whole("price_version"),
    whole("prompt_tokens"),
    Column("cached_tokens", Whole),
    whole("completion_tokens"),
    Column("reasoning_tokens", Whole),
    Column("audio_prompt_tokens", Whole),
    Column("image_prompt_tokens", Whole),
    Column("audio_completion_tokens", Whole),
    Column("cache_write_tokens", Whole),
    whole("estimated"),
    sqlite_strict=True,
)

fold = Table(
    "fold",
    metadata,
    Column("id", Whole, primary_key=True),
    whole("journal"),
    whole("last_seq"),
    whole("requests"),
    whole("at_us"),
    sqlite_strict=True,
)

entry = Table(
    "entry",
    metadata,
    whole_key("fold"),
    Column("account", Text, primary_key=True),
    whole("amount_nano"),
    sqlite_strict=True,
)

usage_day = Table(
    "usage_day",
    metadata,
    whole_key("day"),  # days since 1970, UTC
    Column("key_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("upstream", Text, primary_key=True),
    whole("requests"),
    whole("failed"),
    whole("streams"),
    whole("estimated"),
    whole("handoffs"),
    whole("prompt_tokens"),
    whole("cached_tokens"),
    whole("completion_tokens"),
    whole("reasoning_tokens"),
    whole("charge"),
    whole("overrun"),
    whole("cost"),
    sqlite_strict=True,
)

usage_user = Table(
    "usage_user",
    metadata,
    whole_key("day"),
    Column("key_id", Text, primary_key=True),
    Column("user", Text, primary_key=True),  # what callers wrote in `user`
    whole("requests"),
    whole("failed"),
    whole("estimated"),
    whole("prompt_tokens"),
    whole("cached_tokens"),
    whole("completion_tokens"),
    whole("charge"),
    whole("cost"),
    sqlite_strict=True,
)

traffic = Table(
    "traffic",
    metadata,
    whole_key("span_s"),
    whole_key("start_s"),  # seconds since 1970
    whole("requests"),
    whole("failed"),
    whole("handoffs"),
    whole("prompt_tokens"),
    whole("cached_tokens"),
    whole("completion_tokens"),
    whole("charge"),
    whole("cost"),
    sqlite_strict=True,
)

latency = Table(
    "latency",
    metadata,
    whole_key("span_s"),
    whole_key("start_s"),
    Column("kind", Text, primary_key=True),  # first | gap
    whole_key("bucket"),  # stores/traffic.py: BOUNDS_US
    whole("times"),
    sqlite_strict=True,
)

archived = Table(
    "archived",
    metadata,
    whole_key("day"),
    Column("key_id", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("scopes", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("upstream", Text, primary_key=True),
    whole("requests"),
    whole("failed"),
    whole("streams"),
    whole("estimated"),
    whole("handoffs"),
    whole("prompt_tokens"),
    whole("cached_tokens"),
    whole("completion_tokens"),
    whole("reasoning_tokens"),
    whole("tokens"),
    whole("charge"),
    whole("overrun"),
    whole("cost"),
    whole("unreleased", 0),
    sqlite_strict=True,
)

notice = Table(
    "notice",
    metadata,
    Column("id", Whole, primary_key=True),
    words("account"),  # a window's name is a part of it
    whole("percent"),
    words("body"),
    whole("created_us"),
    whole("attempts", 0),
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
    words("owner"),
    whole("until_us"),
    sqlite_strict=True,
)
