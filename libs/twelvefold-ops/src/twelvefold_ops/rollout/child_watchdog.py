"""Run a command that ends when its parent does: `python child_watchdog.py COMMAND ARGUMENT...`.

Standard input closes when the parent ends, even by SIGKILL. The command then gets SIGTERM, upon
which Helm records that its operation failed, and after a timeout SIGKILL. A Helm process that
survived its parent would interfere with the next run.
The script imports the standard library only, so that it starts within milliseconds.
"""

import os
import select
import signal
import subprocess
import sys

_TERMINATION_TIMEOUT = 10.0  # seconds from SIGTERM to SIGKILL


def main(command: list[str]) -> int:
    """Return the command's exit code."""
    # A terminal sends SIGINT to the whole process group; the parent decides what to do about it.
    process = subprocess.Popen(  # noqa: S603 (the caller's command)
        command, stdin=subprocess.DEVNULL, start_new_session=True
    )
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    while process.poll() is None:
        ready, _, _ = select.select([sys.stdin, read_end], [], [], 1.0)
        if read_end in ready:
            os.read(read_end, 64)
        if sys.stdin in ready and not os.read(sys.stdin.fileno(), 64):
            process.terminate()
            try:
                process.wait(_TERMINATION_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
