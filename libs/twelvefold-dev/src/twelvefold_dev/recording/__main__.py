"""`python -m twelvefold_dev.recording NAME SOCKET`: run an installed service with a recorder.

Does the same as `python -m twelvefold.http.server NAME`. SOCKET is where the console listens while
it records.
"""

import sys
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any, cast

from twelvefold.http.server.lifecycle import main
from twelvefold.service.process import ServiceProcess

from .recorder import Recorder


def run(name: str, socket: str) -> int:
    """Run the service until a signal ends it; return the exit code."""
    (entry,) = entry_points(group="twelvefold.services", name=name)
    service = entry.load()

    def create(settings: Any) -> ServiceProcess:
        process = service.create(settings)
        if process.public is not None:
            # The server calls it as an ASGI app and uses nothing else of FastAPI.
            process.public = cast("Any", Recorder(process.public, name, socket))
        return cast("ServiceProcess", process)

    return main(replace(service, create=create))


if __name__ == "__main__":
    raise SystemExit(run(*sys.argv[1:]))
