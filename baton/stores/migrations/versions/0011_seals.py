"""Which master key the process of a tenure has."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenure", sa.Column("seal", sa.Text))


def downgrade() -> None:
    op.drop_column("tenure", "seal")
