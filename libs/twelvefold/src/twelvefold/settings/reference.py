"""The table of every setting, generated from the settings classes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .base import EnvironmentSettings

S = TypeVar("S", bound=EnvironmentSettings)


def example(settings_class: type[S]) -> S:
    """Return settings that pass every check of `testing`, for generating documents only.

    Raises ValueError naming a required setting that has no example.
    """
    values: dict[str, Any] = {"environment": "testing"}
    for name, field in settings_class.model_fields.items():
        if field.examples:
            values[name] = field.examples[0]
        elif field.is_required():
            raise ValueError(f"{name.upper()} has no example")
    return settings_class(**values)


def markdown(by_service: Mapping[str, type[EnvironmentSettings]]) -> str:
    """Return one row a variable, with the services that read it; required ones come first."""
    readers: dict[tuple[bool, str, str, str], list[str]] = {}
    for service, settings_class in by_service.items():
        for name, field in settings_class.model_fields.items():
            # A service may change the default of a shared setting, which then has its own row.
            row = (not field.is_required(), name.upper(), _default(field), _describe(field))
            readers.setdefault(row, []).append(service)
    rows = ["| variable | default | read by | description |", "|---|---|---|---|"]
    for row in sorted(readers):
        _, name, default, description = row
        names = "all" if len(readers[row]) == len(by_service) else ", ".join(sorted(readers[row]))
        rows.append(f"| `{name}` | {default} | {names} | {description} |")
    return "\n".join(rows)


def _describe(field: FieldInfo) -> str:
    parts = (field.description or "", _choices(field))
    return " ".join(part for part in parts if part).replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is PydanticUndefined or value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`"


def _choices(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) is Literal:
        return "One of " + ", ".join(f"`{choice}`" for choice in get_args(annotation)) + "."
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "One of " + ", ".join(f"`{member.value}`" for member in annotation) + "."
    return ""
