"""The services that are installed here, found by the entry point `twelvefold.services`."""

from importlib.metadata import entry_points

from twelvefold.settings.command_line import USAGE_ERROR, fail

from .definition import Service


def installed_services() -> dict[str, Service]:
    """Every service installed here, in the order of their migrations."""
    found = [entry.load() for entry in entry_points(group="twelvefold.services")]
    found.sort(key=lambda service: (service.migrations is None, _order(service), service.name))
    return {service.name: service for service in found}


def _order(service: Service) -> int:
    return service.migrations.order if service.migrations else 0


def service_named(name: str | None) -> Service:
    """The named service, or the only one installed (as in a service's image)."""
    installed = installed_services()
    if name is None and len(installed) == 1:
        return next(iter(installed.values()))
    if name is None or name not in installed:
        fail(f"name one of the installed services: {', '.join(sorted(installed))}", USAGE_ERROR)
    return installed[name]
