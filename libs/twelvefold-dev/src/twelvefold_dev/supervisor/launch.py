"""Start of a stack in this terminal, or as the process that `detached` starts.

`python -m twelvefold_dev.supervisor.launch ROOT [SERVICE=COUNT]*` is the detached supervisor.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from twelvefold.service.installed import installed_services
from twelvefold.settings import process_environment
from twelvefold_dev.checkout import Checkout
from twelvefold_dev.environment.dotenv import FILE as DOTENV
from twelvefold_dev.environment.dotenv import read_dotenv
from twelvefold_dev.servers.server import StackError
from twelvefold_dev.terminal.logs import Show, Terminal
from twelvefold_dev.terminal.progress import Progress

from .control import Message, RunLock
from .detached import EXIT_ALREADY_RUNNING, SUPERVISOR
from .supervisor import Supervisor

Scale = Mapping[str, int]


def run_here(checkout: Checkout, scale: Scale, progress: Progress) -> None:
    """Run the stack until a signal or `down`. The caller holds the lock.

    Raises StackError where the start fails. If the outcome of `progress` is "failed", it has
    shown the reason.
    """
    terminal, visible = Terminal(), {SUPERVISOR, *installed_services()}

    def show(name: str, text: str) -> None:
        # Lines before the stack is ready, and all lines of servers, go to the files only.
        if progress.outcome == "ready" and name.partition(".")[0] in visible:
            terminal.show(name, text)

    asyncio.run(_run(checkout, scale, show, progress.take))


async def _run(
    checkout: Checkout, scale: Scale, show: Show, notify: Callable[[Message], None]
) -> None:
    own = read_dotenv(checkout.root)
    try:
        stack = Supervisor(
            checkout,
            installed_services(),
            {**own, **process_environment()},
            scale=scale,
            show=show,
            notify=notify,
            notices=[f"{DOTENV} sets {', '.join(sorted(own))}"] if own else [],
        )
    except OSError as error:
        raise StackError(f"the stack cannot be prepared: {error}") from error
    await stack.run()


def main(arguments: list[str]) -> int:
    root, *counts = arguments
    checkout = Checkout.find(Path(root))
    lock = RunLock(checkout.run)
    if not lock.acquire():
        return EXIT_ALREADY_RUNNING
    scale = {name: int(count) for name, _, count in (entry.partition("=") for entry in counts)}
    try:
        asyncio.run(_run(checkout, scale, lambda _name, _text: None, lambda _message: None))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
