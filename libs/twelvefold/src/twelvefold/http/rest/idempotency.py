"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): repeated requests have one effect.

The key, the effect and the stored response commit in one transaction, in the schema of the service
that commits the effect. An advisory lock is tried before, since a second INSERT would block on the
uncommitted key of the first. Client errors (4xx) are stored as well; server errors (5xx) are not,
so that a retry runs the effect. `idempotency_key` owns the header's form and the table.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Table, delete, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from twelvefold.database.database import Database, Reader, Transaction, retry_once
from twelvefold.errors import (
    FieldError,
    RequestInProgress,
    TooManyRequests,
    TwelvefoldError,
    UnprocessableContent,
)

from .idempotency_key import parse_key

LIFETIME = timedelta(hours=24)  # for which a response is replayed; published in the API's guide
_MAX_PRUNED = 20  # expired keys that are deleted with each new one, instead of by a job
_SERVER_ERROR = 500
P = TypeVar("P")  # the prepared value
R = TypeVar("R")  # the result of the effect


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response in the form of a row: the result of each effect that may have a key."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class IdempotentResult(Generic[R]):
    """The response to a keyed request and its effect's result, which is None for a replay."""

    response: StoredResponse
    value: R | None


class StoredError(TwelvefoldError):
    """The error of the first request with a key, raised again."""

    def __init__(self, stored: dict[str, Any]) -> None:
        super().__init__(
            stored["detail"],
            errors=[FieldError(**entry) for entry in stored["errors"]],
            headers={**stored["headers"], "Idempotency-Replayed": "true"},
        )
        # Shadows the class's constants, since this class stands for any stored error.
        self.status = stored["status"]  # type: ignore[misc]
        self.code = stored["code"]  # type: ignore[misc]
        self.title = stored["title"]  # type: ignore[misc]


class IdempotencyStore:
    """The keys of one service. `secret` keys the fingerprints, so that they reveal no body."""

    def __init__(self, table: Table, secret: str) -> None:
        self.table = table
        self._secret = hmac.digest(secret.encode(), b"twelvefold idempotency", "sha256")
        self._in_flight: set[tuple[str, str]] = set()

    @contextmanager
    def claim(self, caller: str, key: str) -> Iterator[None]:
        """Mark the key as in flight in this process.

        Raises RequestInProgress where it already is.
        """
        entry = (caller, key)
        if entry in self._in_flight:
            raise _still_running()
        self._in_flight.add(entry)
        try:
            yield
        finally:
            self._in_flight.discard(entry)

    def once(self, caller: str, header: str | None, *parts: bytes | str) -> IdempotentOperation:
        """Return the operation of `caller`'s request, identified by `parts` (method, path, body).

        Raises BadRequest for a malformed key.
        """
        key = parse_key(header)
        return IdempotentOperation(self, caller, key, parts)

    def pseudonym(self, identity: str) -> str:
        """Return an HMAC of a caller without an account, so that the table has no personal data."""
        return hmac.digest(self._secret, b"caller\0" + identity.encode(), "sha256").hex()

    def fingerprint(self, parts: Iterable[bytes | str]) -> bytes:
        """Return the HMAC of `parts` with their lengths, which is unique to the list of parts."""
        digest = hmac.new(self._secret, digestmod="sha256")
        for part in parts:
            encoded = part.encode() if isinstance(part, str) else part
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return digest.digest()

    async def find(self, reader: Reader, operation: IdempotentOperation) -> StoredResponse | None:
        """Return the first response with the key, if there is one.

        Raises UnprocessableContent where it belongs to another request, StoredError where it was
        an error.
        """
        keys = self.table.c
        statement = select(keys.fingerprint, keys.status, keys.headers, keys.body).where(
            keys.caller == operation.caller,
            keys.key == operation.key,
            keys.expires_at > func.now(),
        )
        row = (await reader.execute(statement)).one_or_none()
        if row is None:
            return None
        if not hmac.compare_digest(row.fingerprint, operation.fingerprint):
            raise UnprocessableContent(
                "This Idempotency-Key was used with another request. Use a new key.",
                errors=[FieldError("/header/idempotency-key", "belongs to another request")],
            )
        if row.status == 0:
            raise StoredError(json.loads(row.body))
        return StoredResponse(
            row.status, row.body, {**row.headers, "Idempotency-Replayed": "true"}, replayed=True
        )

    async def record(
        self, transaction: Transaction, operation: IdempotentOperation, response: StoredResponse
    ) -> None:
        """Store the response and delete some expired keys."""
        keys = self.table.c
        values = {
            "fingerprint": operation.fingerprint,
            "status": response.status,
            "headers": response.headers,
            "body": response.body,
            "expires_at": func.now() + LIFETIME,
        }
        statement = insert(self.table).values(caller=operation.caller, key=operation.key, **values)
        # While the lock is held, a conflict can only be with an expired key.
        await transaction.execute(
            statement.on_conflict_do_update(index_elements=[keys.caller, keys.key], set_=values)
        )
        expired = (
            select(keys.caller, keys.key)
            .where(keys.expires_at < func.now())
            .limit(_MAX_PRUNED)
            .with_for_update(skip_locked=True)
        )
        await transaction.execute(
            delete(self.table).where(tuple_(keys.caller, keys.key).in_(expired))
        )


class IdempotentOperation:
    """An operation that runs at most once per key; without a key, each time."""

    def __init__(
        self,
        store: IdempotencyStore,
        caller: str,
        key: str | None,
        parts: tuple[bytes | str, ...],
    ) -> None:
        self.caller = caller
        self.key = key
        self.fingerprint = store.fingerprint(parts)
        self._parts = parts
        self._store = store

    async def run(
        self,
        database: Database,
        effect: Callable[[Transaction, P], Awaitable[R]],
        *,
        prepare: Callable[[], Awaitable[P]],
        respond: Callable[[R], StoredResponse],
        identify: Callable[[P], Iterable[bytes | str]] | None = None,
    ) -> IdempotentResult[R]:
        """Prepare outside the transaction (a hash, an upload), then commit the effect.

        `respond` makes the response from the effect's result; it is stored with the effect.
        `identify` returns further parts of the fingerprint from the prepared value, such as the
        digest of a streamed body; then a replay is prepared as well, and the caller discards what
        the effect did not use.
        Raises RequestInProgress while the first request with the key still runs,
        UnprocessableContent where the key was used with another request.
        """
        if self.key is None:
            return await self._commit_without_key(database, effect, respond, await prepare())
        with self._store.claim(self.caller, self.key):
            if identify is None:
                async with database.read() as reader:
                    if replay := await self._store.find(reader, self):
                        return IdempotentResult(replay, None)
            prepared = await prepare()
            if identify is not None:
                self.fingerprint = self._store.fingerprint((*self._parts, *identify(prepared)))
            return await self._commit(database, effect, respond, prepared)

    @retry_once
    async def _commit_without_key(
        self,
        database: Database,
        effect: Callable[[Transaction, P], Awaitable[R]],
        respond: Callable[[R], StoredResponse],
        prepared: P,
    ) -> IdempotentResult[R]:
        async with database.transaction() as transaction:
            value = await effect(transaction, prepared)
        return IdempotentResult(respond(value), value)

    @retry_once
    async def _commit(
        self,
        database: Database,
        effect: Callable[[Transaction, P], Awaitable[R]],
        respond: Callable[[R], StoredResponse],
        prepared: P,
    ) -> IdempotentResult[R]:
        client_error: TwelvefoldError | None = None
        value: R | None = None
        async with database.transaction() as transaction:
            lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
            name = f"{self._store.table.schema}:{self.caller}:{self.key}"
            if not await transaction.scalar(lock, {"name": name}):
                raise _still_running()
            if replay := await self._store.find(transaction, self):
                return IdempotentResult(replay, None)
            try:
                async with transaction.savepoint():
                    value = await effect(transaction, prepared)
                response = respond(value)
            except TwelvefoldError as error:
                # Neither is a response to the request itself: a retry may succeed.
                if error.status >= _SERVER_ERROR or error.status == TooManyRequests.status:
                    raise
                client_error, response = error, _serialize_error(error)
            await self._store.record(transaction, self, response)
        if client_error is not None:
            raise client_error
        return IdempotentResult(response, value)


def _still_running() -> RequestInProgress:
    return RequestInProgress("A request with this Idempotency-Key is still running. Try again.")


def _serialize_error(error: TwelvefoldError) -> StoredResponse:
    """Return the error in the form of a row: status 0, and the members of its problem."""
    content = {
        "status": error.status,
        "code": error.code,
        "title": error.title,
        "detail": error.detail,
        "headers": error.headers,
        "errors": [{"pointer": entry.pointer, "detail": entry.detail} for entry in error.errors],
    }
    return StoredResponse(0, json.dumps(content).encode())
