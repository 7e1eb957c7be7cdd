"""The releases of services in the examples for Argo CD and Flux: one document each.

A new service's documents are copies of those of another one. What a team changed in the documents
that are there stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from twelvefold.service.definition import Service

from .errors import ListMissing

ARGO_CD, FLUX = "docs/examples/argo-cd/applications.yaml", "docs/examples/flux/releases.yaml"
_SHARED = frozenset({"platform", "mesh"})  # charts of no service
_CHART = re.compile(r"^ +chart: (\S+)$", re.MULTILINE)
_KIND = re.compile(r"[/-](charts|istio)\b[^/]*$", re.MULTILINE)
_WAVE = re.compile(r'(?<=sync-wave: ")-?\d+(?=")')
_NEEDS = re.compile(r"(?<=dependsOn: \[\{name: )[^}]+")
_SEPARATOR = "---\n"


def write_releases(text: str, services: Mapping[str, Service]) -> str:
    """Return the example with the releases of every service, in the order of the migrations.

    Raises ListMissing where it has no service to copy.
    """
    shared: list[str] = []
    found: dict[tuple[str, str], str] = {}
    for document in text.split(_SEPARATOR):
        chart, kind = _CHART.search(document), _KIND.search(document)
        if chart is None or kind is None or chart[1] in _SHARED:
            shared.append(document)
        else:
            found[kind[1], chart[1]] = document
    written = [_document("istio", name, found, services) for name in services]
    written += _in_order(
        [_document("charts", name, found, services) for name in services], services
    )
    return _SEPARATOR.join([*shared, *written])


def _document(
    kind: str, name: str, found: Mapping[tuple[str, str], str], services: Mapping[str, Service]
) -> str:
    if (kind, name) in found:
        return found[kind, name]
    is_routed = bool(services[name].listeners)
    for (other_kind, other), document in found.items():
        if (
            other_kind == kind
            and other in services
            and bool(services[other].listeners) == is_routed
        ):
            return re.sub(rf"\b{other}\b", name, document)
    raise ListMissing("an example for GitOps has no release of a service to copy")


def _in_order(documents: list[str], services: Mapping[str, Service]) -> Iterator[str]:
    """Let each service wait for the one before: its migration may need that one's schema."""
    before = f"{next(iter(services))}-routing"
    for number, (name, document) in enumerate(zip(services, documents, strict=True)):
        yield _NEEDS.sub(before, _WAVE.sub(str(number), document))
        before = name
