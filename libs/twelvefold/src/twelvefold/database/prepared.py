"""Prepared statements on the driver's connection, for what many requests do.

SQLAlchemy's Core builds, looks up and converts at each execution, which costs more CPU time than
the driver itself. A `PreparedStatement` is compiled once, and asyncpg prepares it once for each
connection. Types keep the meaning that their columns give them. `database` opens connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import asyncpg
from opentelemetry.trace import SpanKind
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.expression import ReturnsRows

from twelvefold.observability.spans import span

from .client import map_driver_errors

_DIALECT = dialect()  # type: ignore[no-untyped-call]
Convert = Callable[[Any], Any]


class Row(Protocol):
    """A row of a result by column name."""

    def keys(self) -> Iterable[str]: ...

    def __getitem__(self, column: str, /) -> Any: ...


class _Compiled(NamedTuple):
    sql: str
    parameters: tuple[tuple[str, Convert | None], ...]  # in their order
    known: dict[str, Any]  # values of parameters that the statement has
    results: dict[str, Convert]  # columns whose values the driver does not decode itself


class PreparedStatement:
    """A statement whose parameters are `bindparam`s; those with a value need not be given."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement

    @cached_property
    def _compiled(self) -> _Compiled:
        compiled: Any = self._statement.compile(dialect=_DIALECT)
        parameters = (
            (name, compiled.binds[name].type.dialect_impl(_DIALECT).bind_processor(_DIALECT))
            for name in compiled.positiontup or ()
        )
        columns = (
            self._statement.exported_columns if isinstance(self._statement, ReturnsRows) else ()
        )
        results = {
            column.name: column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
            for column in columns
        }
        return _Compiled(
            str(compiled),
            tuple(parameters),
            {name: value for name, value in compiled.params.items() if value is not None},
            {name: convert for name, convert in results.items() if convert is not None},
        )

    def call(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the SQL and its arguments. Raises KeyError for a missing one."""
        sql, parameters, known, _ = self._compiled
        call: list[Any] = [sql]
        for name, convert in parameters:
            value = values[name] if name in values else known[name]
            call.append(value if convert is None else convert(value))
        return call

    def convert(self, row: asyncpg.Record) -> Row:
        """Return the row with the types of its columns."""
        results = self._compiled.results
        if not results:
            return row
        return {**row, **{name: convert(row[name]) for name, convert in results.items()}}


class PreparedReader:
    """A read-only use of a connection; every statement sees all earlier commits."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self._is_interrupted = False

    @property
    def is_usable(self) -> bool:
        """Whether the connection is open, and each of its statements ended with a response.

        A cancelled statement, or one that met a lost connection, may leave part of its response.
        """
        return not (self._is_interrupted or self._connection.is_closed())

    async def fetch(self, statement: PreparedStatement, **values: Any) -> Sequence[Row]:
        """Return all rows.

        Raises DependencyUnavailable where PostgreSQL is lost or too slow, TransactionConflict for
        a deadlock or a serialization failure, and otherwise the driver's error.
        """
        call = statement.call(values)
        with self._watch(call[0]):
            rows = await self._connection.fetch(*call)
        return [statement.convert(row) for row in rows]

    async def fetch_row(self, statement: PreparedStatement, **values: Any) -> Row | None:
        """Return the first row, or None. Raises as `fetch`."""
        call = statement.call(values)
        with self._watch(call[0]):
            row = await self._connection.fetchrow(*call)
        return None if row is None else statement.convert(row)

    async def execute(self, statement: PreparedStatement, **values: Any) -> int:
        """Return how many rows a statement without a result changed. Raises as `fetch`."""
        call = statement.call(values)
        with self._watch(call[0]):
            tag = await self._connection.execute(*call)
        return int(tag.rpartition(" ")[2])  # `INSERT 0 1`

    @contextmanager
    def _watch(self, sql: str) -> Iterator[None]:
        self._is_interrupted = True
        # `observability.export` names it by operation and table, as those of SQLAlchemy.
        attributes = {"db.system.name": "postgresql", "db.query.text": sql}
        with map_driver_errors(), span("postgresql", attributes, kind=SpanKind.CLIENT):
            try:
                yield
            except asyncpg.PostgresError:
                self._is_interrupted = False
                raise
        self._is_interrupted = False
