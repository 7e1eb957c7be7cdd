"""Keeps the traces of the last runs on disk, within bounds.

Owns what is kept and what is evicted. Everything here blocks, and belongs to one thread.
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
from .query import Query
from .spans import Span
from .trace import Trace, analyse

_SUMMARY = (
    "trace_id, run, started, duration, kind, state, complete, service, method, route, path, "
    "status, services, spans, lost, culprit"
)
# What has begun a moment ago may still lack its root, which another process sends.
_PATIENCE = 3 * 10**9  # nanoseconds
_PART = 0.05  # of the bytes, evicted at a time


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """What is kept at most. A trace that has more spans than `spans` loses the later ones."""

    total_bytes: int = 67_108_864
    traces: int = 10_000
    spans: int = 2_000
    trace_bytes: int = 2_097_152
    runs: int = 5


class TraceStore:
    """Opens `path`. `run` is when this run of the stack began, in seconds since the epoch."""

    def __init__(self, path: Path, run: float, limits: RetentionLimits | None = None) -> None:
        self._limits = limits or RetentionLimits()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = open_database(path)
        self._run = self._begin(run)
        found = self._database.execute("SELECT coalesce(sum(bytes), 0), count(*) FROM traces")
        self._bytes, self._traces = found.fetchone()

    @property
    def run(self) -> int:
        return self._run

    def close(self) -> None:
        self._database.close()

    def _begin(self, started: float) -> int:
        with self._database as database:
            database.execute("INSERT OR IGNORE INTO runs (started) VALUES (?)", (started,))
            (run,) = database.execute(
                "SELECT run FROM runs WHERE started = ?", (started,)
            ).fetchone()
            oldest = run - self._limits.runs + 1
            of_old = "(SELECT seq FROM traces WHERE run < ?)"
            database.execute(f"DELETE FROM spans WHERE trace IN {of_old}", (oldest,))  # noqa: S608 (our own text)
            database.execute(f"DELETE FROM links WHERE trace IN {of_old}", (oldest,))  # noqa: S608
            database.execute("DELETE FROM traces WHERE run < ?", (oldest,))
            database.execute("DELETE FROM runs WHERE run < ?", (oldest,))
        return int(run)

    # Writing

    def add(self, spans: Iterable[Span]) -> None:
        """Adds spans to their traces, sums those up again, and evicts the oldest beyond bounds."""
        by_trace: dict[str, list[Span]] = defaultdict(list)
        for span in spans:
            by_trace[span.trace_id].append(span)
        with self._database:
            for trace_id, found in by_trace.items():
                self._add_to(trace_id, found)
            self._evict()

    def _add_to(self, trace_id: str, fresh: list[Span]) -> None:
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
        for span in fresh:
            data = json.dumps(span.to_dict(), separators=(",", ":"), ensure_ascii=False)
            data = data.encode("utf-8", "replace").decode()  # a lone surrogate is no text
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
        kept = self._spans(seq)
        if kept:
            self._sum_up(seq, analyse(kept), lost, size)

    def _sum_up(self, seq: int, trace: Trace, lost: int, size: int) -> None:
        root = trace.root
        self._database.execute(
            "UPDATE traces SET started = ?, duration = ?, kind = ?, state = ?, complete = ?, "
            "service = ?, method = ?, route = ?, path = ?, status = ?, services = ?, spans = ?, "
            "lost = ?, bytes = ?, culprit = ?, words = ? WHERE seq = ?",
            (
                root.start,
                root.duration,
                trace.kind,
                trace.state,
                trace.complete,
                root.service,
                conventions.method(root),
                conventions.route(root),
                conventions.path(root),
                conventions.status(root),
                json.dumps(trace.services),
                len(trace.nodes),
                lost,
                size,
                json.dumps(asdict(trace.culprit)) if trace.culprit else None,
                trace.words,
                seq,
            ),
        )

    def _evict(self) -> None:
        limits = self._limits
        while self._bytes > limits.total_bytes or self._traces > limits.traces:
            keep = limits.total_bytes * (1 - _PART)
            gone, freed, last = 0, 0, 0
            for seq, size in self._database.execute("SELECT seq, bytes FROM traces ORDER BY seq"):
                gone, freed, last = gone + 1, freed + size, seq
                if self._bytes - freed <= keep and self._traces - gone <= limits.traces:
                    break
            for table, column in (("spans", "trace"), ("links", "trace"), ("traces", "seq")):
                self._database.execute(f"DELETE FROM {table} WHERE {column} <= ?", (last,))  # noqa: S608 (names of ours)
            self._bytes -= freed
            self._traces -= gone

    # Reading

    def runs(self) -> list[dict[str, Any]]:
        """The kept runs, newest first."""
        return _dicts(
            self._database.execute(
                "SELECT run, started, (SELECT count(*) FROM traces AS t WHERE t.run = r.run) "
                "AS traces FROM runs AS r ORDER BY run DESC"
            )
        )

    def search(self, query: Query) -> list[dict[str, Any]]:
        """Summaries, in the order that the query asks for."""
        where, values = query.conditions(self._run)
        where.append("(complete OR started < ?)")
        values.append(time.time_ns() - _PATIENCE)
        statement = (
            f"SELECT {_SUMMARY} FROM traces WHERE {' AND '.join(where)} "  # noqa: S608 (conditions of ours, values bound)
            f"ORDER BY {query.order} DESC LIMIT ?"
        )
        found = _dicts(self._database.execute(statement, [*values, query.limit]))
        return [_summary(row) for row in found]

    def routes(self, most: int = 200) -> list[dict[str, Any]]:
        """Of this run's requests by route: count, failures, durations (ns) at p50, p95 and most."""
        by_route: dict[tuple[str, str | None, str], list[int]] = defaultdict(list)
        failed: Counter[tuple[str, str | None, str]] = Counter()
        # Grouped here: SQLite's window functions take five times as long.
        for service, method, route, duration, state in self._database.execute(
            "SELECT service, method, route, duration, state FROM traces "
            "WHERE run = ? AND kind = 'request' AND complete",
            (self._run,),
        ):
            key = (service, method, route)
            by_route[key].append(duration)
            failed[key] += state == "failed"
        found = []
        for key, durations in sorted(by_route.items(), key=lambda entry: -len(entry[1]))[:most]:
            durations.sort()
            service, method, route = key
            found.append(
                {
                    "service": service,
                    "method": method,
                    "route": route,
                    "requests": len(durations),
                    "failed": failed[key],
                    "p50": _at(durations, 0.5),
                    "p95": _at(durations, 0.95),
                    "longest": durations[-1],
                }
            )
        return found

    def troubled(self) -> int:
        """How many requests and jobs of this run went well although something within failed."""
        (found,) = self._database.execute(
            "SELECT count(*) FROM traces WHERE run = ? AND kind <> 'other' AND state = 'trouble'",
            (self._run,),
        ).fetchone()
        return int(found)

    def dots(self, most: int = 400) -> list[dict[str, Any]]:
        """The newest requests of this run, of each what a plot needs."""
        found = _dicts(
            self._database.execute(
                "SELECT trace_id, started / 1000 AS started, duration, state, method, route, status "
                "FROM traces WHERE run = ? AND kind = 'request' AND complete "
                "ORDER BY started DESC LIMIT ?",
                (self._run, most),
            )
        )
        return found[::-1]

    def trace(self, trace_id: str) -> tuple[dict[str, Any], list[Span]] | None:
        """Summary and spans; None where it is not (or no longer) kept."""
        found = _dicts(
            self._database.execute(
                f"SELECT seq, {_SUMMARY} FROM traces WHERE trace_id = ?",  # noqa: S608 (names of ours)
                (trace_id,),
            )
        )
        if not found:
            return None
        spans = self._spans(found[0]["seq"])
        return _summary(found[0]), spans

    def linked(self, trace_id: str, targets: Sequence[str]) -> list[dict[str, Any]]:
        """Traces that link to this one, and those that it links to."""
        marks = ", ".join("?" * len(targets)) or "NULL"
        return [
            _summary(row)
            for row in _dicts(
                self._database.execute(
                    f"SELECT {_SUMMARY} FROM traces WHERE seq IN "  # noqa: S608 (marks and names of ours)
                    f"(SELECT trace FROM links WHERE target = ?) OR trace_id IN ({marks}) "
                    f"ORDER BY started LIMIT 20",
                    (trace_id, *targets),
                )
            )
        ]

    def _spans(self, seq: int) -> list[Span]:
        found = self._database.execute("SELECT data FROM spans WHERE trace = ?", (seq,))
        return [Span.from_dict(json.loads(data)) for (data,) in found]


def _summary(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("seq", None)
    row["services"] = json.loads(row["services"])
    row["culprit"] = json.loads(row["culprit"]) if row["culprit"] else None
    row["started"] //= 1_000  # microseconds, which fit a browser's numbers
    return row


def _at(ordered: Sequence[int], quantile: float) -> int:
    return ordered[math.ceil(quantile * len(ordered)) - 1]


def _dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
