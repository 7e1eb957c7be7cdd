"""Addresses that are not confirmed yet, and counts of registrations that outlive their accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "users"


def upgrade() -> None:
    account = sa.ForeignKey(f"{SCHEMA}.accounts.id", ondelete="CASCADE")
    op.create_table(
        "email_changes",
        sa.Column("account_id", sa.Uuid(), account, primary_key=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        schema=SCHEMA,
    )
    op.create_table(
        "departures",
        sa.Column("registered_on", sa.Date(), primary_key=True),
        sa.Column("accounts", sa.BigInteger(), nullable=False),
        schema=SCHEMA,
    )
    op.create_index("daily_active_by_account", "daily_active", ["account_id"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_index("daily_active_by_account", "daily_active", schema=SCHEMA)
    op.drop_table("departures", schema=SCHEMA)
    op.drop_table("email_changes", schema=SCHEMA)
