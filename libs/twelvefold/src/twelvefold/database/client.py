"""Connections to PostgreSQL and the meaning of its errors.

Owns URLs, the check of a pooled connection before its use, and the mapping of the driver's errors.
`database` owns transactions.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import asyncpg
import sqlalchemy.exc
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from twelvefold.context import remaining
from twelvefold.errors import DependencyUnavailable, Overloaded, TransactionConflict
from twelvefold.settings import PostgresSettings
from twelvefold.settings.database_url import parse_database_url

from .tls import create_tls_context

NAME = "postgres"
CONNECT_TIMEOUT = 3.0  # seconds
CHECK_INTERVAL = 0.5  # seconds for which a read trusts the last check of its connection
_STEP = 250  # milliseconds, by which the timeout of statements is rounded down
_CHECKED = "twelvefold_checked"  # in the pool's record: time of the check, and the timeout in ms
# Whether the present checkout is for a read that is repeated where the connection was lost.
trusts_recent_check: ContextVar[bool] = ContextVar("trusts_recent_check", default=False)
# SQLSTATE classes of an unavailable server: connection exception, operator intervention (shutdown,
# terminated backend), insufficient resources; and query_canceled, for a statement's timeout.
_UNAVAILABLE_STATES = ("08", "57P", "53", "57014")
# Deadlock and serialization failure: nothing was committed, and a retry will probably succeed.
_CONFLICT_STATES = ("40P01", "40001")


def connect_arguments(url: str) -> tuple[URL, dict[str, Any]]:
    """Convert a platform's URL to SQLAlchemy's URL and asyncpg's arguments.

    Platforms provide `postgres://…?sslmode=require`, which neither SQLAlchemy nor asyncpg accepts
    unchanged. The parameters keep libpq's meaning; without `sslmode` the driver prefers TLS.
    Raises ValueError for what is not supported; the settings check the same earlier.
    """
    parsed = parse_database_url(url)
    parameters = parsed.parameters
    bare = parsed.parts._replace(scheme="postgresql+asyncpg", query="").geturl()
    timeout = float(parameters.get("connect_timeout", CONNECT_TIMEOUT))
    arguments: dict[str, Any] = {"timeout": timeout}
    if parsed.is_over_tls and parsed.has_certificates:
        arguments["ssl"] = create_tls_context(parsed)
    elif parsed.ssl_mode:
        arguments["ssl"] = parsed.ssl_mode
    if host := parameters.get("host"):
        arguments["host"] = host
    if attributes := parameters.get("target_session_attrs"):
        arguments["target_session_attrs"] = attributes
    if options := parameters.get("options"):
        arguments["server_settings"] = {"options": options}
    return make_url(bare), arguments


def create_engine(settings: PostgresSettings, *, application_name: str) -> AsyncEngine:
    """Return an engine with a bounded pool, whose connections are checked before each use."""
    url, arguments = connect_arguments(settings.database_url.get_secret_value())
    limit = settings.database_statement_timeout
    url_settings = arguments.get("server_settings", {})
    arguments["server_settings"] = {
        **url_settings,
        "application_name": application_name,
        "statement_timeout": str(int(limit * 1000)),
        "idle_in_transaction_session_timeout": "60000",
        "timezone": "UTC",
        "jit": "off",  # it costs more than it gains on short statements
    }
    arguments["command_timeout"] = limit + 1
    if settings.database_pooled:
        # PgBouncer in transaction mode loses prepared statements, and refuses a connection with a
        # startup parameter that it does not know.
        arguments["statement_cache_size"] = 0
        arguments["server_settings"] = {**url_settings, "application_name": application_name}
        url = url.update_query_dict({"prepared_statement_cache_size": "0"})
    engine = create_async_engine(
        url,
        connect_args=arguments,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout,
        pool_recycle=1800,
        pool_use_lifo=True,
        hide_parameters=True,  # statement parameters hold personal data; logs must not
    )
    _check_at_checkout(engine, limit, pooled=settings.database_pooled)
    return engine


def _check_at_checkout(engine: AsyncEngine, limit: float, *, pooled: bool) -> None:
    """Detect a lost connection before its use, and set the timeout of its statements.

    Both in one round trip; the timeout is `limit` seconds or what the current request has left.
    SQLAlchemy's own pre-ping takes three round trips with asyncpg and sets no timeout. PgBouncer
    shares sessions between clients, so there only the driver's own timeout applies. A read omits
    the round trip where the last one was a moment ago and its timeout fits.
    """

    @event.listens_for(engine.sync_engine, "checkout")
    def check(connection: Any, record: Any, _proxy: Any) -> None:
        milliseconds = max(1, int(remaining(limit) * 1000))
        if trusts_recent_check.get() and _is_fresh(connection, record, milliseconds):
            return
        if milliseconds > 2 * _STEP:
            milliseconds -= milliseconds % _STEP
        statement = "SELECT 1" if pooled else f"SET statement_timeout = {milliseconds}"
        try:
            connection.run_async(lambda driver: driver.execute(statement, timeout=CONNECT_TIMEOUT))
        except Exception as error:
            # The pool replaces this connection and all that are as old, which were lost with it.
            raise sqlalchemy.exc.InvalidatePoolError from error
        record.info[_CHECKED] = time.monotonic(), milliseconds


def _is_fresh(connection: Any, record: Any, milliseconds: int) -> bool:
    """Return whether the connection was checked a moment ago, with a timeout that fits."""
    checked_at, timeout = record.info.get(_CHECKED, (-math.inf, 0))
    return (
        time.monotonic() - checked_at < CHECK_INTERVAL
        and milliseconds / 2 <= timeout <= milliseconds
        and not connection.driver_connection.is_closed()
    )


@contextlib.contextmanager
def map_driver_errors() -> Iterator[None]:
    """Map the driver's errors about availability and conflicts; pass all others unchanged.

    Raises Overloaded for a full pool, DependencyUnavailable and TransactionConflict.
    """
    try:
        yield
    except sqlalchemy.exc.TimeoutError as error:
        raise Overloaded("The database is busy. Try again.") from error
    except Exception as error:
        if is_unavailable(error):
            raise DependencyUnavailable(NAME) from error
        if _state(error) in _CONFLICT_STATES:
            raise TransactionConflict(
                "A concurrent request caused a conflict. Try again.", retry_after=1
            ) from error
        raise


def is_unavailable(error: BaseException) -> bool:
    """Return whether `error` means that PostgreSQL is unavailable, not that it refused."""
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return (
            error.connection_invalidated
            or isinstance(error, sqlalchemy.exc.InterfaceError)
            or _state(error).startswith(_UNAVAILABLE_STATES)
        )
    # What SQLAlchemy's adapter raises where it is called without an engine.
    if isinstance(error, AsyncAdapt_asyncpg_dbapi.Error):
        cause = error.__cause__
        return isinstance(error, AsyncAdapt_asyncpg_dbapi.InterfaceError) or (
            cause is not None and is_unavailable(cause)
        )
    # SQLAlchemy passes asyncpg's connect errors and command timeouts unchanged.
    if isinstance(error, asyncpg.PostgresError):
        return _state(error).startswith(_UNAVAILABLE_STATES)
    # The last one is a connection that was lost in the middle of a response (SQLAlchemy #13241).
    lost = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return isinstance(error, lost)


def _state(error: BaseException) -> str:
    """Return the SQLSTATE, or an empty string."""
    driver_error = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return getattr(driver_error, "sqlstate", None) or ""
