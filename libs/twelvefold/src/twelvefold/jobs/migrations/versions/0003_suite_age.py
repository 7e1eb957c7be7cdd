"""Record when the suite was created: ticks before that are skipped."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # An existing suite counts from now on: at most one tick of each schedule is skipped.
    op.execute(
        "ALTER TABLE jobs.suite "
        "ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now()"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE jobs.suite DROP COLUMN created_at")
