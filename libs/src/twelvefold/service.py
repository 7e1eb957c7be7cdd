"""What a service tells the suite about itself, and the start of its process.

Owns the order: settings, logs, telemetry, then the service's own composition root. Imports
nothing heavy, because the command line loads every service's `Service` to list it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .settings import ServiceSettings, SettingsError, load

if TYPE_CHECKING:
    from .process import ServiceProcess
    from .revisions import Migrations

EXIT_SETTINGS = 2


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its name, settings, composition root and schema."""

    name: str
    settings: type[ServiceSettings]
    create: Callable[[Any], ServiceProcess]
    migrations: Migrations | None = None


def main(service: Service, **chosen: str) -> int:
    """Runs `service` until a signal ends it; returns the exit code.

    `chosen` are settings that the command line gives in place of the environment's.
    Settings at fault: every problem on stderr, one a line, and exit code 2.
    """
    try:
        settings = load(service.settings, **chosen)
    except SettingsError as error:
        count = len(error.problems)
        noun = "setting" if count == 1 else "settings"
        sys.stderr.write(f"{service.name}: {count} {noun} to mend in the environment\n")
        for problem in error.problems:
            sys.stderr.write(f"  {problem}\n")
        return EXIT_SETTINGS
    from .http.serve import run
    from .logs import configure_logs
    from .telemetry import configure_telemetry

    configure_logs(settings, service=service.name)
    configure_telemetry(settings, service=service.name)
    return run(service.create(settings))
