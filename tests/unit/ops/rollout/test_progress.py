"""How a rollout is displayed on a terminal, in a log, and to a pipeline."""

from __future__ import annotations

import io
import json
import os

from rich.console import Console

from twelvefold_ops.rollout.model import Event
from twelvefold_ops.rollout.progress import JsonLines, Lines, Progress, Screen

FIGURES = {
    "weight": 5,
    "seconds": 10.0,
    "of": 30.0,
    "judgement": "open",
    "new": {
        "requests": 1200,
        "errors": 60,
        "error_ratio": 0.05,
        "p99": 0.245,
        "runs": 0,
        "failed_runs": 0,
    },
    "old": {
        "requests": 22800,
        "errors": 0,
        "error_ratio": 0.0,
        "p99": None,
        "runs": 0,
        "failed_runs": 0,
    },
}
EVENTS = (
    Event("stage", "5 % of the requests to the new version", {"step": "weight-5", "weight": 5}),
    Event("figures", "no criterion exceeded so far", FIGURES),
    Event("words", "api-canary-1:\nValueError: [nothing]\n", {"release": "api-canary"}),
    Event(
        "ended",
        "api: the former state is restored: too slow",
        {"exit_code": 1, "outcome": "undone"},
    ),
)


def show_all(progress: Progress) -> None:
    for event in EVENTS:
        progress.show(event)
    progress.close()


def test_a_pipeline_gets_one_object_per_line_with_the_metrics() -> None:
    out = io.StringIO()

    show_all(JsonLines(out))

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["kind"] for line in lines] == ["stage", "figures", "words", "ended"]
    assert lines[1]["new"]["error_ratio"] == 0.05
    assert lines[-1]["exit_code"] == 1
    assert all(line["at"].endswith("+00:00") for line in lines)


def test_a_log_gets_lines_of_text_with_the_time() -> None:
    out = io.StringIO()

    show_all(Lines(out))

    text = out.getvalue()
    assert "- 5 % of the requests" in text
    assert "new 1200 requests, 5.00% errors, p99 245 ms" in text
    assert "ValueError: [nothing]" in text


def test_a_log_gets_few_lines_of_metrics() -> None:
    out = io.StringIO()
    lines = Lines(out)

    for _ in range(100):
        lines.show(EVENTS[1])

    assert len(out.getvalue().splitlines()) == 1


def test_a_closed_pipe_does_not_end_the_rollout() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "w") as out:  # noqa: PTH123 (a descriptor)
        for kind in (JsonLines, Lines):
            show_all(kind(out))
            show_all(kind(out))  # later events are discarded


def test_a_terminal_shows_finished_stages_and_the_metrics_of_both_versions() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, record=True)
    screen = Screen(console)
    screen.show(EVENTS[0])
    screen.show(EVENTS[1])
    live = Console(file=io.StringIO(), width=100, record=True)
    live.print(screen.render())
    for event in EVENTS[2:]:
        screen.show(event)
    screen.close()

    now = live.export_text()
    assert "1,200" in now
    assert "5.00%" in now
    assert "245 ms" in now
    after = console.export_text()
    assert "5 % of the requests" in after
    assert "ValueError: [nothing]" in after  # not interpreted as markup
    assert "the former state is restored: too slow" in after
