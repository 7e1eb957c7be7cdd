"""Accounts, sessions with their refresh tokens, mailed tokens, activity, idempotency keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "users"


def _moment(name: str, *, required: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not required)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


def _of(table: str, column: str) -> sa.Column[object]:
    target = sa.ForeignKey(f"{SCHEMA}.{table}.id", ondelete="CASCADE")
    return sa.Column(column, sa.Uuid(), target, nullable=False)


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        _now("password_changed_at"),
        _moment("email_verified_at"),
        _moment("disabled_at"),
        sa.Column("avatar", JSONB()),
        sa.Column("avatar_job_id", sa.Uuid()),
        _moment("avatar_job_created_at"),
        sa.Column("version", sa.BigInteger(), nullable=False, server_default=sa.text("1")),
        _now("created_at"),
        _now("updated_at"),
        sa.UniqueConstraint("email_key", name="accounts_email_key"),
        sa.CheckConstraint("role IN ('user', 'admin')", name="accounts_role"),
        schema=SCHEMA,
    )
    op.create_index("accounts_by_time", "accounts", ["created_at", "id"], schema=SCHEMA)

    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _of("accounts", "account_id"),
        _now("created_at"),
        _now("last_used_at"),
        _moment("expires_at", required=True),
        _moment("revoked_at"),
        sa.Column("user_agent", sa.Text()),
        sa.Column("address", sa.Text()),
        schema=SCHEMA,
    )
    op.create_index("sessions_by_account", "sessions", ["account_id"], schema=SCHEMA)

    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        _of("sessions", "session_id"),
        _now("created_at"),
        _moment("used_at"),
        schema=SCHEMA,
    )
    op.create_index("refresh_tokens_by_session", "refresh_tokens", ["session_id"], schema=SCHEMA)

    op.create_table(
        "email_tokens",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        _of("accounts", "account_id"),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        _now("created_at"),
        _moment("expires_at", required=True),
        _moment("used_at"),
        schema=SCHEMA,
    )
    op.create_index(
        "email_tokens_by_account", "email_tokens", ["account_id", "purpose"], schema=SCHEMA
    )

    op.create_table(
        "daily_active",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("account_id", sa.Uuid(), primary_key=True),
        schema=SCHEMA,
    )

    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        _moment("expires_at", required=True),
        schema=SCHEMA,
    )
    # Named as `idempotency_table` of the shared package names it.
    op.create_index(
        "ix_users_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"], schema=SCHEMA
    )


def downgrade() -> None:
    for table in (
        "idempotency_keys",
        "daily_active",
        "email_tokens",
        "refresh_tokens",
        "sessions",
        "accounts",
    ):
        op.drop_table(table, schema=SCHEMA)
