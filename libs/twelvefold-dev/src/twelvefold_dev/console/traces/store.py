"""Storage of the traces of the last runs on disk, within bounds.

Owns retention and eviction. All methods block and must be called in one thread at a time.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import spans as conventions
from .database import open_database
from .query import Position, Query
from .spans import Span
from .trace import Trace, analyse

_SUMMARY = (
    "trace_id, run, started, duration, kind, state, complete, service, method, route, path, "
    "status, services, spans, lost, culprit"
)
# Nanoseconds for which a trace without its root is not listed: another process may still send it.
_ROOT_TIMEOUT = 3 * 10**9
_EVICTED_SHARE = 0.05  # of the bytes, evicted at a time


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """Bounds of the store. `spans` and `trace_bytes` limit each trace, which drops later spans."""

    total_bytes: int = 67_108_864
    traces: int = 10_000
    spans: int = 2_000
    trace_bytes: int = 2_097_152
    runs: int = 5


class TraceStore:
    """The stored traces in `path`. `run` is the start of this run in seconds since the epoch."""

    def __init__(self, path: Path, run: float, limits: RetentionLimits | None = None) -> None:
        self._limits = limits or RetentionLimits()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = open_database(path)
        self._run = self._begin(run)
        totals = self._database.execute("SELECT coalesce(sum(bytes), 0), count(*) FROM traces")
        self._bytes, self._traces = totals.fetchone()

    @property
    def run(self) -> int:
        """The number of this run."""
        return self._run

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _begin(self, started: float) -> int:
        with self._database as database:
            database.execute("INSERT OR IGNORE INTO runs (started) VALUES (?)", (started,))
            (run,) = database.execute(
                "SELECT run FROM runs WHERE started = ?", (started,)
            ).fetchone()
            oldest = run - self._limits.runs + 1
            of_old = "(SELECT seq FROM traces WHERE run < ?)"
            for table in ("spans", "links"):
                statement = f"DELETE FROM {table} WHERE trace IN {of_old}"  # noqa: S608 (constants)
                database.execute(statement, (oldest,))
            database.execute("DELETE FROM traces WHERE run < ?", (oldest,))
            database.execute("DELETE FROM runs WHERE run < ?", (oldest,))
        return int(run)

    # Writing

    def add(self, spans: Iterable[Span]) -> None:
        """Add spans to their traces, update the summaries, and evict the oldest beyond bounds."""
        by_trace: dict[str, list[Span]] = defaultdict(list)
        for span in spans:
            by_trace[span.trace_id].append(span)
        with self._database:
            for trace_id, trace_spans in by_trace.items():
                self._add_to(trace_id, trace_spans)
            self._evict()

    def _add_to(self, trace_id: str, spans: list[Span]) -> None:
        database, limits = self._database, self._limits
        row = database.execute(
            "SELECT seq, spans, lost, bytes FROM traces WHERE trace_id = ?", (trace_id,)
        ).fetchone()
        if row is None:
            seq = database.execute(
                "INSERT INTO traces (trace_id, run) VALUES (?, ?)", (trace_id, self._run)
            ).lastrowid
            row = (seq, 0, 0, 0)
            self._traces += 1
        seq, count, lost, size = row
        before = size
        for span in spans:
            data = json.dumps(span.to_dict(), separators=(",", ":"), ensure_ascii=False)
            data = data.encode("utf-8", "replace").decode()  # replaces lone surrogates
            if count >= limits.spans or size + len(data) > limits.trace_bytes:
                lost += 1
                continue
            added = database.execute(
                "INSERT OR IGNORE INTO spans VALUES (?, ?, ?)", (seq, span.span_id, data)
            ).rowcount
            count += added
            size += len(data) * added
            for link in span.links:
                if link.trace_id != trace_id:
                    database.execute(
                        "INSERT OR IGNORE INTO links VALUES (?, ?)", (link.trace_id, seq)
                    )
        self._bytes += size - before
        stored = self._read_spans(seq)
        if stored:
            self._update_summary(seq, analyse(stored), lost, size)

    def _update_summary(self, seq: int, trace: Trace, lost: int, size: int) -> None:
        root = trace.root
        self._database.execute(
            "UPDATE traces SET started = ?, duration = ?, kind = ?, state = ?, complete = ?, "
            "service = ?, method = ?, route = ?, matched = ?, path = ?, status = ?, services = ?, "
            "spans = ?, lost = ?, bytes = ?, culprit = ?, words = ? WHERE seq = ?",
            (
                root.start,
                root.duration,
                trace.kind,
                trace.state,
                trace.complete,
                root.service,
                conventions.method(root),
                conventions.route(root),
                conventions.is_matched(root),
                conventions.path(root),
                conventions.status(root),
                json.dumps(trace.services),
                len(trace.nodes),
                lost,
                size,
                json.dumps(asdict(trace.root_cause)) if trace.root_cause else None,
                trace.search_text,
                seq,
            ),
        )

    def _evict(self) -> None:
        limits = self._limits
        while self._bytes > limits.total_bytes or self._traces > limits.traces:
            target = limits.total_bytes * (1 - _EVICTED_SHARE)
            evicted, freed, last = 0, 0, 0
            for seq, size in self._database.execute("SELECT seq, bytes FROM traces ORDER BY seq"):
                evicted, freed, last = evicted + 1, freed + size, seq
                if self._bytes - freed <= target and self._traces - evicted <= limits.traces:
                    break
            for table, column in (("spans", "trace"), ("links", "trace"), ("traces", "seq")):
                statement = f"DELETE FROM {table} WHERE {column} <= ?"  # noqa: S608 (constants)
                self._database.execute(statement, (last,))
            self._bytes -= freed
            self._traces -= evicted

    # Reading

    def runs(self) -> list[dict[str, Any]]:
        """Return the stored runs, newest first."""
        return _dicts(
            self._database.execute(
                "SELECT run, started, (SELECT count(*) FROM traces AS t WHERE t.run = r.run) "
                "AS traces FROM runs AS r ORDER BY run DESC"
            )
        )

    def search(self, query: Query) -> list[dict[str, Any]]:
        """Return the summaries of the matching traces in the order of the query.

        Each has its `position`, at which another query begins or after which it continues.
        """
        where, values = query.conditions(self._run)
        where.append("(complete OR started < ?)")
        values.append(time.time_ns() - _ROOT_TIMEOUT)
        statement = (
            f"SELECT seq, {_SUMMARY} FROM traces "  # noqa: S608 (constants)
            f"WHERE {' AND '.join(where)} ORDER BY {query.order} DESC, seq DESC LIMIT ?"
        )
        rows = _dicts(self._database.execute(statement, [*values, query.limit]))
        positions = [str(Position(row[query.order], row["seq"])) for row in rows]
        return [
            {**_summary(row), "position": position}
            for row, position in zip(rows, positions, strict=True)
        ]

    def routes(self, limit: int = 200) -> list[dict[str, Any]]:
        """Return the routes of this run by number of requests, with durations in nanoseconds.

        Requests that no route matched are one entry, whose route is None.
        """
        by_route: dict[tuple[str, str | None, str | None], list[int]] = defaultdict(list)
        failed: Counter[tuple[str, str | None, str | None]] = Counter()
        # Grouped in Python, since SQLite's window functions take five times as long.
        for service, method, route, duration, state in self._database.execute(
            "SELECT service, iif(matched, method, NULL), iif(matched, route, NULL), duration, "
            "state FROM traces "
            "WHERE run = ? AND kind = 'request' AND complete",
            (self._run,),
        ):
            key = (service, method, route)
            by_route[key].append(duration)
            failed[key] += state == "failed"
        routes = []
        for key, durations in sorted(by_route.items(), key=lambda entry: -len(entry[1]))[:limit]:
            durations.sort()
            service, method, route = key
            routes.append(
                {
                    "service": service,
                    "method": method,
                    "route": route,
                    "requests": len(durations),
                    "failed": failed[key],
                    "p50": _quantile(durations, 0.5),
                    "p95": _quantile(durations, 0.95),
                    "longest": durations[-1],
                }
            )
        return routes

    def totals(self) -> dict[str, int]:
        """Return how many requests and jobs of this run are stored.

        `failed` are those that failed, `troubled` the others with a failed span.
        """
        return _dicts(
            self._database.execute(
                "SELECT count(*) FILTER (WHERE kind = 'request') AS requests, "
                "count(*) FILTER (WHERE kind = 'job') AS jobs, "
                "count(*) FILTER (WHERE state = 'failed') AS failed, "
                "count(*) FILTER (WHERE state = 'trouble') AS troubled "
                "FROM traces WHERE run = ? AND kind <> 'other' AND (complete OR started < ?)",
                (self._run, time.time_ns() - _ROOT_TIMEOUT),
            )
        )[0]

    def dots(self, limit: int = 400) -> list[dict[str, Any]]:
        """Return the newest requests of this run with the fields that the plot needs."""
        newest = _dicts(
            self._database.execute(
                "SELECT trace_id, started / 1000 AS started, duration, state, method, route, "
                "status FROM traces WHERE run = ? AND kind = 'request' AND complete "
                "ORDER BY started DESC LIMIT ?",
                (self._run, limit),
            )
        )
        return newest[::-1]

    def trace(self, trace_id: str) -> tuple[dict[str, Any], list[Span]] | None:
        """Return summary and spans, or None where the trace is not stored."""
        rows = _dicts(
            self._database.execute(
                f"SELECT seq, {_SUMMARY} FROM traces WHERE trace_id = ?",  # noqa: S608 (constants)
                (trace_id,),
            )
        )
        if not rows:
            return None
        spans = self._read_spans(rows[0]["seq"])
        return _summary(rows[0]), spans

    def find_linked(self, trace_id: str, targets: Sequence[str]) -> list[dict[str, Any]]:
        """Return the traces that link to this one and those with the ids `targets`, at most 20."""
        marks = ", ".join("?" * len(targets)) or "NULL"
        return [
            _summary(row)
            for row in _dicts(
                self._database.execute(
                    f"SELECT {_SUMMARY} FROM traces WHERE seq IN "  # noqa: S608 (constants)
                    f"(SELECT trace FROM links WHERE target = ?) OR trace_id IN ({marks}) "
                    f"ORDER BY started LIMIT 20",
                    (trace_id, *targets),
                )
            )
        ]

    def _read_spans(self, seq: int) -> list[Span]:
        rows = self._database.execute("SELECT data FROM spans WHERE trace = ?", (seq,))
        return [Span.from_dict(json.loads(data)) for (data,) in rows]


def _summary(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("seq", None)
    row["services"] = json.loads(row["services"])
    row["culprit"] = json.loads(row["culprit"]) if row["culprit"] else None
    row["started"] //= 1_000  # microseconds, which JavaScript represents exactly
    return row


def _quantile(ordered: Sequence[int], quantile: float) -> int:
    return ordered[math.ceil(quantile * len(ordered)) - 1]


def _dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
