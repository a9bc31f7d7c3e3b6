"""Traffic over time, by minute, ten minutes, hour and day, with how fast it was."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
SPANS_S = (60, 600, 3600, 86400)
BOUNDS_US = (
    100, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10000, 15000, 20000,
    30000, 50000, 70000, 100000, 150000, 200000, 300000, 500000, 700000, 1000000,
    1500000, 2000000, 3000000, 5000000, 7000000, 10000000, 20000000, 60000000,
)  # fmt: skip
COUNTS = (
    "requests",
    "failed",
    "handoffs",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "charge",
    "cost",
)
STREAMED = "stream = 1 AND first_byte_us IS NOT NULL AND status < 400"
GAPS = f"{STREAMED} AND completion_tokens > 1 AND last_byte_us >= first_byte_us"
GAP_US = "(last_byte_us - first_byte_us) / (completion_tokens - 1)"
SUMS = (
    "count(*)",
    "sum(CASE WHEN status >= 400 OR state = 'interrupted' THEN 1 ELSE 0 END)",
    "sum(handoffs)",
    "coalesce(sum(prompt_tokens), 0)",
    "coalesce(sum(cached_tokens), 0)",
    "coalesce(sum(completion_tokens), 0)",
    "sum(charge)",
    "sum(cost)",
)


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, WHOLE, primary_key=True, autoincrement=False)


def _fill(span_s: int) -> None:
    """From the requests that are there: what was archived before is not."""
    start = f"created_us / {span_s * 10**6} * {span_s}"
    op.execute(
        f"INSERT INTO traffic(span_s, start_s, {', '.join(COUNTS)})"
        f" SELECT {span_s}, {start}, {', '.join(SUMS)} FROM request GROUP BY 2"
    )
    kinds = (("first", STREAMED, "first_byte_us", "1"), ("gap", GAPS, GAP_US, "tokens"))
    for kind, condition, value, times in kinds:
        cases = " ".join(f"WHEN us <= {bound} THEN {n}" for n, bound in enumerate(BOUNDS_US))
        op.execute(
            "INSERT INTO latency(span_s, start_s, kind, bucket, times)"
            f" SELECT {span_s}, start, '{kind}', CASE {cases} ELSE {len(BOUNDS_US)} END,"
            f" sum({times}) FROM (SELECT {start} AS start, {value} AS us,"
            f" completion_tokens - 1 AS tokens FROM request WHERE {condition}) AS timed"
            " GROUP BY 2, 4"
        )


def upgrade() -> None:
    op.create_table(
        "traffic",
        _key("span_s"),
        _key("start_s"),
        *(sa.Column(name, WHOLE, nullable=False) for name in COUNTS),
        sqlite_strict=True,
    )
    op.create_table(
        "latency",
        _key("span_s"),
        _key("start_s"),
        sa.Column("kind", sa.Text, primary_key=True),
        _key("bucket"),
        sa.Column("times", WHOLE, nullable=False),
        sqlite_strict=True,
    )
    for span_s in SPANS_S:
        _fill(span_s)


def downgrade() -> None:
    op.drop_table("latency")
    op.drop_table("traffic")
