"""The installed services, registered by the entry point `twelvefold.services`."""

from importlib.metadata import entry_points

from twelvefold.settings.command_line import USAGE_ERROR, fail

from .definition import Service


def installed_services() -> dict[str, Service]:
    """Return the installed services by name, in the order of their migrations."""
    services = [entry.load() for entry in entry_points(group="twelvefold.services")]
    services.sort(key=lambda service: (service.migrations is None, _order(service), service.name))
    return {service.name: service for service in services}


def _order(service: Service) -> int:
    return service.migrations.order if service.migrations else 0


def find_service(name: str | None) -> Service:
    """Return the named service, or the only one installed (as in a service's image).

    Exits with 2 and one line on stderr where there is none.
    """
    installed = installed_services()
    if name is None and len(installed) == 1:
        return next(iter(installed.values()))
    if name is None or name not in installed:
        fail(f"name one of the installed services: {', '.join(sorted(installed))}", USAGE_ERROR)
    return installed[name]
