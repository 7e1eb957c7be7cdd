"""The installed services, registered by the entry point `twelvefold.services`."""

from importlib.metadata import entry_points

from twelvefold.settings import ServiceSettings
from twelvefold.settings.features import combine

from .definition import SHARED_QUEUE, Service
from .job_handlers import JobHandlers


def installed_services() -> dict[str, Service]:
    """Return the installed services by name, in the order of their migrations."""
    services = [entry.load() for entry in entry_points(group="twelvefold.services")]
    services.sort(key=lambda service: (service.migrations is None, _order(service), service.name))
    return {service.name: service for service in services}


def handlers_of(service: Service) -> list[JobHandlers]:
    """Return the job handlers that the process of `service` runs, its own first.

    A worker of the shared queue also runs those of all installed services without a queue.
    """
    if service.queue is None:
        return []
    others = (
        [
            other
            for other in installed_services().values()
            if other.queue is None and other.name != service.name
        ]
        if service.queue == SHARED_QUEUE
        else []
    )
    return [handlers for owner in (service, *others) for handlers in owner.jobs]


def settings_of(service: Service) -> type[ServiceSettings]:
    """Return the settings class of a service's process, with the groups of all its handlers."""
    return combine(service.settings, [handlers.settings for handlers in handlers_of(service)])


def _order(service: Service) -> int:
    return service.migrations.order if service.migrations else 0


def find_service(name: str | None) -> Service:
    """Return the named service, or the only one installed (as in a service's image).

    Exits with 2 and one line on stderr where there is none.
    """
    from twelvefold.settings.command_line import USAGE_ERROR, fail

    installed = installed_services()
    if name is None and len(installed) == 1:
        return next(iter(installed.values()))
    if name is None or name not in installed:
        fail(f"name one of the installed services: {', '.join(sorted(installed))}", USAGE_ERROR)
    return installed[name]
