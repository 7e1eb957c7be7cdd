"""One trace: its tree, where its time went, and the span to look at first."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.spans import MS, span

from twelvefold_dev.console.traces.trace import analyse, shown

SQL = {"db__system__name": "postgresql"}


def test_children_stand_below_their_parents_in_the_order_of_time() -> None:
    root = span("root", ms=100)
    second = span("second", parent=root, at=50)
    first = span("first", parent=root, at=10)
    below = span("below", parent=first, at=12, ms=3)
    trace = analyse([below, second, root, first])
    assert [(node.span.name, node.depth) for node in trace.nodes] == [
        ("root", 0), ("first", 1), ("below", 2), ("second", 1),
    ]  # fmt: skip


def test_a_span_s_own_time_is_what_its_children_leave() -> None:
    root = span(ms=100)
    overlapping = [span(parent=root, at=10, ms=30), span(parent=root, at=20, ms=40)]
    beyond = span(parent=root, at=90, ms=500)
    trace = analyse([root, *overlapping, beyond])
    assert trace.nodes[0].self_time == (10 + 30) * MS
    assert sum(until - since for since, until in trace.nodes[0].gaps) == trace.nodes[0].self_time


def test_the_slow_statement_is_to_blame_for_a_slow_request() -> None:
    root = span(ms=1_000)
    call = span("GET users", parent=root, at=10, ms=980)
    inner = span("GET /internal/things", parent=call, kind="server", service="users", at=12, ms=970)
    quick = span("SELECT a", parent=inner, at=15, ms=5, service="users", **SQL)
    slow = span("SELECT b", parent=inner, at=25, ms=940, service="users", **SQL)
    found = analyse([root, call, inner, quick, slow]).culprit
    assert found is not None
    assert (found.span_id, found.why, found.service) == (slow.span_id, "slow", "users")
    assert found.share == 0.94


def test_the_innermost_failure_is_to_blame_for_a_failed_request() -> None:
    root = replace(span(ms=100), failed=True)
    call = span("GET users", parent=root, error="HTTPError: 500")
    inner = span("GET /internal", parent=call, kind="server", error="KeyError: 'x'")
    trace = analyse([root, call, inner])
    assert trace.state == "failed"
    assert trace.culprit is not None
    assert trace.culprit.span_id == inner.span_id
    assert trace.culprit.text == "KeyError: 'x'"


def test_an_answer_of_5xx_is_a_failure_without_a_mark_of_its_own() -> None:
    assert analyse([span(http__response__status_code=503)]).state == "failed"
    assert analyse([span(http__response__status_code=404)]).state == "ok"


def test_a_failure_that_was_dealt_with_is_trouble() -> None:
    root = span(http__response__status_code=200)
    assert analyse([root, span(parent=root, error="TimeoutError: redis")]).state == "trouble"


def test_asking_redis_for_a_script_that_it_lacks_is_no_trouble() -> None:
    root = span()
    asked = span("EVALSHA", parent=root, error="redis.exceptions.NoScriptError: No matching script")
    assert analyse([root, asked]).state == "ok"


def test_a_job_does_not_explain_why_its_request_was_slow() -> None:
    root = span(ms=100)
    enqueue = span("enqueue a", parent=root, kind="producer", at=10, ms=2)
    statement = span("SELECT", parent=root, at=20, ms=70, **SQL)
    job = span("job a", parent=enqueue, kind="consumer", service="worker", at=500, ms=60_000)
    trace = analyse([root, enqueue, statement, job])
    assert trace.culprit is not None
    assert trace.culprit.span_id == statement.span_id
    assert [node.span.name for node in trace.nodes if node.is_async] == ["job a"]


def test_time_that_is_spread_out_has_no_culprit() -> None:
    root = span(ms=100)
    calls = [span(parent=root, at=number * 10, ms=10) for number in range(10)]
    assert analyse([root, *calls]).culprit is None


def test_one_statement_many_times_is_pointed_out() -> None:
    root = span(ms=100)
    text = "SELECT * FROM things WHERE id = $1"
    loop = [
        span("SELECT things", parent=root, at=number, ms=1, db__query__text=text)
        for number in range(9)
    ]
    begin = [span("BEGIN", parent=root, db__query__text="BEGIN;") for _ in range(9)]
    (found,) = analyse([root, *loop, *begin]).repetitions
    assert (found.count, found.total, found.span_id) == (9, 9 * MS, loop[0].span_id)


def test_a_trace_without_its_root_is_shown_as_far_as_it_is_there() -> None:
    inner = span("GET /internal", parent="00000000000000aa", kind="server")
    trace = analyse([inner, span(parent=inner)])
    assert not trace.complete
    assert trace.nodes[0].orphan


def test_spans_in_a_circle_neither_hang_nor_hide() -> None:
    first = span("first", parent="00000000000000aa")
    second = span("second", parent=first)
    first = replace(first, parent_id=second.span_id)
    own = replace(span("own"), span_id="00000000000000bb", parent_id="00000000000000bb")
    trace = analyse([first, second, own])
    assert {node.span.name for node in trace.nodes} == {"first", "second", "own"}


def test_a_very_deep_trace_is_walked_without_recursion() -> None:
    spans = [span(ms=5_000)]
    for _ in range(1_999):
        spans.append(span(parent=spans[-1]))
    assert analyse(spans).nodes[-1].depth == 1_999


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_every_span_is_shown_once_whatever_the_parents_are(shape) -> None:
    spans = {
        f"{number:016x}": replace(
            span(at=at, ms=ms), span_id=f"{number:016x}", parent_id=f"{parent:016x}"
        )
        for number, (parent, at, ms) in enumerate(shape)
    }
    trace = analyse(spans.values())
    assert sorted(node.span.span_id for node in trace.nodes) == sorted(spans)
    assert all(0 <= node.self_time <= node.span.duration for node in trace.nodes)
    assert all(row["start"] >= 0 for row in shown(trace)["spans"])
