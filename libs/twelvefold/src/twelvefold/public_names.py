"""Public names of a package, imported at their first use.

A use case that needs a record, and a command that needs an enum, so load no driver.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .extras import explain_missing


def import_on_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of `package` (PEP 562). `homes` has the module of each name.

    It raises AttributeError for another name, and MissingExtra where the driver of a name is not
    installed.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(f".{homes[name]}", package), name)
        except ImportError as error:
            missing = explain_missing(error, f"{package}.{name}")
            if missing is None:
                raise
            raise missing from error
        setattr(sys.modules[package], name, value)
        return value

    return find
