"""Helm ends with its parent and within its timeout, and reports a failure in one line.

A script named helm replaces the real program, which tests/cluster runs.
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


# Starts a command with a pipe as its standard input, and waits.
_PARENT = """
import subprocess, sys, time
subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
time.sleep(300)
"""


async def wait_until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.02)


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script on the PATH named helm, whose content the test writes."""
    program = tmp_path / "helm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return program


def write_script(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")


async def test_helms_output_is_parsed_and_every_call_names_the_namespace(helm: Path) -> None:
    write_script(helm, 'echo "{\\"arguments\\": \\"$*\\"}"')

    values = await Helm("shop", "staging").values("api", 3)

    assert values == {
        "arguments": "get values api --output json --revision 3"
        " --namespace shop --kube-context staging"
    }


async def test_a_failure_is_one_line_without_helms_prefixes(helm: Path) -> None:
    write_script(
        helm, 'echo "W1125 a warning" >&2; echo "Error: UPGRADE FAILED: no matches" >&2; exit 1'
    )

    with pytest.raises(ClusterError) as failed:
        await Helm("shop", None).uninstall("api")

    assert failed.value.detail == "helm uninstall: no matches"


async def test_the_lines_below_helms_error_are_reported_too(helm: Path) -> None:
    write_script(
        helm,
        """printf 'a warning\\nError: wrong values:\\napi:\\n- unknown field\\n' >&2; exit 1""",
    )

    with pytest.raises(ClusterError) as failed:
        await Helm("shop", None).values("api", 3)

    assert failed.value.detail == "helm get: wrong values: api: - unknown field"


async def test_a_helm_that_exceeds_its_timeout_is_ended(helm: Path, tmp_path: Path) -> None:
    write_script(helm, f"echo $$ > {tmp_path}/pid; exec sleep 300")

    with pytest.raises(ClusterError, match="timed out"):
        await Helm("shop", None).run("upgrade", within=1.0)

    await wait_until(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))


async def test_a_cancelled_run_ends_helm_by_sigterm_before_it_returns(
    helm: Path, tmp_path: Path
) -> None:
    write_script(
        helm,
        f"trap 'touch {tmp_path}/terminated; exit 1' TERM; touch {tmp_path}/began; "
        "while :; do sleep 0.05; done",
    )
    run = asyncio.create_task(Helm("shop", None).run("upgrade"))
    await wait_until((tmp_path / "began").exists)

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert (tmp_path / "terminated").exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A chart with a library chart in a folder beside it."""
    for name in ("service", "library"):
        (tmp_path / name).mkdir()
    library = "{name: library, version: 0.1.0, repository: file://../library}"
    (tmp_path / "service/Chart.yaml").write_text(f"name: service\ndependencies: [{library}]\n")
    return tmp_path / "service"


def record_calls(program: Path, version: str) -> Path:
    """A Helm of that version that notes each of its other calls on a line of the file returned."""
    calls = program.parent / "calls"
    write_script(
        program,
        f'[ "$1" = version ] && printf {version} && exit; echo "$*" | sed "s/ --namespace.*//" '
        f">> {calls}",
    )
    return calls


@pytest.mark.parametrize(
    ("version", "plain", "overwriting"),
    [
        ("v3.22.0", "", " --force"),
        (
            "v4.3.1",
            " --server-side=true --force-conflicts",
            " --server-side=true --force-conflicts",
        ),
    ],
)
async def test_a_rollback_has_the_options_of_the_installed_helm(
    helm: Path, version: str, plain: str, overwriting: str
) -> None:
    calls = record_calls(helm, version)
    client = Helm("shop", None)

    await client.rollback("api", 3)
    await client.rollback("api-routing", 4, overwrite=True)

    assert calls.read_text().splitlines() == [
        f"rollback api 3 --timeout 300s{plain}",
        f"rollback api-routing 4 --timeout 300s{overwriting}",
    ]


async def test_an_upgrade_from_a_checkout_packages_the_present_libraries_first(
    helm: Path, checkout: Path
) -> None:
    calls = record_calls(helm, "v4.3.1")

    await Helm("shop", None).upgrade("api", checkout, {}, overwrite=True)

    build, upgrade = calls.read_text().splitlines()
    assert build == f"dependency build {checkout} --skip-refresh"
    assert upgrade.startswith(f"upgrade --install api {checkout} --values ")
    assert upgrade.endswith(" --server-side=true --force-conflicts")


async def test_a_chart_from_a_registry_has_its_libraries_in_it(helm: Path, checkout: Path) -> None:
    calls = record_calls(helm, "v3.22.0")
    (checkout.parent / "library").rmdir()

    await Helm("shop", None).upgrade("api", checkout, {})

    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["upgrade"]


async def test_a_helm_without_a_version_is_reported(helm: Path) -> None:
    record_calls(helm, "nothing")

    with pytest.raises(ClusterError, match="'nothing' is not a version"):
        await Helm("shop", None).rollback("api", 3)


async def test_a_missing_helm_is_refused_with_a_link_to_its_installation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(RolloutRefused, match="helm is not installed"):
        Helm("shop", None)


async def test_the_watchdogs_command_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec sleep 300"
    parent = subprocess.Popen(  # noqa: S603, ASYNC220 (this test's own command)
        [
            sys.executable,
            "-c",
            _PARENT,
            *(sys.executable, str(WATCHDOG), "sh", "-c", script),
        ]
    )
    await wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    pid = int((tmp_path / "pid").read_text())

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    await wait_until(lambda: not psutil.pid_exists(pid))


def test_the_watchdog_passes_on_the_exit_code_and_the_output() -> None:
    command = [sys.executable, str(WATCHDOG), "sh", "-c", "echo out; echo err >&2; exit 7"]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        code = process.wait(10)
        assert process.stdout is not None
        assert process.stderr is not None
        assert (code, process.stdout.read(), process.stderr.read()) == (7, b"out\n", b"err\n")
