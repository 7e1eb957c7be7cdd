"""A service as a process: its definition, its backing services and its health.

Owns the order of opening and closing. Sockets and signals belong to `http.server`.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .backing import BackingServices as BackingServices
    from .definition import Listener as Listener
    from .definition import Service as Service
    from .health import Health as Health
    from .installed import find_service as find_service
    from .installed import handlers_of as handlers_of
    from .installed import installed_services as installed_services
    from .job_handlers import JobHandlers as JobHandlers
    from .job_handlers import JobHost as JobHost
    from .job_handlers import register_handlers as register_handlers
    from .process import ServiceProcess as ServiceProcess

_HOMES = {
    "BackingServices": "backing",
    "Health": "health",
    "JobHandlers": "job_handlers",
    "JobHost": "job_handlers",
    "Listener": "definition",
    "Service": "definition",
    "ServiceProcess": "process",
    "find_service": "installed",
    "handlers_of": "installed",
    "installed_services": "installed",
    "register_handlers": "job_handlers",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
