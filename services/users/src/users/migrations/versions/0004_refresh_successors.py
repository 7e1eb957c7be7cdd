"""The salt from which a used refresh token's one successor follows."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "users"


def upgrade() -> None:
    # None in tokens that are not used yet, and in those that the release before has used.
    op.add_column("refresh_tokens", sa.Column("successor_salt", sa.LargeBinary()), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("refresh_tokens", "successor_salt", schema=SCHEMA)
