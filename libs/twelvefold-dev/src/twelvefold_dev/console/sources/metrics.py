"""The values of all metrics of the services over the last minutes.

Converts samples: counters to rates, histograms to rates and quantiles; gauges stay unchanged.
Bounded by numbers of series and of points; the oldest point is dropped first.
"""

from __future__ import annotations

import logging
import math
import time
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from .exemplars import Exemplars, split

POINTS = 400  # of each series
_MAX_SERIES = 1_500
_RETENTION = 900.0  # seconds for which a process that ended is kept
_QUANTILES = (0.5, 0.95)
_log = logging.getLogger(__name__)
Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Family:
    """One metric of one process: its samples by name with suffix and by labels."""

    name: str
    type: str = "untyped"
    help: str = ""
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)


def parse(text: str) -> dict[str, Family]:
    """Return the families of an exposition by name, counters with their suffix `_total`.

    Reads Prometheus' text format, and OpenMetrics without exemplars.

    For text in another format, return the families before the error.
    """
    families: dict[str, Family] = {}
    try:
        for metric in text_string_to_metric_families(text):
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            family = families.setdefault(name, Family(name, metric.type, metric.documentation))
            for sample in metric.samples:
                family.samples[sample.name, tuple(sample.labels.items())] = sample.value
    except ValueError as error:
        _log.warning("metrics are not in the text format of Prometheus: %s", error)
    return families


@dataclass(frozen=True, slots=True)
class Key:
    """One line of a chart. `what` is value, rate, p50 or p95."""

    family: str
    labels: Labels
    what: str


class _History:
    """The history of one process: `times` and, of the same length, a column for each key."""

    def __init__(self) -> None:
        self.times = array("d")
        self.columns: dict[Key, array[float]] = {}
        self.latest: dict[str, Family] = {}

    def add(self, at: float, values: Mapping[Key, float], max_new: int) -> None:
        """Add a point with at most `max_new` new columns. A missing value is nan."""
        known = len(self.times)
        self.times.append(at)
        for key, value in values.items():
            if key in self.columns:
                self.columns[key].append(value)
            elif max_new > 0:
                self.columns[key] = array("d", [math.nan] * known + [value])
                max_new -= 1
        for column in self.columns.values():
            if len(column) <= known:
                column.append(math.nan)
        if len(self.times) > POINTS:
            del self.times[0]
            for column in self.columns.values():
                del column[0]


class Metrics:
    """The histories of all processes, filled from their expositions."""

    def __init__(self) -> None:
        self._histories: dict[str, _History] = {}
        self._exemplars = Exemplars()

    def take(self, process: str, text: str, at: float | None = None) -> None:
        """Add an exposition of `process` scraped at `at` (seconds since the epoch, or now)."""
        at = time.time() if at is None else at
        text, exemplars = split(text)
        self._exemplars.add(process, exemplars)
        families = parse(text)
        history = self._histories.setdefault(process, _History())
        before, since = history.latest, at - history.times[-1] if history.times else 0.0
        free = _MAX_SERIES - sum(len(each.columns) for each in self._histories.values())
        history.latest = families
        values = {
            Key(name, labels, what): value
            for name, family in families.items()
            if not name.endswith("_created")
            for labels, what, value in _points(
                family, before[name].samples if name in before else None, since
            )
        }
        history.add(at, values, free)

    def prune(self, alive: Collection[str]) -> None:
        """Drop processes that are not in `alive` and have no point in the last 15 minutes."""
        oldest = time.time() - _RETENTION
        for process, history in list(self._histories.items()):
            if process not in alive and history.times[-1] < oldest:
                del self._histories[process]
                self._exemplars.drop(process)

    def families(self) -> list[dict[str, Any]]:
        """Return name, type, help and number of series of each metric."""
        entries: dict[str, dict[str, Any]] = {}
        for history in self._histories.values():
            for key in history.columns:
                family = history.latest.get(key.family) or Family(key.family)
                entry = entries.setdefault(
                    key.family,
                    {"name": key.family, "type": family.type, "help": family.help, "series": 0},
                )
                entry["series"] += 1
        return [entries[name] for name in sorted(entries)]

    def latest(self, process: str, family: str, **labels: str) -> float | None:
        """Return the last value of one sample, or None where the process does not expose it."""
        history = self._histories.get(process)
        known = history.latest.get(family) if history else None
        return known.samples.get((family, tuple(labels.items()))) if known else None

    def series(self, families: Collection[str]) -> dict[str, Any]:
        """Return the times of each process, the lines of these families and their exemplars."""
        return {
            "exemplars": self._exemplars.of(families),
            "times": {
                process: [round(at, 1) for at in history.times]
                for process, history in self._histories.items()
            },
            "lines": [
                {
                    "process": process,
                    "family": key.family,
                    "labels": dict(key.labels),
                    "what": key.what,
                    "values": [_round(value) for value in column],
                }
                for process, history in self._histories.items()
                for key, column in history.columns.items()
                if key.family in families
            ],
        }


def _round(value: float) -> float | None:
    # A chart shows fewer than six digits.
    return None if math.isnan(value) else float(f"{value:.6g}")


def _points(
    family: Family, before: Mapping[tuple[str, Labels], float] | None, seconds: float
) -> Iterator[tuple[Labels, str, float]]:
    """Yield labels, kind and value of each point.

    A rate requires an earlier scrape. A counter that decreased was reset and has the rate 0.
    """
    if family.type == "histogram":
        if before is not None and seconds > 0:
            yield from _histogram_points(family, before, seconds)
        return
    for (name, labels), value in family.samples.items():
        if family.type == "counter":
            if before is not None and seconds > 0:
                earlier = before.get((name, labels), 0.0)
                yield labels, "rate", max(0.0, value - earlier) / seconds
        elif math.isfinite(value):
            yield labels, "value", value


def _histogram_points(
    family: Family, before: Mapping[tuple[str, Labels], float], seconds: float
) -> Iterator[tuple[Labels, str, float]]:
    buckets: dict[Labels, list[tuple[float, float]]] = {}
    for (name, labels), value in family.samples.items():
        grown = max(0.0, value - before.get((name, labels), 0.0))
        if name.endswith("_bucket"):
            rest = tuple(pair for pair in labels if pair[0] != "le")
            bound = float(dict(labels).get("le", "inf"))
            buckets.setdefault(rest, []).append((bound, grown))
        elif name.endswith("_count"):
            yield labels, "rate", grown / seconds
    if buckets:
        # Quantiles of several series cannot be combined, so their buckets are added first.
        whole: dict[float, float] = {}
        for counts in buckets.values():
            for bound, grown in counts:
                whole[bound] = whole.get(bound, 0.0) + grown
        buckets[()] = list(whole.items())
    for labels, counts in buckets.items():
        counts.sort()
        for quantile in _QUANTILES:
            yield labels, f"p{quantile * 100:.0f}", _quantile(quantile, counts)


def _quantile(quantile: float, counts: list[tuple[float, float]]) -> float:
    """Interpolate linearly within a bucket, as histogram_quantile of Prometheus does.

    Return nan without observations.
    """
    total = counts[-1][1]
    if total == 0:
        return math.nan
    wanted, lower, below = quantile * total, 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            if math.isinf(bound):
                return lower
            inside = count - below
            return lower + (bound - lower) * ((wanted - below) / inside if inside else 1.0)
        lower, below = bound, count
    return lower
