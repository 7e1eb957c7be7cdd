"""An analysed trace in the form in which the console's page reads it."""

from __future__ import annotations

from typing import Any

from . import spans as conventions
from .trace import Node, Trace, is_failed


def to_json(trace: Trace) -> dict[str, Any]:
    """Return the trace as the page reads it.

    Times are nanoseconds since its start, which JavaScript represents exactly.
    """
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
        "orphan": node.is_orphan,
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
        "failed": is_failed(span),
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
