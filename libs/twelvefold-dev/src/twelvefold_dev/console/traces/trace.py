"""Analysis of one trace: its tree, the distribution of its time, and the probable root cause.

Pure functions over the spans received so far. A span whose parent is missing starts its own tree,
and spans whose parents form a cycle are still shown once each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from . import spans as conventions
from .spans import CONSUMER, SERVER, Span

_SLOW_SHARE = 0.3  # of the request's time, above which one span explains it
_MIN_REPETITIONS = 4  # equal statements that suggest a loop
_MAX_SEARCH_TEXT = 1_000  # characters
_SERVER_ERROR = 500
_RETRIED_ERROR = "NoScriptError"
_BOOKKEEPING = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", ";")


@dataclass(slots=True)
class Node:
    """One row of the waterfall. `self_time` (ns) is the time in which no child was active."""

    span: Span
    depth: int
    self_time: int
    is_orphan: bool = False  # its parent is missing
    is_async: bool = False  # in or below a job, so the request did not wait for it
    children: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)  # the intervals of `self_time`


@dataclass(frozen=True, slots=True)
class RootCause:
    """The span to examine first. `why` is `error` or `slow`, `share` of the duration is 0 to 1.

    `own` is the span's self time (ns); `itself` is true where children account for the rest.
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
    """One statement that ran several times below the same parent."""

    span_id: str  # of the first run
    text: str
    count: int
    total: int  # ns


@dataclass(frozen=True, slots=True)
class Trace:
    """An analysed trace. `nodes` are in the order of the waterfall, the root first. Times in ns."""

    nodes: Sequence[Node]
    root: Span
    complete: bool  # the root has no parent
    state: str  # ok, failed, or trouble: the root succeeded, but a span below it failed
    root_cause: RootCause | None
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
    def search_text(self) -> str:
        """The text in which a search looks for words."""
        root, attributes = self.root, self.root.attributes
        parts = [
            conventions.path(root) or "",
            *(str(attributes.get(key, "")) for key in ("request_id", "user.id", "client.address")),
            *dict.fromkeys(node.span.name for node in self.nodes),
            *(error for node in self.nodes if (error := conventions.exception(node.span))),
            *(str(job) for node in self.nodes if (job := node.span.attributes.get("job.id"))),
        ]
        return " ".join(filter(None, parts))[:_MAX_SEARCH_TEXT]


def analyse(trace_spans: Iterable[Span]) -> Trace:
    """Analyse the spans of one trace, at least one."""
    spans = {span.span_id: span for span in sorted(trace_spans, key=lambda span: span.start)}
    nodes = _order_nodes(spans)
    root = nodes[0].span
    return Trace(
        nodes=nodes,
        root=root,
        complete=root.parent_id is None,
        state=_state(root, spans.values()),
        root_cause=_find_root_cause(nodes),
        repetitions=_find_repetitions(spans.values()),
    )


def _order_nodes(spans: dict[str, Span]) -> list[Node]:
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
        # Without recursion, since senders determine the depth of a trace.
        pending = [(top, 0, False)]
        while pending:
            span, depth, is_async = pending.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            is_async = is_async or (span.kind == CONSUMER and depth > 0)
            below = children[span.span_id]
            gaps = _find_gaps(span, below)
            nodes.append(
                Node(
                    span,
                    depth,
                    sum(end - start for start, end in gaps),
                    is_orphan=depth == 0 and span.parent_id is not None,
                    is_async=is_async,
                    children=len(below),
                    gaps=gaps,
                )
            )
            pending += [(child, depth + 1, is_async) for child in reversed(below)]

    # A cycle has no root: the earliest remaining span starts its tree.
    for span in (*roots, *orphans, *spans.values()):
        if span.span_id not in seen:
            walk(span)
    return nodes


def _find_gaps(span: Span, children: Sequence[Span]) -> list[tuple[int, int]]:
    """Return the intervals of `span` that no child covers. `children` are sorted by start."""
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


def is_failed(span: Span) -> bool:
    """Return whether the span is an error in itself, and not one that its client repairs."""
    if (conventions.status(span) or 0) >= _SERVER_ERROR:
        return True
    # Redis reports an unknown script, which the client then loads and runs.
    return span.failed and _RETRIED_ERROR not in (conventions.exception(span) or "")


def _state(root: Span, spans: Iterable[Span]) -> str:
    if is_failed(root):
        return "failed"
    return "trouble" if any(is_failed(span) for span in spans) else "ok"


def _find_root_cause(nodes: Sequence[Node]) -> RootCause | None:
    total = max(nodes[0].span.duration, 1)
    if failed := _find_first_failure(nodes):
        span = failed.span
        text = conventions.exception(span) or span.message or _describe_status(span)
        return _root_cause(failed, "error", text, total)
    # The time of a later job does not explain a slow request.
    awaited = [node for node in nodes if not node.is_async]
    slowest = max(awaited, key=lambda node: node.self_time)
    if slowest.self_time < _SLOW_SHARE * total:
        return None
    return _root_cause(slowest, "slow", conventions.summary(slowest.span), total)


def _find_first_failure(nodes: Sequence[Node]) -> Node | None:
    """Return the innermost failed span, where the error began; of several the first to end."""
    failed = [node for node in nodes if is_failed(node.span)]
    parents = {node.span.parent_id for node in failed}
    innermost = [node for node in failed if node.span.span_id not in parents] or failed
    # A failure in the request itself comes before a failure in one of its jobs.
    return min(innermost, key=lambda node: (node.is_async, node.span.end), default=None)


def _describe_status(span: Span) -> str:
    status = conventions.status(span)
    return f"answered {status}" if status else "failed"


def _root_cause(node: Node, why: str, text: str, total: int) -> RootCause:
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


def _find_repetitions(spans: Iterable[Span]) -> list[Repetition]:
    groups: dict[tuple[str | None, str, str], list[Span]] = defaultdict(list)
    for span in spans:
        statement = conventions.first(span.attributes, conventions.STATEMENT)
        if statement and not str(statement).lstrip().upper().startswith(_BOOKKEEPING):
            groups[span.parent_id, span.name, str(statement)].append(span)
    repetitions = [
        Repetition(
            same[0].span_id,
            conventions.summary(same[0]) or same[0].name,
            len(same),
            sum(span.duration for span in same),
        )
        for same in groups.values()
        if len(same) >= _MIN_REPETITIONS
    ]
    return sorted(repetitions, key=lambda one: one.total, reverse=True)[:3]
