"""The stored traces of the last runs, within bounds."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace

import pytest
from tests.spans import new_trace_id, span

from twelvefold_dev.console.traces.query import Position, Query
from twelvefold_dev.console.traces.spans import Link
from twelvefold_dev.console.traces.store import RetentionLimits, TraceStore


@pytest.fixture
def open_store(tmp_path):
    opened = []

    def open_(run: float = 1.0, **limits: int) -> TraceStore:
        store = TraceStore(tmp_path / "console/traces.db", run, RetentionLimits(**limits))
        opened.append(store)
        return store

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store()


def routes(store, text="", **query) -> list[str]:
    return [row["route"] for row in store.search(Query(text, **query))]


def request(route: str, at: int = 0, ms: int = 10, **more):
    return span(
        f"GET {route}", at=at, ms=ms, http__route=route, http__request__method="GET", **more
    )


def test_spans_received_in_several_messages_form_one_trace(store) -> None:
    root = request("/things")
    store.add([span("SELECT", parent=root, service="users")])
    store.add([root])
    store.add([span("GET", parent=root)])
    (row,) = store.search(Query())
    assert (row["route"], row["spans"], row["services"]) == ("/things", 3, ["api", "users"])


def test_a_repeated_message_changes_nothing(store) -> None:
    root = request("/things")
    store.add([root])
    before = store.search(Query())
    store.add([root])
    assert store.search(Query()) == before


def test_the_newest_request_comes_first(store) -> None:
    store.add([request("/early", 1), request("/late", 3, ms=99), request("/between", 2)])
    assert routes(store) == ["/late", "/between", "/early"]
    assert routes(store, order="duration", limit=1) == ["/late"]


def read_pages(store, **query) -> list[str]:
    """Return the routes of all pages of two rows."""
    found: list[str] = []
    after = None
    while page := store.search(Query(after=after, limit=2, **query)):
        found += [row["route"] for row in page]
        after = Position.parse(page[-1]["position"])
    return found


@pytest.mark.parametrize("order", ["started", "duration"])
def test_pages_show_every_trace_once_in_each_order(store, order) -> None:
    # Several have the same start or the same duration, and the slowest are not the newest.
    store.add([request(f"/{n}", at=n // 3, ms=50 - n // 2) for n in range(9)])
    pages = read_pages(store, order=order)
    assert sorted(pages) == [f"/{n}" for n in range(9)]
    assert pages == routes(store, order=order)


def test_a_list_begins_again_at_a_row_whatever_came_in_above_it(store) -> None:
    store.add([request(f"/{at}", at=at) for at in range(3)])
    top = store.search(Query())[0]["position"]
    store.add([request("/new", at=9)])
    assert routes(store, since=Position.parse(top)) == ["/2", "/1", "/0"]


@pytest.mark.parametrize("text", ["", "1", "-1", "1-", "1-2-3", "٣-1", "9" * 19 + "-1", "1e3-1"])
def test_other_text_is_no_position(text) -> None:
    assert Position.parse(text) is None


def test_the_oldest_traces_are_evicted_beyond_the_limit(open_store) -> None:
    store = open_store(traces=10)
    for at in range(30):
        store.add([request(f"/{at}", at=at)])
    assert routes(store) == [f"/{at}" for at in range(29, 19, -1)]


def test_the_stored_bytes_stay_within_the_limit(open_store, tmp_path) -> None:
    store = open_store(total_bytes=200_000)
    for at in range(400):
        store.add([request(f"/{at}", at=at, note="x" * 2_000)])
    kept = routes(store, limit=200)
    assert kept[0] == "/399"
    assert 60 < len(kept) < 100
    file = tmp_path / "console/traces.db"
    assert file.stat().st_size < 2_000_000


def test_a_trace_beyond_its_limit_counts_lost_spans(open_store) -> None:
    store = open_store(spans=20)
    root = request("/loop")
    for _ in range(5):
        store.add([root, *(span(parent=root) for _ in range(10))])
    (row,) = store.search(Query())
    assert (row["spans"], row["lost"] > 0) == (20, True)


def test_only_the_last_runs_are_stored_each_with_its_traces(open_store) -> None:
    for run in range(1, 9):
        store = open_store(float(run), runs=3)
        store.add([request(f"/{run}")])
        store.close()
    store = open_store(8.0, runs=3)
    assert [(run["started"], run["traces"]) for run in store.runs()] == [(8, 1), (7, 1), (6, 1)]
    assert routes(store) == ["/8"]
    assert routes(store, run=store.run - 1) == ["/7"]


def test_a_restart_of_the_console_continues_its_run(open_store) -> None:
    open_store(5.0).add([request("/before")])
    again = open_store(5.0)
    again.add([request("/after", at=5)])
    assert routes(again) == ["/after", "/before"]


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100])
def test_a_corrupt_file_is_replaced(open_store, tmp_path, content) -> None:
    (tmp_path / "console").mkdir()
    (tmp_path / "console/traces.db").write_bytes(content)
    store = open_store()
    store.add([request("/things")])
    assert routes(store) == ["/things"]


def test_a_file_of_another_version_is_replaced(open_store, tmp_path) -> None:
    open_store().close()
    with sqlite3.connect(tmp_path / "console/traces.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert routes(open_store()) == []


def test_only_the_owner_can_read_the_file(store, tmp_path) -> None:
    assert (tmp_path / "console").stat().st_mode & 0o077 == 0
    assert (tmp_path / "console/traces.db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"/slow", "/broken", "/missing"}),
        ("is:failed", {"/broken"}),
        ("is:ok", {"/slow", "/missing"}),
        ("status:5xx", {"/broken"}),
        ("status:404", {"/missing"}),
        (">100ms", {"/slow"}),
        ("<0.1s >15ms", {"/missing"}),
        ("service:users", {"/slow"}),
        ("method:get slow", {"/slow"}),
        ("route:bro", {"/broken"}),
        ("ValueError", {"/broken"}),
        ("request-7", {"/missing"}),
        ("SELECT", {"/slow"}),
        ("100%", set()),
        ("_", set()),
        ("'; DROP TABLE traces; --", set()),
        ("status:teapot", set()),
        ("-is:failed", {"/slow", "/missing"}),
        ("-status:404 -slow", {"/broken"}),
        (">=20ms <=1.2s", {"/slow", "/missing"}),
        ('"SELECT accounts"', {"/slow"}),
        ('-"SELECT accounts" is:ok', {"/missing"}),
        ("request_id:request-7", set()),
        ("http.response.status_code:500", {"/broken"}),
        ("http.route:/mis", {"/missing"}),
        ("db.name:x", set()),
    ],
)
def test_a_search_finds_traces_that_match_all_words(store, text, expected) -> None:
    slow = request("/slow", ms=1_200)
    broken = request("/broken", ms=10, error="ValueError: no", http__response__status_code=500)
    missing = request("/missing", ms=20, http__response__status_code=404, request_id="request-7")
    store.add([slow, span("SELECT accounts", parent=slow, service="users"), broken, missing])
    assert set(routes(store, text)) == expected


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("status:5xx is:failed >100ms user.id:42 -method:get", []),
        ("status:teapot", ["status:teapot"]),
        (">soon is:bad -is:worse", [">soon", "is:bad", "is:worse"]),
        ("http://127.0.0.1 note:this", []),
    ],
)
def test_a_term_that_only_looks_like_a_condition_is_named(text, unknown) -> None:
    assert Query(text).unknown == unknown


def test_the_totals_count_every_request_and_job_with_their_failures(store) -> None:
    store.add([request(f"/{at}") for at in range(300)])
    failed = [request("/a", http__response__status_code=500) for _ in range(3)]
    job = span("job email.send", kind="consumer", error="ValueError: no")
    store.add([*failed, job, span("sweep", kind="internal")])
    assert store.totals() == {"requests": 303, "jobs": 1, "failed": 4, "troubled": 0}


def test_requests_that_no_route_matched_are_one_entry(store) -> None:
    paths = [span(f"GET /guess/{at}", url__path=f"/guess/{at}") for at in range(20)]
    store.add([*paths, request("/things")])
    assert {row["route"]: row["requests"] for row in store.routes()} == {None: 20, "/things": 1}
    assert len(routes(store, "is:unmatched")) == 20


def test_jobs_and_other_work_are_found_by_their_kind(store) -> None:
    job = span("job email.send", kind="consumer", service="worker", job__id="j-1")
    store.add([request("/things"), job, span("sweep", kind="internal")])
    assert routes(store) == ["/things"]
    assert routes(store, kind="job") == ["job email.send"]
    assert len(routes(store, kind="")) == 3
    assert routes(store, "j-1", kind="") == ["job email.send"]


def test_a_new_trace_is_not_listed_before_its_root(store) -> None:
    old = span("GET /internal", parent="00000000000000aa", kind="server")
    now = time.time_ns()
    new = replace(span("GET", parent="00000000000000ab", kind="server"), start=now, end=now)
    store.add([old, new])
    assert [row["trace_id"] for row in store.search(Query())] == [old.trace_id]


def test_linked_traces_are_found_in_both_directions(store) -> None:
    root = request("/things")
    job = replace(span("job a", kind="consumer"), links=(Link(root.trace_id, root.span_id),))
    store.add([root, job])
    assert [row["trace_id"] for row in store.find_linked(root.trace_id, [])] == [job.trace_id]
    assert [row["trace_id"] for row in store.find_linked(job.trace_id, [root.trace_id])] == [
        root.trace_id
    ]


def test_routes_have_counts_and_quantiles(store) -> None:
    store.add([request("/a", at=n, ms=n) for n in range(1, 101)])
    store.add([request("/b", http__response__status_code=500)])
    by_route = {row["route"]: row for row in store.routes()}
    a, b = by_route["/a"], by_route["/b"]
    assert (a["requests"], a["failed"], b["failed"]) == (100, 0, 1)
    assert [a[name] // 1_000_000 for name in ("p50", "p95", "longest")] == [50, 95, 100]


def test_lone_surrogates_are_replaced(store) -> None:
    root = request("/\ud800broken", note="\ud800")
    store.add([root])
    (row,) = store.search(Query())
    assert "broken" in row["route"]


def test_an_unknown_trace_is_none(store) -> None:
    assert store.trace(new_trace_id()) is None
