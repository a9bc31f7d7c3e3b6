"""Keys that opted in, and what was asked and answered with them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("key", sa.Column("keep_content_days", WHOLE, nullable=False, server_default="0"))
    op.create_table(
        "content",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        *(sa.Column(name, WHOLE, nullable=False) for name in ("created_us", "expires_us", "bytes")),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("content_expires", "content", ["expires_us"])
    op.create_index("content_key", "content", ["key_id", "created_us"])


def downgrade() -> None:
    op.drop_table("content")
    op.drop_column("key", "keep_content_days")
