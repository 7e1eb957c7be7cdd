"""Start of a supervisor in its own session, and progress of a supervisor that is starting.

Imports little, since every `up` loads it before the supervisor's own imports.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from twelvefold_dev.checkout import Checkout
from twelvefold_dev.servers.server import StackError

from .control import END_TIMEOUT, ask

if TYPE_CHECKING:
    from twelvefold_dev.terminal.progress import Progress

START_TIMEOUT = 180.0  # seconds, cold and on a slow machine
EXIT_ALREADY_RUNNING = 3  # exit code of a supervisor that finds another one
SUPERVISOR = "twelvefold"
_POLL_INTERVAL = 0.05  # seconds
_MAX_TAIL_BYTES = 2_000


def run_detached(checkout: Checkout, scale: Mapping[str, int], progress: Progress) -> None:
    """Start a supervisor in its own session and show its progress until the stack is ready.

    Raises StackError where the start fails; no process remains then.
    """
    output = checkout.logs / f"{SUPERVISOR}.out"
    with output.open("wb") as file:
        supervisor = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "twelvefold_dev.supervisor.launch",
                str(checkout.root),
                *(f"{name}={count}" for name, count in scale.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=checkout.root,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        code = supervisor.poll()
        if code is not None and code != EXIT_ALREADY_RUNNING:
            tail = output.read_bytes()[-_MAX_TAIL_BYTES:].decode(errors="replace").strip()
            raise StackError(f"the supervisor ended with code {code}: {tail or f'see {output}'}")
        try:
            follow(checkout, progress)
        except StackError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_INTERVAL)  # it does not listen yet
        else:
            break
    if progress.outcome == "failed":
        supervisor.wait(END_TIMEOUT)


def follow(checkout: Checkout, progress: Progress) -> None:
    """Show the start of the running supervisor, from its first step to its outcome.

    Raises StackError where the supervisor does not respond or was stopped before the outcome.
    """
    for message in ask(checkout.run, START_TIMEOUT, command="follow"):
        progress.take(message)
    if progress.outcome is None:
        raise StackError("the stack was stopped before it was ready")
