"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): one effect however often it is sent.

The key, the effect and the stored response commit in one transaction, in the schema of the
service that commits the effect. An advisory lock is tried first, since a second INSERT would
block on the first's uncommitted key. Refusals (4xx) are stored like answers; an outage of ours
(5xx) never is, because a retry should then be tried for real.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from twelvefold.database.database import Database, Reader, Transaction, retry_once
from twelvefold.errors import (
    BadRequest,
    Conflict,
    FieldError,
    TooManyRequests,
    TwelvefoldError,
    UnprocessableContent,
)

LIFETIME = timedelta(hours=24)  # how long a response is replayed; published in the API's guide
_PRUNED_AT_ONCE = 20  # expired keys removed beside each new one, so that no job has to
_KEY = re.compile(r'^(?:"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255}))$')
_SERVER_ERROR = 500
_NOT_NOW = (TooManyRequests.status,)
P = TypeVar("P")  # what was prepared
R = TypeVar("R")  # what the effect returns


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as it is stored: what a service method returns where its effect may be keyed."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class IdempotentResult(Generic[R]):
    """The response to a keyed request, and what its effect returned: None where it is replayed."""

    response: StoredResponse
    value: R | None


class StoredError(TwelvefoldError):
    """A refusal as it was given the first time."""

    def __init__(self, stored: dict[str, Any]) -> None:
        super().__init__(
            stored["detail"],
            errors=[FieldError(**entry) for entry in stored["errors"]],
            headers={**stored["headers"], "Idempotency-Replayed": "true"},
        )
        # Shadows the class's constants: this one class stands for whichever was refused.
        self.status = stored["status"]  # type: ignore[misc]
        self.code = stored["code"]  # type: ignore[misc]
        self.title = stored["title"]  # type: ignore[misc]


def idempotency_table(metadata: MetaData, schema: str) -> Table:
    """The owner's table of keys; its migration creates the same columns."""
    return Table(
        "idempotency_keys",
        metadata,
        Column("caller", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("status", Integer, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
        schema=schema,
    )


def parse_key(header: str | None) -> str | None:
    """The key of a request: a structured-field string, or bare as most clients send it.

    Raises BadRequest where it is neither.
    """
    if header is None:
        return None
    found = _KEY.match(header.strip())
    if not found:
        raise BadRequest(
            "Idempotency-Key must be 1 to 255 printable characters",
            errors=[FieldError("/header/idempotency-key", "is malformed")],
        )
    return found[1] or found[2]


class IdempotencyStore:
    """The keys of one service. `secret` keys the fingerprints, so that no body can be guessed."""

    def __init__(self, table: Table, secret: str) -> None:
        self.table = table
        self._secret = hmac.digest(secret.encode(), b"twelvefold idempotency", "sha256")
        self._in_flight: set[tuple[str, str]] = set()

    def once(self, caller: str, header: str | None, *parts: bytes | str) -> IdempotentOperation:
        """One keyed request of `caller`; `parts` (method, path, body) make its fingerprint."""
        key = parse_key(header)
        return IdempotentOperation(self, caller, key, parts)

    def pseudonym(self, identity: str) -> str:
        """A caller that has no account yet, by what it is known by: an HMAC, so that the table
        holds no word of it.
        """
        return hmac.digest(self._secret, b"caller\0" + identity.encode(), "sha256").hex()

    def fingerprint(self, parts: Iterable[bytes | str]) -> bytes:
        """The HMAC of `parts`, each with its length, so that no two lists of them are alike."""
        digest = hmac.new(self._secret, digestmod="sha256")
        for part in parts:
            encoded = part.encode() if isinstance(part, str) else part
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return digest.digest()

    async def stored(self, reader: Reader, once: IdempotentOperation) -> StoredResponse | None:
        """The first response. Raises Invalid for another body, StoredRefusal for a refusal."""
        keys = self.table.c
        statement = select(keys.fingerprint, keys.status, keys.headers, keys.body).where(
            keys.caller == once.caller, keys.key == once.key, keys.expires_at > func.now()
        )
        row = (await reader.execute(statement)).one_or_none()
        if row is None:
            return None
        if not hmac.compare_digest(row.fingerprint, once.fingerprint):
            raise UnprocessableContent(
                "this Idempotency-Key was used with another request",
                errors=[FieldError("/header/idempotency-key", "belongs to another request")],
            )
        if row.status == 0:
            raise StoredError(json.loads(row.body))
        return StoredResponse(
            row.status, row.body, {**row.headers, "Idempotency-Replayed": "true"}, replayed=True
        )

    async def record(
        self, transaction: Transaction, once: IdempotentOperation, reply: StoredResponse
    ) -> None:
        keys = self.table.c
        values = {
            "fingerprint": once.fingerprint,
            "status": reply.status,
            "headers": reply.headers,
            "body": reply.body,
            "expires_at": func.now() + LIFETIME,
        }
        statement = insert(self.table).values(caller=once.caller, key=once.key, **values)
        # Only an expired key can be there still: the lock is held.
        await transaction.execute(
            statement.on_conflict_do_update(index_elements=[keys.caller, keys.key], set_=values)
        )
        expired = (
            select(keys.caller, keys.key)
            .where(keys.expires_at < func.now())
            .limit(_PRUNED_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        await transaction.execute(
            delete(self.table).where(tuple_(keys.caller, keys.key).in_(expired))
        )


class IdempotentOperation:
    """Runs an effect at most once for its key; without a key, each time."""

    def __init__(
        self,
        keys: IdempotencyStore,
        caller: str,
        key: str | None,
        parts: tuple[bytes | str, ...],
    ) -> None:
        self.caller = caller
        self.key = key
        self.fingerprint = keys.fingerprint(parts)
        self._parts = parts
        self._keys = keys

    async def run(
        self,
        database: Database,
        effect: Callable[[Transaction, P], Awaitable[R]],
        *,
        prepare: Callable[[], Awaitable[P]],
        respond: Callable[[R], StoredResponse],
        identify: Callable[[P], Iterable[bytes | str]] | None = None,
    ) -> IdempotentResult[R]:
        """Prepares outside the transaction (a hash, an upload), then commits the effect.

        `respond` makes the response of what the effect returned; it is stored with the effect.

        `identify` gives further parts of the fingerprint that only what was prepared tells, such
        as the digest of a streamed body; then a replay is prepared too, and `prepare`'s owner
        throws away what the effect did not take.
        Raises Conflict while the first request with the key still runs, Invalid where the key was
        used with another one.
        """
        if self.key is None:
            return await self._unkeyed(database, effect, respond, await prepare())
        mine = (self.caller, self.key)
        if mine in self._keys._in_flight:  # noqa: SLF001  (one module, two halves of one thing)
            raise self._still_running()
        self._keys._in_flight.add(mine)  # noqa: SLF001
        try:
            if identify is None:
                async with database.read() as reader:
                    if replay := await self._keys.stored(reader, self):
                        return IdempotentResult(replay, None)
            prepared = await prepare()
            if identify is not None:
                self.fingerprint = self._keys.fingerprint((*self._parts, *identify(prepared)))
            return await self._commit(database, effect, respond, prepared)
        finally:
            self._keys._in_flight.discard(mine)  # noqa: SLF001

    @retry_once
    async def _unkeyed(
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
        refusal: TwelvefoldError | None = None
        value: R | None = None
        async with database.transaction() as transaction:
            lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
            name = f"{self._keys.table.schema}:{self.caller}:{self.key}"
            if not await transaction.scalar(lock, {"name": name}):
                raise self._still_running()
            if replay := await self._keys.stored(transaction, self):
                return IdempotentResult(replay, None)
            try:
                async with transaction.savepoint():
                    value = await effect(transaction, prepared)
                response = respond(value)
            except TwelvefoldError as error:
                # Neither is an answer to the request itself: the next one may be taken.
                if error.status in _NOT_NOW or error.status >= _SERVER_ERROR:
                    raise
                refusal, response = error, _stored(error)
            await self._keys.record(transaction, self, response)
        if refusal is not None:
            raise refusal
        return IdempotentResult(response, value)

    def _still_running(self) -> Conflict:
        return Conflict("a request with this Idempotency-Key is still running; try again")


def _stored(error: TwelvefoldError) -> StoredResponse:
    """A refusal in the form of a row: status 0, and what builds the problem again."""
    content = {
        "status": error.status,
        "code": error.code,
        "title": error.title,
        "detail": error.detail,
        "headers": error.headers,
        "errors": [{"pointer": entry.pointer, "detail": entry.detail} for entry in error.errors],
    }
    return StoredResponse(0, json.dumps(content).encode())
