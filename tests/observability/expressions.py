"""What an expression of PromQL asks for: metrics, labels and their exact values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import promql_parser

# Grafana puts these in; any duration and any value will do for a parser.
_VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$service": "api"}


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric as it is asked for. `exact` are labels that must have one value."""

    metric: str
    labels: frozenset[str]
    exact: dict[str, str] = field(hash=False, compare=False)


def selectors(expression: str) -> Iterator[Selector]:
    """Every selector of an expression. Raises ValueError where it is no PromQL."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    yield from _in(promql_parser.parse(expression))


def _in(node: Any) -> Iterator[Selector]:
    if isinstance(node, promql_parser.VectorSelector):
        matchers = node.matchers.matchers
        exact = {one.name: one.value for one in matchers if one.op == promql_parser.MatchOp.Equal}
        yield Selector(node.name or "", frozenset(one.name for one in matchers), exact)
        return
    for name in ("vector_selector", "expr", "lhs", "rhs"):
        if (inner := getattr(node, name, None)) is not None:
            yield from _in(inner)
    for inner in getattr(node, "args", None) or ():
        yield from _in(inner)


def grouped_by(expression: str) -> set[str]:
    """The labels that an expression groups by."""
    found = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression)
    return {label.strip() for group in found for label in group.split(",") if label.strip()}
