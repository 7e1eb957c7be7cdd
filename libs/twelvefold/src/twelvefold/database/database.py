"""PostgreSQL: units of work, when they may be repeated, and what may follow a commit.

Owns connections in use and transactions. Not the tables (each service's models), not migrations.
Repositories take a `Reader` or a `Transaction`, two types, so that a write on a read
connection is a type error.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, cast, overload

import sqlalchemy.exc
import structlog
from sqlalchemy import Executable, Result, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.selectable import TypedReturnsRows

from twelvefold.context import remaining
from twelvefold.errors import DependencyUnavailable, TransactionConflict
from twelvefold.observability import metrics
from twelvefold.settings import PostgresSettings

from .client import NAME, create_engine, map_driver_errors

_log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

REPEAT_PAUSE = 0.05  # seconds
REPEAT_NEEDS = 1.0  # seconds that a request must have left for a second try


class CommitOutcomeUnknown(DependencyUnavailable):
    """PostgreSQL was lost during the commit: whether it took effect is not known."""


class Reader:
    """A connection that only reads; every statement sees what was committed before it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # As in SQLAlchemy's own signature the narrower form comes first.
    @overload
    async def execute(  # type: ignore[overload-overlap]
        self, statement: TypedReturnsRows[*Ts], parameters: Any = None
    ) -> Result[*Ts]: ...
    @overload
    async def execute(self, statement: Executable, parameters: Any = None) -> Result[Any]: ...
    async def execute(self, statement: Executable, parameters: Any = None) -> Result[Any]:
        """Raises DependencyUnavailable where PostgreSQL went away or took too long, Contended,
        the driver's error otherwise.
        """
        with map_driver_errors():
            return await self._connection.execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Any = None) -> Any:
        """The first column of the first row, or None. Raises as `execute`."""
        with map_driver_errors():
            return await self._connection.scalar(statement, parameters)


class Transaction(Reader):
    """A unit of work. What must follow the commit is registered with `after_commit`."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self._after_commit: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Runs `callback` once the commit has succeeded, never otherwise.

        It must not block or await: it hands over (to a wake-up publisher, a task), and an exception in it
        is logged, because the effect that it follows is already durable.
        """
        self._after_commit.append(callback)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What runs inside is undone alone if it raises; followers that it registered too."""
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
    """One engine per process; bounded, checked at checkout, with a statement timeout."""

    def __init__(self, settings: PostgresSettings, *, application_name: str) -> None:
        self.engine: AsyncEngine = create_engine(settings, application_name=application_name)
        pool = cast("QueuePool", self.engine.pool)
        metrics.register_pool(NAME, settings.database_pool_size, pool.checkedout)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begins, commits on success, rolls back on any exception (cancellation included).

        Raises DependencyUnavailable where PostgreSQL does not answer, Overloaded where no
        connection came free in time, and CommitUnknown where it was lost during the commit
        itself: then the outcome is unknown, as with every database, and the caller's idempotency
        key makes a retry safe.
        """
        async with self._connected(self.engine) as connection:
            unit = Transaction(connection)
            with map_driver_errors():
                transaction = await connection.begin()
            try:
                yield unit
            except BaseException:
                with contextlib.suppress(Exception):  # the first error is the one to tell
                    await asyncio.shield(transaction.rollback())
                raise
            try:
                with map_driver_errors():
                    await transaction.commit()
            except DependencyUnavailable as error:
                raise CommitOutcomeUnknown(error.name) from error
            # Before the connection goes back: a caller cancelled from now on stops none of it.
            unit.run_after_commit()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """A connection without BEGIN and COMMIT: one round trip a statement."""
        async with self._connected(self._autocommit) as connection:
            yield Reader(connection)

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            with metrics.track_wait(NAME), map_driver_errors():
                connection = await engine.connect()
        except sqlalchemy.exc.InvalidRequestError as error:
            # Every connection that was tried was lost at once.
            raise DependencyUnavailable(NAME) from error
        try:
            yield connection
        finally:
            # Shielded: a cancelled request must hand back a clean connection.
            await asyncio.shield(connection.close())

    async def ping(self) -> None:
        async with self.read() as reader:
            await reader.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        await self.engine.dispose()


def retry_once(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """For a method that is one unit of work and nothing else: it is done again, once, where
    PostgreSQL was lost or undid it before anything was committed, and the request has time left.

    One that was lost during its commit is not repeated, since it may have taken effect.
    """

    @functools.wraps(method)
    async def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except (DependencyUnavailable, TransactionConflict) as error:
            if isinstance(error, CommitOutcomeUnknown) or getattr(error, "name", NAME) != NAME:
                raise
            if remaining(REPEAT_NEEDS) < REPEAT_NEEDS:
                raise
            _log.info(
                "transaction_retried", operation=method.__qualname__, error=type(error).__name__
            )
            await asyncio.sleep(REPEAT_PAUSE)
            return await method(*args, **kwargs)

    return attempt
