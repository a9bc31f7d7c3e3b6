"""How upstreams fared over time, and when their state changed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
COUNTS = (
    "requests",
    "failed",
    "failed_calls",
    "lost_streams",
    "handoffs",
    "ejections",
    "degraded_ms",
    "ejected_ms",
    "half_open_ms",
    "warming_ms",
)


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, WHOLE, primary_key=True, autoincrement=False)


def _place() -> list[sa.Column[int] | sa.Column[str]]:
    return [_key("span_s"), sa.Column("upstream", sa.Text, primary_key=True), _key("start_s")]


def upgrade() -> None:
    op.create_table(
        "upstream_slot",
        *_place(),
        *(sa.Column(name, WHOLE, nullable=False) for name in COUNTS),
        sqlite_strict=True,
    )
    op.create_table(
        "upstream_first",
        *_place(),
        _key("bucket"),
        sa.Column("times", WHOLE, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "upstream_change",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("at_us", WHOLE, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("upstream", "worker", "state", "reason")
        ),
        sa.Index("upstream_change_upstream", "upstream", "id"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    for name in ("upstream_change", "upstream_first", "upstream_slot"):
        op.drop_table(name)
