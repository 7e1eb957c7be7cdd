"""Holds what happened against what was promised, in the manner of Jepsen's total-queue.

Knows nothing of the system: requested keys with their outcomes, and how often each took
effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tests.chaos.history import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """Keys by what went wrong with them; `recovered` are the unknown ones that took effect."""

    accepted: int
    lost: AbstractSet[str]
    duplicated: AbstractSet[str]
    unexpected: AbstractSet[str]
    recovered: AbstractSet[str]

    @property
    def holds(self) -> bool:
        return not (self.lost or self.duplicated or self.unexpected)

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, lost {len(self.lost)}, duplicated {len(self.duplicated)}, "
            f"unexpected {len(self.unexpected)}, recovered {len(self.recovered)}"
        )


def check(outcomes: Mapping[str, Outcome], effects: Mapping[str, int]) -> Verdict:
    """`effects` counts how often each key took effect.

    Lost: acknowledged, without effect. Duplicated: more than one effect. Unexpected: an effect of
    what nobody asked for, or of what was said not to have happened.
    """
    accepted = {key for key, outcome in outcomes.items() if outcome is Outcome.OK}
    unknown = {key for key, outcome in outcomes.items() if outcome is Outcome.UNKNOWN}
    happened = {key for key, count in effects.items() if count > 0}
    return Verdict(
        accepted=len(accepted),
        lost=accepted - happened,
        duplicated={key for key, count in effects.items() if count > 1},
        unexpected=happened - accepted - unknown,
        recovered=unknown & happened,
    )


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile; 0.0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
