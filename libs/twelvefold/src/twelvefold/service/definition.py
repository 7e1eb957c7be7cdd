"""The definition of a service, by which the suite finds and starts it.

Imports no large package, because the command line loads each service's `Service` to list it.
`http.server.lifecycle.main` starts its process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twelvefold.settings import ServiceSettings

if TYPE_CHECKING:
    from twelvefold.database.revisions import Migrations

    from .process import ServiceProcess


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its name, settings, composition root (`create`) and schema."""

    name: str
    settings: type[ServiceSettings]
    create: Callable[[Any], ServiceProcess]
    migrations: Migrations | None = None
