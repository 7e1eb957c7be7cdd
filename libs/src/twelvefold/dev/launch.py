"""Brings a stack up: in this terminal, or detached with this terminal following its start.

`python -m twelvefold.dev.launch ROOT [SERVICE=COUNT …]` is the detached supervisor.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from twelvefold.cli import services
from twelvefold.settings import process_environment

from .checkout import Checkout
from .control import END_TIMEOUT, Message, RunLock, ask
from .logs import Show, Terminal
from .progress import Progress
from .servers import StackError
from .stack import SUPERVISOR, Stack

START_TIMEOUT = 180.0  # seconds, cold and on a slow machine
_EXIT_TAKEN = 3  # of a detached supervisor that finds another one
_POLL = 0.05
_TAIL_BYTES = 2_000
Scale = Mapping[str, int]


def run_here(checkout: Checkout, scale: Scale, progress: Progress) -> None:
    """Runs the stack until a signal or `down`; the caller holds the lock.

    Raises StackError where the start fails; `progress` has shown why, if its outcome says so.
    """
    terminal, ours = Terminal(), {SUPERVISOR, *services()}

    def show(name: str, text: str) -> None:
        # Until all is ready, and for the servers always, lines go to the files only.
        if progress.outcome == "ready" and name.partition(".")[0] in ours:
            terminal.show(name, text)

    asyncio.run(_run(checkout, scale, show, progress.take))


async def _run(
    checkout: Checkout, scale: Scale, show: Show, notify: Callable[[Message], None]
) -> None:
    try:
        stack = Stack(
            checkout, services(), process_environment(), scale=scale, show=show, notify=notify
        )
    except OSError as error:
        raise StackError(f"the stack cannot be laid out: {error}") from error
    await stack.run()


def run_detached(checkout: Checkout, scale: Scale, progress: Progress) -> None:
    """Starts a supervisor of its own session and follows it until all is ready.

    Raises StackError where it is not; nothing runs then.
    """
    output = checkout.logs / f"{SUPERVISOR}.out"
    with output.open("wb") as file:
        supervisor = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "twelvefold.dev.launch",
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
        if code is not None and code != _EXIT_TAKEN:
            said = output.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
            raise StackError(f"the supervisor ended with code {code}: {said or f'see {output}'}")
        try:
            follow(checkout, progress)
        except StackError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL)  # it does not listen yet
        else:
            break
    if progress.outcome == "failed":
        supervisor.wait(END_TIMEOUT)


def follow(checkout: Checkout, progress: Progress) -> None:
    """Shows the start of the supervisor that runs, from its first step to its outcome."""
    for message in ask(checkout.run, START_TIMEOUT, command="follow"):
        progress.take(message)
    if progress.outcome is None:
        raise StackError("the stack was ended before it was ready")


def main(arguments: list[str]) -> int:
    root, *counts = arguments
    checkout = Checkout(Path(root))
    lock = RunLock(checkout.run)
    if not lock.acquire():
        return _EXIT_TAKEN
    scale = {name: int(count) for name, _, count in (entry.partition("=") for entry in counts)}
    try:
        asyncio.run(_run(checkout, scale, lambda _name, _text: None, lambda _message: None))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
