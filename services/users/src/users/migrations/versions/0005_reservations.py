"""Reservations: former addresses of an account, kept while the change can be undone."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "users"


def upgrade() -> None:
    account = sa.ForeignKey(f"{SCHEMA}.accounts.id", ondelete="CASCADE")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "address_reservations",
        sa.Column("email_key", sa.Text(), primary_key=True),
        sa.Column("account_id", sa.Uuid(), account, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", moment, nullable=False),
        schema=SCHEMA,
    )
    op.create_index(
        "address_reservations_by_account", "address_reservations", ["account_id"], schema=SCHEMA
    )


def downgrade() -> None:
    op.drop_table("address_reservations", schema=SCHEMA)
