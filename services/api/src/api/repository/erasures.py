"""Accounts that were erased here: what their last, still valid tokens bring in is refused.

A token of a deleted account may live for minutes where Redis could not be told that it is
revoked. Without this an upload that commits after the erasure would belong to nobody for ever.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.dialects.postgresql import insert

from api.models import IDEMPOTENCY_KEYS, ErasureRow
from twelvefold.database.database import Transaction

_KEPT = timedelta(days=1)  # far longer than any token lives
# Shared by what an account brings in, exclusive for its erasure. Taken by a statement of its own:
# the next one then sees what was committed before the lock was gained.
_SHARED = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 1))")
_EXCLUSIVE = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))")


async def is_erased(transaction: Transaction, account_id: UUID) -> bool:
    """Whether the account is gone; if not, it is not erased before this transaction ends."""
    await transaction.execute(_SHARED, {"name": f"api:erasure:{account_id}"})
    return bool(
        await transaction.scalar(select(exists().where(ErasureRow.account_id == account_id)))
    )


async def note(transaction: Transaction, account_id: UUID) -> None:
    """From this commit on the account is gone. Waits for what it brings in just now."""
    await transaction.execute(_EXCLUSIVE, {"name": f"api:erasure:{account_id}"})
    await transaction.execute(
        insert(ErasureRow).values(account_id=account_id).on_conflict_do_nothing()
    )
    await transaction.execute(delete(ErasureRow).where(ErasureRow.erased_at < func.now() - _KEPT))


async def forget_replies(transaction: Transaction, account_id: UUID) -> None:
    """Removes what was stored with the account's idempotency keys: answers hold its data."""
    keys = IDEMPOTENCY_KEYS.c
    await transaction.execute(delete(IDEMPOTENCY_KEYS).where(keys.caller == str(account_id)))
