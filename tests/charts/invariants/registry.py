"""What an invariant is: a sentence, a check of a world, and the faults that it must find.

A check yields one complaint for each violation. Every invariant brings at least one fault, a change
to the charts' own text, which `test_invariants` plants in a copy: a check that cannot fail proves
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.charts.rendering import World

# Where faults are planted most.
COMMON = "charts/common/templates"
DESTINATION_RULE = "istio/routing/templates/_destinationrule.tpl"
VIRTUAL_SERVICE = "istio/routing/templates/_virtualservice.tpl"
SERVICE_POLICY = "istio/routing/templates/_policy.tpl"
API_ROUTES = "istio/api/templates/all.yaml"
SERVICE_ROUTES = "istio/routing/templates/_service.tpl"
MESH_POLICY = "istio/mesh/templates/policy.yaml"
Check = Callable[[World], Iterable[str]]


@dataclass(frozen=True)
class Fault:
    """`old` becomes `new` in one file of the charts; seen in the world of `environment`.

    `also` are further changes without which the fault would not show.
    """

    file: str
    old: str
    new: str
    environment: str = "production"
    also: tuple[tuple[str, str, str], ...] = ()

    def plant(self, root: Path) -> None:
        for file, old, new in ((self.file, self.old, self.new), *self.also):
            path = root / file
            content = path.read_text()
            assert old in content, f"{file} no longer holds {old!r}"
            path.write_text(content.replace(old, new, 1))


@dataclass(frozen=True)
class Invariant:
    """`name` is a sentence about every world."""

    name: str
    check: Check
    faults: tuple[Fault, ...]


INVARIANTS: list[Invariant] = []


def invariant(*faults: Fault) -> Callable[[Check], Check]:
    """Registers a check under the sentence that its name is."""

    def register(check: Check) -> Check:
        INVARIANTS.append(Invariant(check.__name__, check, faults))
        return check

    return register


def planted() -> Iterator[tuple[Invariant, Fault]]:
    for one in INVARIANTS:
        for fault in one.faults:
            yield one, fault
