"""The development image's entry point, with a stand-in for `twelvefold` on its PATH."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

RELOAD = Path(__file__).parents[3] / "services/reload.py"
SERVICE = """\
#!{python}
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(pathlib.Path("{code}").read_text())))
print("serving", *sys.argv[1:], pathlib.Path("{edited}").read_text(), flush=True)
if sys.argv[1:2] != ["run"]:
    sys.exit(3)
1 / int(pathlib.Path("{edited}").read_text())
signal.pause()
"""


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """What an edit changes; with 0 in it the service ends at its start."""
    path = tmp_path / "edited"
    path.write_text("1")
    (tmp_path / "code").write_text("0")
    service = tmp_path / "twelvefold"
    service.write_text(SERVICE.format(python=sys.executable, edited=path, code=tmp_path / "code"))
    service.chmod(0o755)
    return path


@pytest.fixture
def running(edited) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, RELOAD, "run", "api"],
        env={"PATH": str(edited.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=10)


def line_of(process: subprocess.Popen[str]) -> str:
    output: IO[str] | None = process.stdout
    assert output is not None
    return output.readline().strip()


def test_the_service_runs_again_with_what_changed(running, edited) -> None:
    assert line_of(running) == "serving run api 1"
    edited.write_text("2")
    running.send_signal(signal.SIGHUP)
    assert line_of(running) == "changed; running again"
    assert line_of(running) == "serving run api 2"


def test_a_service_that_fails_waits_for_the_next_change(running, edited) -> None:
    assert line_of(running) == "serving run api 1"
    edited.write_text("0")
    running.send_signal(signal.SIGHUP)
    assert line_of(running) == "changed; running again"
    assert line_of(running) == "serving run api 0"
    assert line_of(running) == "ended with code 1; waiting for a change"
    assert running.poll() is None

    edited.write_text("3")
    running.send_signal(signal.SIGHUP)
    assert line_of(running) == "changed; running again"
    assert line_of(running) == "serving run api 3"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_and_as_the_service_did(running, edited, number) -> None:
    assert line_of(running) == "serving run api 1"
    (edited.parent / "code").write_text("7")
    running.send_signal(number)
    assert running.wait(timeout=10) == 7


def test_other_commands_run_as_they_are(edited) -> None:
    done = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, RELOAD, "db", "migrate"],
        env={"PATH": str(edited.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert (done.returncode, done.stdout) == (3, "serving db migrate 1\n")
