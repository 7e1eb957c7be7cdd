"""Notices: where to tell of a change, once the account itself no longer has that address."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "users"


def upgrade() -> None:
    account = sa.ForeignKey(f"{SCHEMA}.accounts.id", ondelete="CASCADE")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "notices",
        sa.Column("job_id", sa.Uuid(), primary_key=True),
        sa.Column("account_id", sa.Uuid(), account, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", moment, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("notices_by_account", "notices", ["account_id"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("notices", schema=SCHEMA)
