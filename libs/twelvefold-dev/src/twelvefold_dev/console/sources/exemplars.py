"""The exemplars of an OpenMetrics exposition: measured values with the trace of their request.

They stand behind a bucket's value, which is otherwise as in Prometheus' text format:
`x_bucket{le="0.1"} 3 # {trace_id="…"} 0.07 1700000000.0` (openmetrics.io, section Exemplars).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

MEDIA_TYPE = "application/openmetrics-text; version=1.0.0"
_MAX_EXEMPLARS = 500  # of each process; the oldest are dropped first
_MARK = " # {"
_LABEL = re.compile(r'\b([a-zA-Z_]\w*+)="([^"]*+)"')
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One measured value. `time` is in seconds since the epoch."""

    family: str
    labels: tuple[tuple[str, str], ...]
    value: float
    time: float
    trace_id: str


def split(text: str) -> tuple[str, list[Exemplar]]:
    """Return the exposition without its exemplars, and the exemplars of buckets with a trace."""
    if _MARK not in text:
        return text, []
    lines, exemplars = [], []
    for line in text.split("\n"):
        sample, mark, rest = line.rpartition(_MARK)
        if not mark:
            lines.append(line)
            continue
        lines.append(sample)
        if exemplar := _parse(sample, rest):
            exemplars.append(exemplar)
    return "\n".join(lines), exemplars


def _parse(sample: str, rest: str) -> Exemplar | None:
    name, _, labels = sample.partition("{")
    found, _, numbers = rest.partition("}")
    trace_id = dict(_LABEL.findall(found)).get("trace_id", "")
    try:
        value, time = (float(number) for number in numbers.split())
    except ValueError:  # without a time it cannot be drawn
        return None
    if not name.endswith("_bucket") or not _TRACE_ID.fullmatch(trace_id):
        return None
    pairs = tuple(pair for pair in _LABEL.findall(labels) if pair[0] != "le")
    return Exemplar(name.removesuffix("_bucket"), pairs, value, time, trace_id)


class Exemplars:
    """The newest exemplars of each process. An exposition repeats one until a newer one comes."""

    def __init__(self) -> None:
        self._exemplars: dict[str, deque[Exemplar]] = {}

    def add(self, process: str, exemplars: Collection[Exemplar]) -> None:
        """Add those that are new."""
        known = self._exemplars.setdefault(process, deque(maxlen=_MAX_EXEMPLARS))
        present = set(known)
        known.extend(one for one in exemplars if one not in present)

    def drop(self, process: str) -> None:
        """Forget a process."""
        self._exemplars.pop(process, None)

    def of(self, families: Collection[str]) -> list[dict[str, Any]]:
        """Return the exemplars of these families as JSON objects."""
        return [
            {**asdict(one), "labels": dict(one.labels), "process": process}
            for process, exemplars in self._exemplars.items()
            for one in exemplars
            if one.family in families
        ]
