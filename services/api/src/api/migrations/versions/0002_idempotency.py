"""Idempotency keys: the key of a request, and the response that it was given."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        schema="api",
    )
    # Named as `idempotency_table` of the shared package names it.
    op.create_index(
        "ix_api_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"], schema="api"
    )


def downgrade() -> None:
    op.drop_table("idempotency_keys", schema="api")
