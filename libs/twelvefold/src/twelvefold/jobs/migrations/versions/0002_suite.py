"""Create the identity of this suite's data, by which the sweeper recognises its own bucket."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
CREATE TABLE jobs.suite (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one)
)
""")
    op.execute("INSERT INTO jobs.suite DEFAULT VALUES")


def downgrade() -> None:
    op.execute("DROP TABLE jobs.suite")
