"""Since when there is this suite: what was due before has never been."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A suite of before counts from now on: at most one tick of each schedule is left out.
    op.execute(
        "ALTER TABLE jobs.suite "
        "ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now()"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE jobs.suite DROP COLUMN created_at")
