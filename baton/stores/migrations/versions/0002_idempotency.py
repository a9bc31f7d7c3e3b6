"""Answers kept under an Idempotency-Key; single requests found by the id that their caller saw."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "idempotency",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("lease_us", WHOLE, nullable=False),
        sa.Column("expires_us", WHOLE, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("answer_bytes", WHOLE, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("idempotency_expires", "idempotency", ["expires_us"])
    op.create_index("idempotency_owner", "idempotency", ["owner"])
    op.create_index("request_request_id", "request", ["request_id"])


def downgrade() -> None:
    op.drop_index("request_request_id", "request")
    op.drop_table("idempotency")
