"""How we connect to PostgreSQL, and what its errors mean.

Owns URLs, the check of a pooled connection before its use, and the translation of the driver's
errors into ours. Units of work are `database`'s.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import asyncpg
import sqlalchemy.exc
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from twelvefold.context import remaining
from twelvefold.errors import DependencyUnavailable, Overloaded, TransactionConflict
from twelvefold.settings import PostgresSettings
from twelvefold.settings.database_url import SYSTEM_ROOTS, DatabaseUrlParts, parse_database_url

NAME = "postgres"
CONNECT_TIMEOUT = 3.0  # seconds
# SQLSTATE classes that say "the server is not there for us now": connection exceptions,
# operator intervention (shutdown, terminated backend), insufficient resources. And the one that
# says that a statement took longer than it may.
_UNAVAILABLE_STATES = ("08", "57P", "53", "57014")
# Deadlock, serialization failure: nothing was done, and it is likely to work the next time.
_VICTIM = ("40P01", "40001")


def connect_arguments(url: str) -> tuple[URL, dict[str, Any]]:
    """Turns a platform's URL into SQLAlchemy's URL and asyncpg's arguments.

    Platforms hand out `postgres://…?sslmode=require`, which neither SQLAlchemy nor asyncpg
    takes as it is. The parameters keep libpq's meaning; without `sslmode` the driver prefers TLS.
    Raises ValueError naming what is not supported, which the settings have told before.
    """
    found = parse_database_url(url)
    parameters = found.parameters
    bare = found.parts._replace(scheme="postgresql+asyncpg", query="").geturl()
    timeout = float(parameters.get("connect_timeout", CONNECT_TIMEOUT))
    arguments: dict[str, Any] = {"timeout": timeout}
    if found.is_over_tls and found.names_certificates:
        arguments["ssl"] = _tls_context(found)
    elif found.ssl_mode:
        arguments["ssl"] = found.ssl_mode
    if host := parameters.get("host"):
        arguments["host"] = host
    if attributes := parameters.get("target_session_attrs"):
        arguments["target_session_attrs"] = attributes
    if options := parameters.get("options"):
        arguments["server_settings"] = {"options": options}
    return make_url(bare), arguments


def _tls_context(url: DatabaseUrlParts) -> ssl.SSLContext:
    """As libpq verifies: `require` does so only where roots are named (as verify-ca)."""
    root = url.parameters.get("sslrootcert")
    context = ssl.create_default_context(cafile=None if root == SYSTEM_ROOTS else root)
    context.check_hostname = url.ssl_mode == "verify-full"
    if url.ssl_mode == "require" and root is None:
        context.verify_mode = ssl.CERT_NONE
    if certificate := url.parameters.get("sslcert"):
        parameters = url.parameters
        context.load_cert_chain(
            certificate, parameters.get("sslkey"), parameters.get("sslpassword", "")
        )
    return context


def create_engine(settings: PostgresSettings, *, application_name: str) -> AsyncEngine:
    """A bounded pool of connections, each checked before it is used."""
    url, arguments = connect_arguments(settings.database_url.get_secret_value())
    limit = settings.database_statement_timeout
    of_url = arguments.get("server_settings", {})
    arguments["server_settings"] = {
        **of_url,
        "application_name": application_name,
        "statement_timeout": str(int(limit * 1000)),
        "idle_in_transaction_session_timeout": "60000",
        "timezone": "UTC",
        "jit": "off",  # it costs more than it gains on short statements
    }
    arguments["command_timeout"] = limit + 1
    if settings.database_pooled:
        # PgBouncer in transaction mode: prepared statements do not survive, and a startup
        # parameter that it does not know would refuse the connection.
        arguments["statement_cache_size"] = 0
        arguments["server_settings"] = {**of_url, "application_name": application_name}
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
    """One round trip that finds a lost connection before its use, and that tells the server how
    long statements may take: `limit` seconds, or what the request in hand has left.

    SQLAlchemy's own pre-ping takes three round trips with asyncpg and tells nothing. Behind
    PgBouncer a session is not ours to set: there the driver's own timeout has to do.
    """

    @event.listens_for(engine.sync_engine, "checkout")
    def check(connection: Any, _record: Any, _proxy: Any) -> None:
        milliseconds = max(1, int(remaining(limit) * 1000))
        statement = "SELECT 1" if pooled else f"SET statement_timeout = {milliseconds}"
        try:
            connection.run_async(lambda driver: driver.execute(statement, timeout=CONNECT_TIMEOUT))
        except Exception as error:
            # The pool replaces it, and every other one that is as old: they were lost together.
            raise sqlalchemy.exc.InvalidatePoolError from error


@contextlib.contextmanager
def map_driver_errors() -> Iterator[None]:
    """Turns the driver's "not there" into our errors, and leaves every other error alone."""
    try:
        yield
    except sqlalchemy.exc.TimeoutError as error:
        raise Overloaded("The database is busy. Try again.") from error
    except Exception as error:
        if is_unavailable(error):
            raise DependencyUnavailable(NAME) from error
        if _state(error) in _VICTIM:
            raise TransactionConflict(
                "A concurrent request caused a conflict. Try again.", retry_after=1
            ) from error
        raise


def is_unavailable(error: BaseException) -> bool:
    """Whether `error` says that PostgreSQL is not there, as against refusing a statement."""
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return (
            error.connection_invalidated
            or isinstance(error, sqlalchemy.exc.InterfaceError)
            or _state(error).startswith(_UNAVAILABLE_STATES)
        )
    # asyncpg's connect errors and command timeouts pass through SQLAlchemy as they are.
    if isinstance(error, asyncpg.PostgresError):
        return _state(error).startswith(_UNAVAILABLE_STATES)
    return isinstance(error, (OSError, TimeoutError, asyncpg.InterfaceError))


def _state(error: BaseException) -> str:
    """The SQLSTATE, or nothing."""
    found = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return getattr(found, "sqlstate", None) or ""
