"""Helm, by its own program: releases are installed, upgraded, rolled back and taken away.

Owns running it: under a watchdog, with a bound on its time, and one line of what it says when it fails.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .model import ClusterError, RolloutRefused

_WATCHDOG = Path(__file__).with_name("child_watchdog.py")
_GRACE = 15.0  # seconds for Helm to write down that it was stopped


class Helm:
    """The program `helm` on one namespace of one cluster."""

    def __init__(self, namespace: str, context: str | None, *, timeout: float = 300.0) -> None:
        """`timeout` bounds what Helm waits for (hooks, deletions), in seconds. Raises Refused."""
        if shutil.which("helm") is None:
            raise RolloutRefused("helm is not installed: https://helm.sh/docs/intro/install")
        self._where = ["--namespace", namespace]
        if context:
            self._where += ["--kube-context", context]
        self._timeout = timeout

    async def values(self, release: str, revision: int | None = None) -> dict[str, Any]:
        """What was given to a release, without its chart's defaults."""
        command = ["get", "values", release, "--output", "json"]
        if revision is not None:
            command += ["--revision", str(revision)]
        told = json.loads(await self.run(*command, within=30.0))
        return dict(told or {})

    async def upgrade(
        self,
        release: str,
        chart: Path,
        values: Mapping[str, Any],
        *options: str,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Installs or upgrades; waits for hooks and not for pods."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "values.json"
            file.write_text(json.dumps(values))
            chosen = ",".join(f"{name}={value}" for name, value in (labels or {}).items())
            await self.run(
                *("upgrade", "--install", release, str(chart), "--values", str(file)),
                *("--reset-values", "--timeout", f"{self._timeout:.0f}s"),
                *(["--labels", chosen] if chosen else []),
                *options,
            )

    async def render(self, release: str, chart: Path, values: Mapping[str, Any]) -> str:
        """What an upgrade would apply; the API server is asked, nothing is changed."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "values.json"
            file.write_text(json.dumps(values))
            return await self.run(
                *("upgrade", "--install", release, str(chart), "--values", str(file)),
                *("--reset-values", "--dry-run=server", "--hide-notes"),
                within=60.0,
            )

    async def rollback(self, release: str, revision: int, *options: str) -> None:
        timeout = f"{self._timeout:.0f}s"
        await self.run("rollback", release, str(revision), "--timeout", timeout, *options)

    async def uninstall(self, release: str) -> None:
        """Waits until its objects are gone; one that is not there is no error."""
        timeout = f"{self._timeout:.0f}s"
        await self.run("uninstall", release, "--ignore-not-found", "--wait", "--timeout", timeout)

    async def test(self, release: str) -> None:
        await self.run("test", release, "--timeout", "120s", within=150.0)

    async def run(self, *arguments: str, within: float | None = None) -> str:
        """Standard output. Raises ClusterError; where it is cancelled, Helm has ended."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_WATCHDOG), "helm", *arguments, *self._where),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(within or self._timeout + 60.0):
                out, err = await _outputs(process)
        except TimeoutError:
            raise ClusterError(f"helm {arguments[0]} took too long") from None
        finally:
            if process.returncode is None:
                await _let_go(process)
        if process.returncode:
            raise ClusterError(f"helm {arguments[0]}: {_one_line(err.decode(errors='replace'))}")
        return out.decode()


async def _outputs(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """Both outputs, without closing the input, whose end the watchdog takes for the parent's."""
    out, err = await asyncio.gather(*(_all(pipe) for pipe in (process.stdout, process.stderr)))
    await process.wait()
    return out, err


async def _all(pipe: asyncio.StreamReader | None) -> bytes:
    return await pipe.read() if pipe else b""


async def _let_go(process: asyncio.subprocess.Process) -> None:
    if process.stdin:
        process.stdin.close()
    ended = asyncio.ensure_future(process.wait())
    with suppress(TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(ended), _GRACE)


def _one_line(output: str) -> str:
    """What Helm complains of, without its warnings and its name for every layer."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    began = [number for number, line in enumerate(lines) if line.startswith("Error:")]
    # A schema's findings, for one, follow in lines of their own.
    told = lines[began[0] :] if began else lines[-1:]
    return " ".join(told).removeprefix("Error: ").removeprefix("UPGRADE FAILED: ") or "failed"
