"""Helm runs under a watchdog: it ends with its parent, within its time, and reports one line.

A program of that name stands in for it: what the real one does is for tests/cluster.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from twelvefold_ops.rollout import child_watchdog
from twelvefold_ops.rollout.helm import Helm
from twelvefold_ops.rollout.model import ClusterError, RolloutRefused

WATCHDOG = Path(child_watchdog.__file__)


# Starts a command with a pipe to it, and does nothing more.
_HOLDER = """
import subprocess, sys, time
subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
time.sleep(300)
"""


async def wait_until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not seen():
            await asyncio.sleep(0.02)


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is found as helm; the test writes what it does."""
    program = tmp_path / "helm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return program


def does(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")


async def test_what_helm_writes_is_read_and_the_namespace_is_always_said(helm: Path) -> None:
    does(helm, 'echo "{\\"said\\": \\"$*\\"}"')

    found = await Helm("shop", "staging").values("api", 3)

    assert found == {
        "said": "get values api --output json --revision 3 --namespace shop --kube-context staging"
    }


async def test_a_failure_is_one_line_without_helms_layers(helm: Path) -> None:
    does(helm, 'echo "W1125 a warning" >&2; echo "Error: UPGRADE FAILED: no matches" >&2; exit 1')

    with pytest.raises(ClusterError) as failed:
        await Helm("shop", None).uninstall("api")

    assert failed.value.detail == "helm uninstall: no matches"


async def test_what_helm_lists_below_its_complaint_is_told_too(helm: Path) -> None:
    does(
        helm,
        """printf 'walk.go: a link\\nError: wrong values:\\napi:\\n- no unheard\\n' >&2; exit 1""",
    )

    with pytest.raises(ClusterError) as failed:
        await Helm("shop", None).values("api", 3)

    assert failed.value.detail == "helm get: wrong values: api: - no unheard"


async def test_a_helm_that_hangs_is_ended(helm: Path, tmp_path: Path) -> None:
    does(helm, f"echo $$ > {tmp_path}/pid; exec sleep 300")

    with pytest.raises(ClusterError, match="took too long"):
        await Helm("shop", None).run("upgrade", within=1.0)

    await wait_until(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))


async def test_a_cancelled_run_ends_helm_by_sigterm_before_it_returns(
    helm: Path, tmp_path: Path
) -> None:
    does(
        helm,
        f"trap 'echo told > {tmp_path}/told; exit 1' TERM; touch {tmp_path}/began; "
        "while :; do sleep 0.05; done",
    )
    run = asyncio.create_task(Helm("shop", None).run("upgrade"))
    await wait_until((tmp_path / "began").exists)

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert (tmp_path / "told").exists()


async def test_no_helm_is_refused_with_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(RolloutRefused, match="helm is not installed"):
        Helm("shop", None)


async def test_a_watched_command_ends_with_the_parent_that_was_killed(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec sleep 300"
    holder = subprocess.Popen(  # noqa: S603, ASYNC220 (this test's own, as below; it takes no time)
        [
            sys.executable,
            "-c",
            _HOLDER,
            *(sys.executable, str(WATCHDOG), "sh", "-c", script),
        ]
    )
    await wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    led = int((tmp_path / "pid").read_text())

    holder.send_signal(signal.SIGKILL)
    holder.wait()

    await wait_until(lambda: not psutil.pid_exists(led))


def test_the_watchdog_passes_on_exit_code_and_output() -> None:
    command = [sys.executable, str(WATCHDOG), "sh", "-c", "echo out; echo err >&2; exit 7"]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        code = process.wait(10)
        assert process.stdout is not None
        assert process.stderr is not None
        assert (code, process.stdout.read(), process.stderr.read()) == (7, b"out\n", b"err\n")
