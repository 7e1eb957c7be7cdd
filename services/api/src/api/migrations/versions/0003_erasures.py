"""Erased accounts are remembered for a while, and unfinished images are found by their objects."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("account_id", sa.Uuid(), primary_key=True),
        sa.Column(
            "erased_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
            index=True,
        ),
        schema="api",
    )
    # In the order in which S3 lists keys, whatever the database's own order of strings is.
    op.create_index(
        "images_unfinished",
        "images",
        [sa.text('object_key COLLATE "C"')],
        schema="api",
        postgresql_where=sa.text("status = 'processing'"),
    )


def downgrade() -> None:
    op.drop_index("images_unfinished", "images", schema="api")
    op.drop_table("erasures", schema="api")
