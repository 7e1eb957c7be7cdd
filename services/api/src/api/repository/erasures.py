"""Erased accounts: uploads with their last valid tokens are refused.

A token of a deleted account may be valid for minutes where the revocation in Redis failed. Without
this record, an upload that commits after the erasure would stay forever without an owner.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, delete, exists, func, select, text
from sqlalchemy.dialects.postgresql import insert

from api.models import IDEMPOTENCY_KEYS, ErasureRow
from twelvefold.database.database import Transaction
from twelvefold.database.prepared import PreparedStatement

_KEPT = timedelta(days=1)  # far longer than the lifetime of a token
# Shared by uploads of an account, exclusive for its erasure. A statement of its own takes the lock,
# so the next one sees what was committed before.
_SHARED = PreparedStatement(text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 1))"))
_IS_ERASED = PreparedStatement(
    select(exists().where(ErasureRow.account_id == bindparam("account_id")).label("is_erased"))
)
_EXCLUSIVE = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))")


async def is_erased(transaction: Transaction, account_id: UUID) -> bool:
    """Return whether the account is erased; if not, it stays so until this transaction ends."""
    await transaction.execute_prepared(_SHARED, name=f"api:erasure:{account_id}")
    row = await transaction.fetch_row(_IS_ERASED, account_id=account_id)
    return row is None or bool(row["is_erased"])


async def note(transaction: Transaction, account_id: UUID) -> None:
    """Record the erasure of the account. Waits for its uploads in flight."""
    await transaction.execute(_EXCLUSIVE, {"name": f"api:erasure:{account_id}"})
    await transaction.execute(
        insert(ErasureRow).values(account_id=account_id).on_conflict_do_nothing()
    )
    await transaction.execute(delete(ErasureRow).where(ErasureRow.erased_at < func.now() - _KEPT))


async def forget_replies(transaction: Transaction, account_id: UUID) -> None:
    """Delete the responses stored with the account's idempotency keys, which hold its data."""
    keys = IDEMPOTENCY_KEYS.c
    await transaction.execute(delete(IDEMPOTENCY_KEYS).where(keys.caller == str(account_id)))
