"""Costs of lost attempts, by the upstream where they arose."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
DAY_US = 86_400_000_000
SPENT = (
    f"SELECT request.created_us / {DAY_US} AS day, request.key_id, request.model,"
    " {} AS upstream, {} AS cost FROM attempt JOIN request ON request.id = attempt.request"
    " WHERE attempt.upstream <> request.upstream"
)


def upgrade() -> None:
    op.create_table(
        "moved_cost",
        sa.Column("day", WHOLE, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("key_id", "model", "upstream")),
        sa.Column("cost", WHOLE, nullable=False),
        sqlite_strict=True,
    )
    there = SPENT.format("attempt.upstream", "attempt.cost")
    ended = SPENT.format("request.upstream", "-attempt.cost")
    op.execute(
        "INSERT INTO moved_cost(day, key_id, model, upstream, cost)"
        " SELECT day, key_id, model, upstream, sum(cost)"
        f" FROM ({there} UNION ALL {ended}) AS spent"
        " GROUP BY day, key_id, model, upstream HAVING sum(cost) <> 0"
    )


def downgrade() -> None:
    op.drop_table("moved_cost")
