"""Analysis of one trace: its tree, its self times and its root cause."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.spans import MS, span

from twelvefold_dev.console.traces.trace import analyse
from twelvefold_dev.console.traces.trace_json import to_json

SQL = {"db__system__name": "postgresql"}


def test_children_follow_their_parents_in_the_order_of_time() -> None:
    root = span("root", ms=100)
    second = span("second", parent=root, at=50)
    first = span("first", parent=root, at=10)
    below = span("below", parent=first, at=12, ms=3)
    trace = analyse([below, second, root, first])
    assert [(node.span.name, node.depth) for node in trace.nodes] == [
        ("root", 0), ("first", 1), ("below", 2), ("second", 1),
    ]  # fmt: skip


def test_self_time_excludes_the_time_of_children() -> None:
    root = span(ms=100)
    overlapping = [span(parent=root, at=10, ms=30), span(parent=root, at=20, ms=40)]
    beyond = span(parent=root, at=90, ms=500)
    trace = analyse([root, *overlapping, beyond])
    assert trace.nodes[0].self_time == (10 + 30) * MS
    assert sum(until - since for since, until in trace.nodes[0].gaps) == trace.nodes[0].self_time


def test_the_slow_statement_is_the_root_cause_of_a_slow_request() -> None:
    root = span(ms=1_000)
    call = span("GET users", parent=root, at=10, ms=980)
    inner = span("GET /internal/things", parent=call, kind="server", service="users", at=12, ms=970)
    quick = span("SELECT a", parent=inner, at=15, ms=5, service="users", **SQL)
    slow = span("SELECT b", parent=inner, at=25, ms=940, service="users", **SQL)
    cause = analyse([root, call, inner, quick, slow]).root_cause
    assert cause is not None
    assert (cause.span_id, cause.why, cause.service) == (slow.span_id, "slow", "users")
    assert cause.share == 0.94


def test_the_innermost_failure_is_the_root_cause_of_a_failed_request() -> None:
    root = replace(span(ms=100), failed=True)
    call = span("GET users", parent=root, error="HTTPError: 500")
    inner = span("GET /internal", parent=call, kind="server", error="KeyError: 'x'")
    trace = analyse([root, call, inner])
    assert trace.state == "failed"
    assert trace.root_cause is not None
    assert trace.root_cause.span_id == inner.span_id
    assert trace.root_cause.text == "KeyError: 'x'"


def test_a_response_of_5xx_is_a_failure_without_an_error_status() -> None:
    assert analyse([span(http__response__status_code=503)]).state == "failed"
    assert analyse([span(http__response__status_code=404)]).state == "ok"


def test_a_handled_failure_is_trouble() -> None:
    root = span(http__response__status_code=200)
    assert analyse([root, span(parent=root, error="TimeoutError: redis")]).state == "trouble"


def test_a_script_that_redis_does_not_know_yet_is_no_trouble() -> None:
    root = span()
    call = span("EVALSHA", parent=root, error="redis.exceptions.NoScriptError: No matching script")
    assert analyse([root, call]).state == "ok"


def test_a_job_is_not_the_root_cause_of_its_slow_request() -> None:
    root = span(ms=100)
    enqueue = span("enqueue a", parent=root, kind="producer", at=10, ms=2)
    statement = span("SELECT", parent=root, at=20, ms=70, **SQL)
    job = span("job a", parent=enqueue, kind="consumer", service="worker", at=500, ms=60_000)
    trace = analyse([root, enqueue, statement, job])
    assert trace.root_cause is not None
    assert trace.root_cause.span_id == statement.span_id
    assert [node.span.name for node in trace.nodes if node.is_async] == ["job a"]


def test_evenly_distributed_time_has_no_root_cause() -> None:
    root = span(ms=100)
    calls = [span(parent=root, at=number * 10, ms=10) for number in range(10)]
    assert analyse([root, *calls]).root_cause is None


def test_a_repeated_statement_is_reported() -> None:
    root = span(ms=100)
    text = "SELECT * FROM things WHERE id = $1"
    loop = [
        span("SELECT things", parent=root, at=number, ms=1, db__query__text=text)
        for number in range(9)
    ]
    begin = [span("BEGIN", parent=root, db__query__text="BEGIN;") for _ in range(9)]
    (found,) = analyse([root, *loop, *begin]).repetitions
    assert (found.count, found.total, found.span_id) == (9, 9 * MS, loop[0].span_id)


def test_a_trace_without_its_root_is_analysed_as_incomplete() -> None:
    inner = span("GET /internal", parent="00000000000000aa", kind="server")
    trace = analyse([inner, span(parent=inner)])
    assert not trace.complete
    assert trace.nodes[0].is_orphan


def test_spans_in_a_cycle_are_shown_once_each() -> None:
    first = span("first", parent="00000000000000aa")
    second = span("second", parent=first)
    first = replace(first, parent_id=second.span_id)
    own = replace(span("own"), span_id="00000000000000bb", parent_id="00000000000000bb")
    trace = analyse([first, second, own])
    assert {node.span.name for node in trace.nodes} == {"first", "second", "own"}


def test_a_very_deep_trace_needs_no_recursion() -> None:
    spans = [span(ms=5_000)]
    for _ in range(1_999):
        spans.append(span(parent=spans[-1]))
    assert analyse(spans).nodes[-1].depth == 1_999


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_every_span_is_shown_once_for_any_parents(shape) -> None:
    spans = {
        f"{number:016x}": replace(
            span(at=at, ms=ms), span_id=f"{number:016x}", parent_id=f"{parent:016x}"
        )
        for number, (parent, at, ms) in enumerate(shape)
    }
    trace = analyse(spans.values())
    assert sorted(node.span.span_id for node in trace.nodes) == sorted(spans)
    assert all(0 <= node.self_time <= node.span.duration for node in trace.nodes)
    assert all(row["start"] >= 0 for row in to_json(trace)["spans"])
