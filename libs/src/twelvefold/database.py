"""PostgreSQL: the engine, units of work, and what may follow a commit.

Owns connections and transactions. Not the tables (each service's models), not migrations.
Repositories take a `Reader` or a `Transaction`, two types, so that a write on a read
connection is a type error.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVarTuple, cast, overload
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import sqlalchemy.exc
import structlog
from sqlalchemy import Executable, Result, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.selectable import TypedReturnsRows

from . import metrics
from .errors import DependencyUnavailable, Overloaded
from .settings import PostgresSettings

_log = structlog.get_logger(__name__)
Ts = TypeVarTuple("Ts")

CONNECT_TIMEOUT = 3.0  # seconds
# SQLSTATE classes that say "the server is not there for us now": connection exceptions,
# operator intervention (shutdown, terminated backend), insufficient resources.
_AWAY_CLASSES = ("08", "57P", "53")


def connect_arguments(url: str) -> tuple[URL, dict[str, Any]]:
    """Turns a platform's URL into SQLAlchemy's URL and asyncpg's arguments.

    Platforms hand out `postgres://…?sslmode=require`, which neither SQLAlchemy nor asyncpg
    takes as it is. `sslmode` keeps libpq's meaning; without one the driver prefers TLS.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    mode = query.pop("sslmode", None)
    root = query.pop("sslrootcert", None)
    bare = parts._replace(scheme="postgresql+asyncpg", query="").geturl()
    arguments: dict[str, Any] = {"timeout": CONNECT_TIMEOUT}
    if mode in ("verify-ca", "verify-full"):
        context = ssl.create_default_context(cafile=root)
        context.check_hostname = mode == "verify-full"
        arguments["ssl"] = context
    elif mode:
        arguments["ssl"] = mode
    if host := query.pop("host", None):
        arguments["host"] = host
    return make_url(bare), arguments


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
        """Raises DependencyUnavailable where PostgreSQL went away, the driver's error otherwise."""
        with _translated():
            return await self._connection.execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Any = None) -> Any:
        """The first column of the first row, or None."""
        with _translated():
            return await self._connection.scalar(statement, parameters)


class Transaction(Reader):
    """A unit of work. What must follow the commit is registered with `after_commit`."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self._after_commit: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Runs `callback` once the commit has succeeded, never otherwise.

        It must not block or await: it hands over (to a ringer, a task), and an exception in it
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

    def committed(self) -> None:
        for callback in self._after_commit:
            try:
                callback()
            except Exception:
                _log.exception("after_commit_failed")


class Database:
    """One engine per process; bounded, pre-pinged, with a statement timeout."""

    def __init__(self, settings: PostgresSettings, *, application_name: str) -> None:
        url, arguments = connect_arguments(settings.database_url.get_secret_value())
        arguments["server_settings"] = {
            "application_name": application_name,
            "statement_timeout": str(int(settings.database_statement_timeout * 1000)),
            "idle_in_transaction_session_timeout": "60000",
            "timezone": "UTC",
            "jit": "off",  # it costs more than it gains on short statements
        }
        arguments["command_timeout"] = settings.database_statement_timeout + 1
        if settings.database_pooled:
            # PgBouncer in transaction mode: prepared statements do not survive, and a startup
            # parameter that it does not know would refuse the connection.
            arguments["statement_cache_size"] = 0
            arguments["server_settings"] = {"application_name": application_name}
            url = url.update_query_dict({"prepared_statement_cache_size": "0"})
        self.engine: AsyncEngine = create_async_engine(
            url,
            connect_args=arguments,
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=settings.database_pool_timeout,
            pool_pre_ping=True,
            pool_recycle=1800,
            pool_use_lifo=True,
            hide_parameters=True,  # statement parameters hold personal data; logs must not
        )
        pool = cast("QueuePool", self.engine.pool)  # of connections; what it is made of has no say
        metrics.watch_pool("postgres", settings.database_pool_size, pool.checkedout)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begins, commits on success, rolls back on any exception (cancellation included).

        Raises DependencyUnavailable where PostgreSQL does not answer, Overloaded where no
        connection came free in time. An error during the commit itself leaves the outcome
        unknown, as with every database: the caller's idempotency key makes a retry safe.
        """
        async with self._connected(self.engine) as connection:
            unit = Transaction(connection)
            transaction = await connection.begin()
            try:
                yield unit
            except BaseException:
                with contextlib.suppress(Exception):  # the first error is the one to tell
                    await asyncio.shield(transaction.rollback())
                raise
            with _translated():
                await transaction.commit()
            # Before the connection goes back: a caller cancelled from now on stops none of it.
            unit.committed()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """A connection without BEGIN and COMMIT: one round trip a statement."""
        async with self._connected(self._autocommit) as connection:
            yield Reader(connection)

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        with metrics.waiting_for("postgres"), _translated():
            connection = await engine.connect()
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


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turns the driver's "not there" into our errors, and leaves every other error alone."""
    try:
        yield
    except sqlalchemy.exc.TimeoutError as error:
        raise Overloaded("no database connection came free in time") from error
    except Exception as error:
        if is_away(error):
            raise DependencyUnavailable("postgres") from error
        raise


def is_away(error: BaseException) -> bool:
    """Whether `error` says that PostgreSQL is not there, as against refusing a statement."""
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        return (
            error.connection_invalidated
            or isinstance(error, sqlalchemy.exc.InterfaceError)
            or state.startswith(_AWAY_CLASSES)
        )
    # asyncpg's connect errors and command timeouts pass through SQLAlchemy as they are.
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_AWAY_CLASSES)
    return isinstance(error, (OSError, TimeoutError, asyncpg.InterfaceError))
