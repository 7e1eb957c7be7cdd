"""The templates of this package. Placeholders are `<<name>>`, statements `<% if x %>`.

Helm, skaffold and workflows have braces of their own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("twelvefold_dev.scaffold"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (source code and YAML, not HTML)
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
    )


def render(template: str, **values: Any) -> str:
    """Return a template with its values. Raises jinja2.UndefinedError where one is missing."""
    return _environment().get_template(f"{template}.jinja").render(**values)
