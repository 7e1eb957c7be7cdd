"""Entry point of the development image: a service that runs again at SIGHUP.

`skaffold dev` sends it once it has changed files in the container. A service that ended, as after
a mistake in an edit, waits for the next change instead of taking its container, and the edits in
it, away. Every other command of `twelvefold` runs as it is. Needs the standard library alone.
"""

import os
import signal
import subprocess
import sys

COMMAND = "twelvefold"
_WATCHED = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def run_again_at_sighup(command: list[str]) -> int:
    """Runs `command` until SIGTERM or SIGINT; returns its exit code then."""
    # Blocked signals wait for us, also those that the first process of a container would ignore.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    while True:
        child = subprocess.Popen(command, preexec_fn=_unblock)  # noqa: PLW1509, S603 (no threads; our command)
        while (number := signal.sigwait(_WATCHED)) == signal.SIGCHLD:
            if (ended := child.poll()) is not None:
                print(f"ended with code {ended}; waiting for a change", flush=True)
        child.send_signal(signal.SIGTERM)
        code = child.wait()
        if number != signal.SIGHUP:
            return code
        print("changed; running again", flush=True)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)


if __name__ == "__main__":
    arguments = [COMMAND, *sys.argv[1:]]
    if sys.argv[1:2] == ["run"]:
        sys.exit(run_again_at_sighup(arguments))
    os.execvp(COMMAND, arguments)  # noqa: S606 (our own command)
