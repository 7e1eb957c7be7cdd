"""Makes sense of one trace: its tree, where its time went, and which span is to blame.

Pure functions over spans. Works with what has arrived so far: a parent that is not here (yet)
leaves a tree of its own, and ids that form a circle neither hang nor hide anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import spans as conventions
from .spans import CONSUMER, SERVER, Span

_SLOW_SHARE = 0.3  # of the request's time, from which one span alone explains it
_REPEATED = 4  # equal statements from which a loop may be at work
_WORDS = 1_000  # characters that a search looks at
_SERVER_ERROR = 500
_ASKED_AGAIN = "NoScriptError"
_BOOKKEEPING = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", ";")


@dataclass(slots=True)
class Node:
    """One row of the waterfall. `self_time` is the time (ns) in which no child was at work."""

    span: Span
    depth: int
    self_time: int
    orphan: bool = False  # its parent is not here
    is_async: bool = False  # of a job, or below one: the request did not wait for it
    children: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)  # when `own` was spent


@dataclass(frozen=True, slots=True)
class RootCause:
    """The span to look at first. `why` is `error` or `slow`; `share` of the whole, 0 to 1.

    `itself`: it has children, and what is told is its own time.
    """

    span_id: str
    service: str
    category: str
    name: str
    why: str
    text: str
    own: int
    share: float
    itself: bool


@dataclass(frozen=True, slots=True)
class Repetition:
    """One statement, many times below the same parent."""

    span_id: str  # the first
    text: str
    count: int
    total: int  # ns


@dataclass(frozen=True, slots=True)
class Trace:
    """`nodes` in the order of the waterfall; the first is the root. Times in ns."""

    nodes: Sequence[Node]
    root: Span
    complete: bool  # the root has no parent
    state: str  # ok, trouble (something within failed), failed
    culprit: RootCause | None
    repetitions: Sequence[Repetition]

    @property
    def start(self) -> int:
        return min(node.span.start for node in self.nodes)

    @property
    def end(self) -> int:
        return max(node.span.end for node in self.nodes)

    @property
    def kind(self) -> str:
        return {SERVER: "request", CONSUMER: "job"}.get(self.root.kind, "other")

    @property
    def services(self) -> list[str]:
        return list(dict.fromkeys(node.span.service for node in self.nodes))

    @property
    def words(self) -> str:
        """What a search looks at."""
        root, attributes = self.root, self.root.attributes
        parts = [
            conventions.path(root) or "",
            *(str(attributes.get(key, "")) for key in ("request_id", "user.id", "client.address")),
            *dict.fromkeys(node.span.name for node in self.nodes),
            *(found for node in self.nodes if (found := conventions.exception(node.span))),
            *(str(found) for node in self.nodes if (found := node.span.attributes.get("job.id"))),
        ]
        return " ".join(filter(None, parts))[:_WORDS]


def analyse(found: Iterable[Span]) -> Trace:
    """At least one span, all of one trace."""
    spans = {span.span_id: span for span in sorted(found, key=lambda span: span.start)}
    nodes = _ordered(spans)
    root = nodes[0].span
    return Trace(
        nodes=nodes,
        root=root,
        complete=root.parent_id is None,
        state=_state(root, spans.values()),
        culprit=_root_cause(nodes),
        repetitions=_repetitions(spans.values()),
    )


def _ordered(spans: dict[str, Span]) -> list[Node]:
    children: dict[str, list[Span]] = defaultdict(list)
    roots, orphans = [], []
    for span in spans.values():
        if span.parent_id is None:
            roots.append(span)
        elif span.parent_id in spans and span.parent_id != span.span_id:
            children[span.parent_id].append(span)
        else:
            orphans.append(span)
    nodes: list[Node] = []
    seen: set[str] = set()

    def walk(top: Span) -> None:
        # Without recursion: how deep a trace is, others decide.
        waiting = [(top, 0, False)]
        while waiting:
            span, depth, later = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            later = later or (span.kind == CONSUMER and depth > 0)
            below = children[span.span_id]
            gaps = _gaps(span, below)
            nodes.append(
                Node(
                    span,
                    depth,
                    sum(end - start for start, end in gaps),
                    orphan=depth == 0 and span.parent_id is not None,
                    is_async=later,
                    children=len(below),
                    gaps=gaps,
                )
            )
            waiting += [(child, depth + 1, later) for child in reversed(below)]

    # Spans in a circle have no top: the earliest of those left over is taken for one.
    for span in (*roots, *orphans, *spans.values()):
        if span.span_id not in seen:
            walk(span)
    return nodes


def _gaps(span: Span, children: Sequence[Span]) -> list[tuple[int, int]]:
    """The stretches of `span` that no child covers. Children come sorted by start."""
    gaps, at = [], span.start
    for child in children:
        if child.start > at:
            gaps.append((at, min(child.start, span.end)))
        at = max(at, child.end)
        if at >= span.end:
            break
    if at < span.end:
        gaps.append((at, span.end))
    return [(start, end) for start, end in gaps if end > start]


def _failed(span: Span) -> bool:
    if (conventions.status(span) or 0) >= _SERVER_ERROR:
        return True
    # Redis asks for a script that it does not know (yet), and gets it.
    return span.failed and _ASKED_AGAIN not in (conventions.exception(span) or "")


def _state(root: Span, spans: Iterable[Span]) -> str:
    if _failed(root):
        return "failed"
    return "trouble" if any(_failed(span) for span in spans) else "ok"


def _root_cause(nodes: Sequence[Node]) -> RootCause | None:
    total = max(nodes[0].span.duration, 1)
    if failed := _first_failure(nodes):
        span = failed.span
        text = conventions.exception(span) or span.message or _answered(span)
        return _blamed(failed, "error", text, total)
    # What a job took afterwards does not explain why its request was slow.
    waited = [node for node in nodes if not node.is_async]
    slowest = max(waited, key=lambda node: node.self_time)
    if slowest.self_time < _SLOW_SHARE * total:
        return None
    return _blamed(slowest, "slow", conventions.summary(slowest.span), total)


def _first_failure(nodes: Sequence[Node]) -> Node | None:
    """The innermost failed span: an error passes outwards. Of several the first one."""
    failed = [node for node in nodes if _failed(node.span)]
    parents = {node.span.parent_id for node in failed}
    innermost = [node for node in failed if node.span.span_id not in parents] or failed
    # The request's own trouble counts before that of a job which it left behind.
    return min(innermost, key=lambda node: (node.is_async, node.span.end), default=None)


def _answered(span: Span) -> str:
    found = conventions.status(span)
    return f"answered {found}" if found else "failed"


def _blamed(node: Node, why: str, text: str, total: int) -> RootCause:
    span = node.span
    share = min(1.0, node.self_time / total)
    category = conventions.category(span)
    return RootCause(
        span.span_id,
        span.service,
        category,
        span.name,
        why,
        text,
        node.self_time,
        round(share, 4),
        node.children > 0,
    )


def _repetitions(spans: Iterable[Span]) -> list[Repetition]:
    groups: dict[tuple[str | None, str, str], list[Span]] = defaultdict(list)
    for span in spans:
        statement = conventions.first(span.attributes, conventions.STATEMENT)
        if statement and not str(statement).lstrip().upper().startswith(_BOOKKEEPING):
            groups[span.parent_id, span.name, str(statement)].append(span)
    found = [
        Repetition(
            same[0].span_id,
            conventions.summary(same[0]) or same[0].name,
            len(same),
            sum(span.duration for span in same),
        )
        for same in groups.values()
        if len(same) >= _REPEATED
    ]
    return sorted(found, key=lambda one: one.total, reverse=True)[:3]


def shown(trace: Trace) -> dict[str, Any]:
    """The trace as the page gets it. Nanoseconds from its start, which fit a browser's numbers."""
    start = trace.start
    return {
        "root": trace.root.span_id,
        "start": start // 1_000,  # microseconds since the epoch
        "length": trace.end - start,
        "complete": trace.complete,
        "state": trace.state,
        "kind": trace.kind,
        "services": trace.services,
        "spans": [_row(node, start) for node in trace.nodes],
    }


def _row(node: Node, start: int) -> dict[str, Any]:
    span = node.span
    return {
        "id": span.span_id,
        "parent": span.parent_id,
        "depth": node.depth,
        "children": node.children,
        "orphan": node.orphan,
        "later": node.is_async,
        "service": span.service,
        "instance": span.instance,
        "name": span.name,
        "kind": span.kind,
        "category": conventions.category(span),
        "summary": conventions.summary(span),
        "start": span.start - start,
        "length": span.duration,
        "own": node.self_time,
        "gaps": [(since - start, until - since) for since, until in node.gaps],
        "failed": _failed(span),
        "message": span.message,
        "exception": conventions.exception(span),
        "scope": span.scope,
        "attributes": span.attributes,
        "events": [
            {"name": event.name, "at": event.time - start, "attributes": event.attributes}
            for event in span.events
        ],
        "links": [{"trace_id": link.trace_id, "span_id": link.span_id} for link in span.links],
    }
