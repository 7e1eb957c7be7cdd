"""PostgreSQL transactions: their retry, and callbacks after a commit.

Owns connections in use and transactions. Each service's models own the tables. Repositories take a
`Reader` or a `Transaction`: two types, so that a write on a read connection is a type error.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, cast, overload

import asyncpg
import sqlalchemy.exc
import structlog
from sqlalchemy import Executable, Result, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.selectable import TypedReturnsRows
from sqlalchemy.util import greenlet_spawn

from twelvefold.context import remaining
from twelvefold.errors import DependencyUnavailable, TransactionConflict
from twelvefold.resilience.admission import AdmissionQueue
from twelvefold.settings import PostgresSettings

from .client import NAME, create_engine, map_driver_errors, trusts_recent_check
from .prepared import PreparedReader, PreparedStatement, Row

_log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

RETRY_PAUSE = 0.05  # seconds
MIN_RETRY_TIME = 1.0  # seconds that a request must have left for a second try


class CommitOutcomeUnknown(DependencyUnavailable):
    """PostgreSQL was lost during the commit, which may have taken effect."""


class Reader:
    """A read-only use of a connection; every statement sees all earlier commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._prepared: PreparedReader | None = None

    # As in SQLAlchemy's own signature the narrower form comes first.
    @overload
    async def execute(  # type: ignore[overload-overlap]
        self, statement: TypedReturnsRows[*Ts], parameters: Any = None
    ) -> Result[*Ts]: ...
    @overload
    async def execute(self, statement: Executable, parameters: Any = None) -> Result[Any]: ...
    async def execute(self, statement: Executable, parameters: Any = None) -> Result[Any]:
        """Execute one statement.

        Raises DependencyUnavailable where PostgreSQL is lost or too slow, TransactionConflict for
        a deadlock or a serialization failure, and otherwise the driver's error.
        """
        with map_driver_errors():
            return await self._connection.execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Any = None) -> Any:
        """Return the first column of the first row, or None. Raises as `execute`."""
        with map_driver_errors():
            return await self._connection.scalar(statement, parameters)

    async def fetch(self, statement: PreparedStatement, **values: Any) -> Sequence[Row]:
        """Return all rows of a prepared statement. Raises as `execute`."""
        async with self._driver() as reader:
            return await reader.fetch(statement, **values)

    async def fetch_row(self, statement: PreparedStatement, **values: Any) -> Row | None:
        """Return the first row of a prepared statement, or None. Raises as `execute`."""
        async with self._driver() as reader:
            return await reader.fetch_row(statement, **values)

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[PreparedReader]:
        """Yield the driver's connection, in the transaction if there is one."""
        if self._prepared is None:
            with map_driver_errors():
                pooled = await self._connection.get_raw_connection()
                adapter: Any = pooled.dbapi_connection
                # SQLAlchemy begins a transaction with its own first statement only.
                if adapter._transaction is None:  # noqa: SLF001
                    await adapter._start_transaction()  # noqa: SLF001
            driver = cast("asyncpg.Connection[Any]", pooled.driver_connection)
            self._prepared = PreparedReader(driver)
        try:
            yield self._prepared
        except BaseException as error:
            # SQLAlchemy does the same after its own statements.
            if not self._prepared.is_usable:
                await asyncio.shield(self._connection.invalidate(error))
            raise


class Transaction(Reader):
    """A transaction in progress; `after_commit` registers what follows its commit."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self._after_commit: list[Callable[[], None]] = []

    async def execute_prepared(self, statement: PreparedStatement, **values: Any) -> int:
        """Return the number of rows that a prepared statement changed. Raises as `execute`."""
        async with self._driver() as reader:
            return await reader.execute(statement, **values)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Run `callback` after the commit, and only if the commit succeeds.

        The callback must not block: it starts a task or fills a buffer. Its exceptions are logged,
        because the commit that it follows is already durable.
        """
        self._after_commit.append(callback)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo only the block, and the callbacks that it registered, if it raises."""
        before = len(self._after_commit)
        try:
            async with self._connection.begin_nested():
                yield
        except BaseException:
            del self._after_commit[before:]
            raise

    def run_after_commit(self) -> None:
        for callback in self._after_commit:
            try:
                callback()
            except Exception:
                _log.exception("after_commit_failed")


class Database:
    """The bounded connection pool of a process, with a timeout for each statement."""

    def __init__(self, settings: PostgresSettings, *, application_name: str) -> None:
        self.engine: AsyncEngine = create_engine(settings, application_name=application_name)
        # In front of the pool's own queue, whose timeout would count while the loop is stalled.
        self._slots = AdmissionQueue(
            NAME,
            slots=settings.database_pool_size,
            max_wait=settings.database_pool_timeout,
            refusal="The database is busy. Try again.",
        )
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Yield a transaction: commit at the end of the block, roll back on any exception.

        Raises DependencyUnavailable where PostgreSQL is unavailable, Overloaded where no connection
        became free in time, and CommitOutcomeUnknown where PostgreSQL was lost during the commit:
        the caller's idempotency key then makes a retry safe.
        """
        async with self._checkout(self.engine) as connection:
            transaction = Transaction(connection)
            with map_driver_errors():
                driver_transaction = await connection.begin()
            try:
                yield transaction
            except BaseException:
                with contextlib.suppress(Exception):  # report the first error, not this one
                    await asyncio.shield(driver_transaction.rollback())
                raise
            try:
                with map_driver_errors():
                    await driver_transaction.commit()
            except DependencyUnavailable as error:
                raise CommitOutcomeUnknown(error.name) from error
            # Before the first await after the commit, so that no cancellation can prevent it.
            transaction.run_after_commit()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Yield a connection without BEGIN and COMMIT: one round trip for each statement."""
        async with self._checkout(self._autocommit) as connection:
            yield Reader(connection)

    @asynccontextmanager
    async def read_prepared(self) -> AsyncIterator[PreparedReader]:
        """Yield a connection of the same pool for prepared statements, without BEGIN and COMMIT.

        For reads that many requests make. A connection that was checked a moment ago is not checked
        again, so that a lost one is met by the read itself: repeat it (`retry_once`).
        """
        async with self._slots.slot():
            token = trusts_recent_check.set(True)
            try:
                with _map_checkout():
                    pooled = await self.engine.raw_connection()
            finally:
                trusts_recent_check.reset(token)
            reader = PreparedReader(cast("asyncpg.Connection[Any]", pooled.driver_connection))
            try:
                yield reader
            except BaseException as error:
                if not reader.is_usable:
                    await asyncio.shield(greenlet_spawn(_discard, pooled, error))
                else:
                    await greenlet_spawn(pooled.close)
                raise
            # Without a call to PostgreSQL, so that nothing can cancel it.
            await greenlet_spawn(pooled.close)

    @asynccontextmanager
    async def _checkout(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        async with self._slots.slot():
            with _map_checkout():
                connection = await engine.connect()
            try:
                yield connection
            finally:
                # Shielded: a cancelled request must return a clean connection.
                await asyncio.shield(connection.close())

    async def ping(self) -> None:
        async with self.read() as reader:
            await reader.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        await self.engine.dispose()


@contextlib.contextmanager
def _map_checkout() -> Iterator[None]:
    try:
        with map_driver_errors():
            yield
    except sqlalchemy.exc.InvalidRequestError as error:
        # Each connection that the pool tried was lost.
        raise DependencyUnavailable(NAME) from error


def _discard(pooled: PoolProxiedConnection, error: BaseException) -> None:
    pooled.invalidate(error)
    pooled.close()


def retry_once(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Retry a single-transaction method once if PostgreSQL failed before the commit.

    Only where the request has MIN_RETRY_TIME left. A transaction that failed during its commit is
    not retried, because it may have taken effect.
    """

    @functools.wraps(method)
    async def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except (DependencyUnavailable, TransactionConflict) as error:
            if isinstance(error, CommitOutcomeUnknown) or getattr(error, "name", NAME) != NAME:
                raise
            if remaining(MIN_RETRY_TIME) < MIN_RETRY_TIME:
                raise
            _log.info(
                "transaction_retried", operation=method.__qualname__, error=type(error).__name__
            )
            await asyncio.sleep(RETRY_PAUSE)
            return await method(*args, **kwargs)

    return attempt
