"""Parsing of PromQL expressions: their metrics, labels and exact values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import promql_parser

# Grafana replaces these; for the parser any duration and any value will do.
_VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$service": "api"}


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector of one metric. `exact` holds the labels that must have one value."""

    metric: str
    labels: frozenset[str]
    exact: dict[str, str] = field(hash=False, compare=False)


def selectors(expression: str) -> Iterator[Selector]:
    """Yield every selector of an expression. Raises ValueError unless it is PromQL."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    yield from _find_selectors(promql_parser.parse(expression))


def _find_selectors(node: Any) -> Iterator[Selector]:
    if isinstance(node, promql_parser.VectorSelector):
        matchers = node.matchers.matchers
        exact = {one.name: one.value for one in matchers if one.op == promql_parser.MatchOp.Equal}
        yield Selector(node.name or "", frozenset(one.name for one in matchers), exact)
        return
    for name in ("vector_selector", "expr", "lhs", "rhs"):
        if (inner := getattr(node, name, None)) is not None:
            yield from _find_selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from _find_selectors(inner)


def grouped_by(expression: str) -> set[str]:
    """Return the labels by which an expression groups."""
    groups = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression)
    return {label.strip() for group in groups for label in group.split(",") if label.strip()}
