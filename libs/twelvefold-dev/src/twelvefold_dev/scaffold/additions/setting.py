"""Another setting of a service: its field, and its value in the service's chart."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

from twelvefold.service.definition import Service
from twelvefold.service.installed import settings_of
from twelvefold_dev.scaffold.errors import ScaffoldError
from twelvefold_dev.scaffold.workspace import Derived

from .addition import Addition
from .chart_values import add_entry
from .python_source import PythonSource
from .resource import sources_of

_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
_MAX_LENGTH = 60
_LINE = 70  # characters of a description in a line of source
_BOOLEANS = {"true": True, "false": False}


def plan_setting(
    root: Path, service: Service, name: str, *, default: str | None, description: str
) -> Addition:
    """Return a setting whose type is that of its default; without one it is an optional secret.

    Raises ScaffoldError where the service reads a setting of this name already.
    """
    name = name.upper()
    if not _NAME.fullmatch(name) or len(name) > _MAX_LENGTH:
        raise ScaffoldError(
            f"{name!r} cannot be a setting's name: two or more words of upper-case letters and "
            f"digits with _ between them, in at most {_MAX_LENGTH} characters"
        )
    if name.lower() in settings_of(service).model_fields:
        raise ScaffoldError(f"{service.name} reads {name} already")
    source = PythonSource(root, sources_of(service.name) / "settings.py")
    # The settings that a process reads whatever its features are, where there are others.
    core, every = (f"{service.name.capitalize()}{part}Settings" for part in ("Core", ""))
    source.add_field(core if source.has(core) else every, field_of(name, default, description))
    source.add_import("from pydantic import SecretStr")
    chart = Path(f"charts/{service.name}/values.yaml")
    values = (root / chart).read_text(encoding="utf-8")
    if default is None:
        values = add_entry(values, ("secret", "keys"), f"{name}: false", chart)
    else:
        shown = default.lower() if default.lower() in _BOOLEANS else default
        entry = f"{name}: {json.dumps(shown, ensure_ascii=False)}"
        values = add_entry(values, ("config",), entry, chart)
    return Addition(
        service.name,
        name,
        {source.path: source.text, chart: values},
        frozenset({Derived.PAGES, Derived.CHARTS}),
    )


def field_of(name: str, default: str | None, description: str) -> str:
    """Return the field of a setting; without a default it is an optional secret."""
    lines = textwrap.wrap(description, _LINE, drop_whitespace=False, break_on_hyphens=False)
    about = f"description={' '.join(map(repr, lines))}"
    if default is None:
        return f"    {name.lower()}: SecretStr | None = Field(None, {about})\n"
    value = _value_of(default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    bound = ", ge=0" if is_number and float(value) >= 0 else ""
    return f"    {name.lower()}: {type(value).__name__} = Field({value!r}{bound}, {about})\n"


def _value_of(text: str) -> bool | float | str:
    """Return the value that a default stands for: a boolean, an integer, a number or a text."""
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if "{{" in text:
        raise ScaffoldError("a default cannot have {{, which Helm would read: choose another")
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if value in (float("inf"), float("-inf")) or value != value:  # noqa: PLR0124 (not a number)
            break
        return value
    return text
