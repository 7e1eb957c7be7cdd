"""What a service tells the suite about itself.

Imports nothing heavy, because the command line loads every service's `Service` to list it. The
start of its process is `http.server.lifecycle.main`.
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
    """One service: its name, settings, composition root and schema."""

    name: str
    settings: type[ServiceSettings]
    create: Callable[[Any], ServiceProcess]
    migrations: Migrations | None = None
