"""What a load saw, written outside the system as it happens: one JSON object a line.

After Jepsen: every operation is invoked, and then it is known to have happened (ok), known not to
have happened (fail), or the outcome is unknown (a timeout, a lost connection). A history that ends
with an invocation counts it as unknown.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Outcome(StrEnum):
    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Event:
    """One line. `at` is in seconds since the epoch; `key` names the requested thing."""

    at: float
    operation: str
    key: str
    outcome: Outcome
    seen: dict[str, Any] = field(default_factory=dict)


class History:
    """Appends to a file; every line is there before `note` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def note(self, operation: str, key: object, outcome: Outcome, **seen: Any) -> None:
        event = Event(time.time(), operation, str(key), outcome, seen)
        self._file.write(json.dumps(asdict(event), default=str) + "\n")

    def close(self) -> None:
        self._file.close()

    def events(self, operation: str | None = None) -> Iterator[Event]:
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                found = json.loads(line)
                if operation in (None, found["operation"]):
                    yield Event(**{**found, "outcome": Outcome(found["outcome"])})

    def outcomes(self, operation: str) -> dict[str, Outcome]:
        """The last word on each key: ok outranks everything, then unknown."""
        seen: dict[str, set[Outcome]] = defaultdict(set)
        for event in self.events(operation):
            seen[event.key].add(event.outcome)
        return {key: _verdict(outcomes) for key, outcomes in seen.items()}


def _verdict(outcomes: set[Outcome]) -> Outcome:
    """Several tries of one key: one that succeeded decides, one that may have leaves it open."""
    if Outcome.OK in outcomes:
        return Outcome.OK
    if outcomes == {Outcome.INVOKE, Outcome.FAIL}:
        return Outcome.FAIL
    return Outcome.UNKNOWN
