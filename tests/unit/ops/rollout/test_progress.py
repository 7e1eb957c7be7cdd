"""What a person and a pipeline see of a rollout."""

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
    Event("figures", "nothing to complain of so far", FIGURES),
    Event("words", "api-canary-1:\nValueError: [nothing]\n", {"release": "api-canary"}),
    Event("ended", "api: everything is as before: too slow", {"exit_code": 1, "outcome": "undone"}),
)


def shown(progress: Progress) -> None:
    for event in EVENTS:
        progress.take(event)
    progress.close()


def test_a_pipeline_gets_one_object_a_line_with_the_figures() -> None:
    out = io.StringIO()

    shown(JsonLines(out))

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["kind"] for line in lines] == ["stage", "figures", "words", "ended"]
    assert lines[1]["new"]["error_ratio"] == 0.05
    assert lines[-1]["exit_code"] == 1
    assert all(line["at"].endswith("+00:00") for line in lines)


def test_a_log_gets_lines_of_text_with_the_time() -> None:
    out = io.StringIO()

    shown(Lines(out))

    text = out.getvalue()
    assert "- 5 % of the requests" in text
    assert "new 1200 requests, 5.00% errors, p99 245 ms" in text
    assert "ValueError: [nothing]" in text


def test_a_log_is_not_flooded_with_figures() -> None:
    out = io.StringIO()
    lines = Lines(out)

    for _ in range(100):
        lines.take(EVENTS[1])

    assert len(out.getvalue().splitlines()) == 1


def test_a_reader_that_goes_does_not_end_the_rollout() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as out:  # noqa: PTH123 (a descriptor)
        for kind in (JsonLines, Lines):
            shown(kind(out))
            shown(kind(out))  # and what follows goes nowhere


def test_a_terminal_shows_what_is_done_and_both_versions_beside_each_other() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, record=True)
    screen = Screen(console)
    screen.take(EVENTS[0])
    screen.take(EVENTS[1])
    live = Console(file=io.StringIO(), width=100, record=True)
    live.print(screen._shown())
    for event in EVENTS[2:]:
        screen.take(event)
    screen.close()

    now = live.export_text()
    assert "1,200" in now
    assert "5.00%" in now
    assert "245 ms" in now
    after = console.export_text()
    assert "5 % of the requests" in after
    assert "ValueError: [nothing]" in after  # not read as markup
    assert "everything is as before: too slow" in after
