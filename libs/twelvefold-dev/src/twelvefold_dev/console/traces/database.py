"""The SQLite file of the traces and its schema.

The file is a cache: one of another version, or one that cannot be read, is replaced.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

_VERSION = 2  # of the schema
_SCHEMA = """
CREATE TABLE runs (run INTEGER PRIMARY KEY, started REAL NOT NULL UNIQUE);
CREATE TABLE traces (
  seq INTEGER PRIMARY KEY, trace_id TEXT NOT NULL UNIQUE, run INTEGER NOT NULL,
  started INTEGER NOT NULL DEFAULT 0, duration INTEGER NOT NULL DEFAULT 0,
  kind TEXT NOT NULL DEFAULT '', state TEXT NOT NULL DEFAULT '',
  complete INTEGER NOT NULL DEFAULT 0, service TEXT NOT NULL DEFAULT '', method TEXT,
  route TEXT NOT NULL DEFAULT '', matched INTEGER NOT NULL DEFAULT 1, path TEXT, status INTEGER,
  services TEXT NOT NULL DEFAULT '[]', spans INTEGER NOT NULL DEFAULT 0,
  lost INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, culprit TEXT,
  words TEXT NOT NULL DEFAULT ''
);
CREATE INDEX traces_by_time ON traces (run, started);
CREATE TABLE spans (
  trace INTEGER NOT NULL, span_id TEXT NOT NULL, data TEXT NOT NULL,
  PRIMARY KEY (trace, span_id)
) WITHOUT ROWID;
CREATE TABLE links (target TEXT NOT NULL, trace INTEGER NOT NULL, PRIMARY KEY (target, trace))
WITHOUT ROWID;
"""
_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -2048;
PRAGMA journal_size_limit = 4194304;
PRAGMA temp_store = MEMORY;
"""


class _VersionMismatch(Exception):
    """The file has another version of the schema."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file, or replace it where it is corrupt or has another version of the schema."""
    try:
        return _connect(path)
    except (sqlite3.DatabaseError, _VersionMismatch):
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            with suppress(FileNotFoundError):
                path.with_name(name).unlink()
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    # One thread at a time uses the connection, and another one may close it.
    database = sqlite3.connect(path, timeout=5, check_same_thread=False)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        database.executescript(_PRAGMAS)
        if version == 0:
            database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            raise _VersionMismatch
    except BaseException:
        database.close()
        raise
    path.chmod(0o600)
    return database
