"""Runs a command that ends with whoever started it: `python child_watchdog.py COMMAND ARGUMENT...`.

When standard input ends, and it does when our parent is killed in whatever way, the command gets
SIGTERM, which makes Helm write down that its work failed, and some seconds later SIGKILL. Without it,
a Helm that lives on would work against the run that comes after.
Standard library only, and no import of the package: it starts in some milliseconds.
"""

import os
import select
import signal
import subprocess
import sys

_PATIENCE = 10.0  # seconds from SIGTERM to SIGKILL


def main(command: list[str]) -> int:
    """The command's exit code."""
    # What the terminal sends to everybody (Ctrl-C) is for our parent to decide.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 (the caller's own)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    while process.poll() is None:
        ready, _, _ = select.select([sys.stdin, reading], [], [], 1.0)
        if reading in ready:
            os.read(reading, 64)
        if sys.stdin in ready and not os.read(sys.stdin.fileno(), 64):
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
