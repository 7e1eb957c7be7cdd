"""Run the program `helm` to install, upgrade, roll back and uninstall releases.

Each run ends with its parent (see `child_watchdog`), has a timeout, and reports a failure in one
line. Helm 3 and Helm 4 are supported; where they differ, this module chooses the options.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from .model import ClusterError, RolloutRefused

_WATCHDOG = Path(__file__).with_name("child_watchdog.py")
_SERVER_SIDE_MAJOR = 4  # the first Helm that applies on the server by default
_GRACE = 15.0  # seconds for Helm to record that it was stopped


class Helm:
    """The program `helm` on one namespace of one cluster."""

    def __init__(self, namespace: str, context: str | None, *, timeout: float = 300.0) -> None:
        """`timeout` limits how long Helm waits for hooks and deletions, in seconds.

        Raises RolloutRefused where `helm` is not installed.
        """
        if shutil.which("helm") is None:
            raise RolloutRefused("helm is not installed: https://helm.sh/docs/intro/install")
        self._target_options = ["--namespace", namespace]
        if context:
            self._target_options += ["--kube-context", context]
        self._timeout = timeout
        self._major: int | None = None

    async def _apply_options(self, *, overwrite: bool) -> list[str]:
        """Return the options of an upgrade or a rollback for the installed version of Helm.

        Helm 3 compares objects with its own record, unless it replaces them. Helm 4 applies on the
        server, also to a release that Helm 3 installed; it refuses `--force` there, and without
        `--force-conflicts` it would fail for a field that another program has set.
        """
        if await self._read_major() >= _SERVER_SIDE_MAJOR:
            return ["--server-side=true", "--force-conflicts"]
        return ["--force"] if overwrite else []

    async def _read_major(self) -> int:
        if self._major is None:
            version = await self.run("version", "--template", "{{.Version}}", within=30.0)
            match = re.match(r"v?(\d+)\.", version.strip())
            if match is None:
                raise ClusterError(f"helm version: {version.strip()!r} is not a version")
            self._major = int(match[1])
        return self._major

    async def _build_dependencies(self, chart: Path) -> None:
        """Package the library charts of a checkout, so that the chart has their present state."""
        declared = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
        libraries = [
            str(dependency.get("repository", "")).removeprefix("file://")
            for dependency in declared.get("dependencies", [])
        ]
        # A chart that was pulled from a registry contains them, and their folders are not there.
        if libraries and all((chart / library).is_dir() for library in libraries):
            await self.run("dependency", "build", str(chart), "--skip-refresh", within=60.0)

    async def values(self, release: str, revision: int | None = None) -> dict[str, Any]:
        """Return a release's own values, without its chart's defaults."""
        command = ["get", "values", release, "--output", "json"]
        if revision is not None:
            command += ["--revision", str(revision)]
        values = json.loads(await self.run(*command, within=30.0))
        return dict(values or {})

    async def upgrade(
        self,
        release: str,
        chart: Path,
        values: Mapping[str, Any],
        *options: str,
        labels: Mapping[str, str] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Install or upgrade a release. Waits for hooks, and not for pods.

        `overwrite` discards what other programs have changed in its objects.
        """
        await self._build_dependencies(chart)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "values.json"
            file.write_text(json.dumps(values))
            label_list = ",".join(f"{name}={value}" for name, value in (labels or {}).items())
            await self.run(
                *("upgrade", "--install", release, str(chart), "--values", str(file)),
                *("--reset-values", "--timeout", f"{self._timeout:.0f}s"),
                *(["--labels", label_list] if label_list else []),
                *await self._apply_options(overwrite=overwrite),
                *options,
            )

    async def render(self, release: str, chart: Path, values: Mapping[str, Any]) -> str:
        """Return the manifests of an upgrade, validated by the API server. Changes nothing."""
        await self._build_dependencies(chart)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "values.json"
            file.write_text(json.dumps(values))
            return await self.run(
                *("upgrade", "--install", release, str(chart), "--values", str(file)),
                *("--reset-values", "--dry-run=server", "--hide-notes"),
                within=60.0,
            )

    async def rollback(self, release: str, revision: int, *, overwrite: bool = False) -> None:
        """Return a release to an earlier revision."""
        timeout = f"{self._timeout:.0f}s"
        options = await self._apply_options(overwrite=overwrite)
        await self.run("rollback", release, str(revision), "--timeout", timeout, *options)

    async def uninstall(self, release: str) -> None:
        """Remove a release, if there is one, and wait until its objects are deleted."""
        timeout = f"{self._timeout:.0f}s"
        await self.run("uninstall", release, "--ignore-not-found", "--wait", "--timeout", timeout)

    async def test(self, release: str) -> None:
        """Run the release's test pods."""
        await self.run("test", release, "--timeout", "120s", within=150.0)

    async def run(self, *arguments: str, within: float | None = None) -> str:
        """Run `helm` and return its standard output. A cancelled call returns once Helm has ended.

        Raises ClusterError where Helm fails or exceeds `within` seconds.
        """
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-I",
                "-S",
                str(_WATCHDOG),
                "helm",
                *arguments,
                *self._target_options,
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(within or self._timeout + 60.0):
                out, err = await _read_outputs(process)
        except TimeoutError:
            raise ClusterError(f"helm {arguments[0]} timed out") from None
        finally:
            if process.returncode is None:
                await _terminate(process)
        if process.returncode:
            raise ClusterError(
                f"helm {arguments[0]}: {_summarize_error(err.decode(errors='replace'))}"
            )
        return out.decode()


async def _read_outputs(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """Return stdout and stderr. Standard input stays open: closing it ends the watchdog's child."""
    out, err = await asyncio.gather(*(_read_all(pipe) for pipe in (process.stdout, process.stderr)))
    await process.wait()
    return out, err


async def _read_all(pipe: asyncio.StreamReader | None) -> bytes:
    return await pipe.read() if pipe else b""


async def _terminate(process: asyncio.subprocess.Process) -> None:
    if process.stdin:
        process.stdin.close()
    ended = asyncio.ensure_future(process.wait())
    with suppress(TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(ended), _GRACE)


def _summarize_error(output: str) -> str:
    """Return Helm's error in one line, without warnings and Helm's prefixes."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith("Error:")]
    # The errors of a schema, for example, follow in separate lines.
    error_lines = lines[starts[0] :] if starts else lines[-1:]
    return (
        " ".join(error_lines).removeprefix("Error: ").removeprefix("UPGRADE FAILED: ") or "failed"
    )
