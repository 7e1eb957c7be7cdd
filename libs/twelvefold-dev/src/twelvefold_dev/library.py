"""The public API of the package twelvefold, for its reference page and for the check of releases.

Public is what `__all__` of these modules names. Everything else may change without notice.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from typing import Any

MODULES = (
    "service",
    "settings",
    "http",
    "database",
    "jobs",
    "cache",
    "storage",
    "mail",
    "security",
    "resilience",
    "observability",
    "errors",
    "contracts.jobs",
    "identifiers",
    "context",
    "extras",
)
# By module, public name and member ("" for the name itself): the parameters, each with whether a
# call must give it. A member without parameters is an attribute or a member of an enum.
Parameters = dict[str, str]
Api = dict[str, dict[str, dict[str, Parameters]]]
_REQUIRED, _OPTIONAL = "required", "optional"


def describe() -> Api:
    """Return every public name with its members and their parameters."""
    return {
        f"twelvefold.{module}": {
            name: dict(_members(value)) for name, value in _public(f"twelvefold.{module}")
        }
        for module in MODULES
    }


def find_breaks(released: Api, present: Api) -> list[str]:
    """Return what a user of `released` misses or calls differently in `present`."""
    breaks = []
    for module, names in released.items():
        for name, members in names.items():
            found = present.get(module, {}).get(name)
            if found is None:
                breaks.append(f"{module}.{name} is gone")
                continue
            for member, parameters in members.items():
                path = f"{module}.{name}{'.' if member else ''}{member}"
                if member not in found:
                    breaks.append(f"{path} is gone")
                else:
                    breaks += _find_changes(path, parameters, found[member])
    return breaks


def _find_changes(path: str, released: Parameters, present: Parameters) -> list[str]:
    gone = [f"{path}: parameter {name} is gone" for name in released if name not in present]
    new = [
        f"{path}: parameter {name} is required"
        for name, need in present.items()
        if need == _REQUIRED and released.get(name) != _REQUIRED
    ]
    # A caller may give by position what comes before the first keyword-only parameter.
    before = [name for name in released if not name.startswith("*")]
    after = [name for name in present if not name.startswith("*")][: len(before)]
    moved = [] if gone or before == after else [f"{path}: the order of parameters changed"]
    return [*gone, *new, *moved]


def markdown() -> str:
    """Return the tables of the reference page."""
    parts = []
    for module in MODULES:
        imported = import_module(f"twelvefold.{module}")
        summary = _first_sentence(imported)
        rows = [
            f"| `{name}` | {_first_sentence(value)} |"
            for name, value in _public(f"twelvefold.{module}")
        ]
        head = f"## twelvefold.{module}\n{summary}\n\n| name | meaning |\n|---|---|\n"
        parts.append(head + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _public(module: str) -> list[tuple[str, Any]]:
    imported = import_module(module)
    return [(name, getattr(imported, name)) for name in sorted(imported.__all__)]


def _members(value: Any) -> Iterator[tuple[str, Parameters]]:
    if not inspect.isclass(value):
        yield "", _parameters(value) if callable(value) else {}
        return
    if issubclass(value, Enum):
        yield from (("", {}), *((member.name, {}) for member in value))
        return
    yield "", _parameters(value)
    for name, member in sorted(_own_members(value).items()):
        is_method = callable(member) and not isinstance(member, property)
        yield name, _parameters(member) if is_method else {}


def _own_members(value: type[Any]) -> dict[str, Any]:
    """Return the public members that this package defines, inherited ones included."""
    found: dict[str, Any] = {}
    for base in reversed(value.__mro__):
        if base.__module__.startswith("twelvefold"):
            found |= {
                name: getattr(member, "__func__", member)
                for name, member in vars(base).items()
                if not name.startswith("_") and name != "model_config"
            }
    return found


def _parameters(value: Any) -> Parameters:
    """Return the parameters of a call, with an asterisk before those given by name only."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return {}
    return {
        f"{'*' if one.kind is one.KEYWORD_ONLY else ''}{name}": _OPTIONAL
        if one.default is not one.empty or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        else _REQUIRED
        for name, one in signature.parameters.items()
        if name not in ("self", "cls")
    }


def _first_sentence(value: Any) -> str:
    own = getattr(value, "__doc__", None)
    if not own or (inspect.isclass(value) and "__doc__" not in vars(value)):
        return _fields(value)
    text = " ".join(inspect.cleandoc(own).partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[.;:])\s", text, maxsplit=1)[0]
    return sentence.rstrip(".;:").replace("|", "\\|")


def _fields(value: Any) -> str:
    """Return the variables of a group of settings."""
    own = getattr(value, "__annotations__", {})
    return ", ".join(f"`{name.upper()}`" for name in own if name != "prefixes")
