"""Records of running processes, and termination of those that outlived their supervisor.

On Linux the kernel signals the children of a killed supervisor. On other systems, and where a
child ends slowly, the next start finds them by these records.
"""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

_START_TOLERANCE = 1.0  # seconds between two readings of one process's start time
_GRACE = 12.0  # seconds for an orderly end


def record_process(path: Path, pid: int) -> None:
    """Write pid and start time of a process to `path`, since a pid alone may be reused."""
    try:
        path.write_text(f"{pid} {psutil.Process(pid).create_time()}\n", encoding="ascii")
    except psutil.NoSuchProcess:
        return  # it has ended; the check of its readiness reports that


def find_recorded(directory: Path) -> list[psutil.Process]:
    """Return the processes that are recorded in `directory` and still run."""
    running = []
    for path in directory.glob("*.pid"):
        pid, _, start = path.read_text(encoding="ascii").partition(" ")
        try:
            process = psutil.Process(int(pid))
            same = abs(process.create_time() - float(start)) < _START_TOLERANCE
            if same and _is_running(process):
                running.append(process)
        except (psutil.NoSuchProcess, ValueError):
            continue
    return running


def terminate_orphans(directory: Path) -> int:
    """Stop the recorded processes in order, then by force, and return how many there were.

    Takes up to 24 seconds. Removes the records.
    """
    processes = find_recorded(directory)
    for process in processes:
        try:
            # SIGINT is PostgreSQL's fast shutdown; after SIGTERM it waits for its clients.
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=_GRACE)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_GRACE)
    for path in directory.glob("*.pid"):
        path.unlink(missing_ok=True)
    return len(processes)


def _is_running(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
