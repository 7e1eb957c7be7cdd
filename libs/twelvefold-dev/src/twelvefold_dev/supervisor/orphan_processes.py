"""Notes of running processes, and the end of those that outlived their supervisor.

On Linux the kernel ends the children of a killed supervisor. Elsewhere, and where one takes its
time, the next start finds them here.
"""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

_SAME_START = 1.0  # seconds between two readings of one process's start
_GRACE = 12.0  # seconds for an orderly end, that under way included


def note(path: Path, pid: int) -> None:
    """Remembers which process this is: a pid alone may be another's later."""
    try:
        path.write_text(f"{pid} {psutil.Process(pid).create_time()}\n", encoding="ascii")
    except psutil.NoSuchProcess:
        return  # it has ended already; its start will say so


def noted(directory: Path) -> list[psutil.Process]:
    """The processes that were noted in `directory` and still run."""
    found = []
    for path in directory.glob("*.pid"):
        pid, _, start = path.read_text(encoding="ascii").partition(" ")
        try:
            process = psutil.Process(int(pid))
            if abs(process.create_time() - float(start)) < _SAME_START and _runs(process):
                found.append(process)
        except (psutil.NoSuchProcess, ValueError):
            continue
    return found


def terminate_orphans(directory: Path) -> int:
    """Ends them in order, then by force; removes the notes. Returns how many there were."""
    processes = noted(directory)
    for process in processes:
        try:
            # PostgreSQL takes SIGINT for a fast shutdown; with SIGTERM it waits for its clients.
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


def _runs(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
