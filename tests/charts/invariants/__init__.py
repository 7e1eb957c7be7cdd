"""What must hold of every world of objects that the charts make.

A module for each noun; each check registers itself under the sentence that its name is.
"""

from . import (
    adoption,
    ambient,
    capacity,
    conduct,
    controllers,
    httproutes,
    identities,
    lifecycle,
    mesh,
    network,
    ownership,
    peers,
    rights,
    routing,
    scaling,
    security,
    selection,
    settings,
)
from .registry import INVARIANTS, Fault, Invariant, planted

__all__ = [
    "INVARIANTS",
    "Fault",
    "Invariant",
    "adoption",
    "ambient",
    "capacity",
    "conduct",
    "controllers",
    "httproutes",
    "identities",
    "lifecycle",
    "mesh",
    "network",
    "ownership",
    "peers",
    "planted",
    "rights",
    "routing",
    "scaling",
    "security",
    "selection",
    "settings",
]
