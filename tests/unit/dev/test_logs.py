"""Log lines: readable on a terminal, stored unchanged in bounded files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twelvefold_dev.terminal.logs import LogFile, Renderer

EVENT = {
    "time": "2026-11-23T19:13:37.981591Z",
    "level": "info",
    "event": "request",
    "service": "api",
    "route": "/api/v1/users",
    "status": 201,
}


def test_a_json_line_is_formatted_for_a_terminal() -> None:
    line = Renderer(colours=False).line("api.1", json.dumps(EVENT))
    assert line == "api.1      │ 19:13:37 info    request route=/api/v1/users status=201"


def test_a_traceback_is_printed_below_its_event() -> None:
    line = Renderer(colours=False).line(
        "api.1", json.dumps({**EVENT, "exception": "Traceback\n  x"})
    )
    assert line.splitlines()[1:] == ["Traceback", "  x"]


TRACEBACK = """\
Traceback (most recent call last):
  File "/venv/lib/python3.13/site-packages/fastapi/routing.py", line 7, in app
    return await call()
  File "/home/ada/suite/services/api/src/api/routes/users.py", line 12, in read
    return rows[0]
  File "/venv/lib/python3.13/site-packages/rows.py", line 3, in __getitem__
    raise IndexError("no row")
IndexError: no row"""


def test_a_traceback_begins_with_the_error_and_the_place_in_our_code() -> None:
    line = json.dumps({**EVENT, "exception": TRACEBACK})
    _, *shown = Renderer(colours=False).line("api.1", line).splitlines()
    assert shown[:2] == [
        "IndexError: no row",
        '  File "/home/ada/suite/services/api/src/api/routes/users.py", line 12, in read',
    ]
    assert shown[2:] == TRACEBACK.splitlines()


def test_the_calls_of_libraries_are_dimmed() -> None:
    line = json.dumps({**EVENT, "exception": TRACEBACK})
    shown = Renderer(colours=True).line("api.1", line).splitlines()
    dimmed = [one for one in shown if one.startswith("\x1b[2m") and "site-packages" in one]
    assert len(dimmed) == 2
    assert "    return rows[0]" in shown
    assert "    return await call()" not in shown


def test_a_line_that_is_no_event_is_printed_unchanged() -> None:
    renderer = Renderer(colours=False)
    for text in ("plain", "{broken", '{"no": "event"}', "{}"):
        assert renderer.line("users.1", text) == f"users.1    │ {text}"


def test_all_processes_of_a_service_have_its_colour() -> None:
    renderer = Renderer(colours=True)
    first, second = (renderer.line(name, "x").partition("m")[0] for name in ("api.1", "api.2"))
    assert first == second


def test_a_log_file_is_bounded(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "api.1.log", max_bytes=1_000)
    for number in range(300):
        file.write(f"line {number}".encode())
    file.close()
    kept = sorted(tmp_path.iterdir())
    assert [path.name for path in kept] == ["api.1.log", "api.1.log.1"]
    assert sum(path.stat().st_size for path in kept) < 2_100
    assert kept[0].read_text().splitlines()[-1] == "line 299"


HOSTILE = "/\x1b[2J\x9b31m\u202e\r\nforged"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({**EVENT, "path": HOSTILE}),
        json.dumps({**EVENT, "event": HOSTILE}),
        json.dumps({**EVENT, "level": HOSTILE, "time": HOSTILE}),
        json.dumps({**EVENT, HOSTILE: "x"}),
        json.dumps({**EVENT, "exception": f"Traceback\n  {HOSTILE}"}),
        json.dumps({**EVENT, "nested": {"path": HOSTILE}}),
        HOSTILE,
        "{" + HOSTILE,
        json.dumps([HOSTILE]) + "\x1b[2J",
    ],
)
def test_nothing_of_a_strangers_moves_the_cursor_or_turns_the_writing(text) -> None:
    line = Renderer(colours=False).line("api.1", text)
    assert all(char.isprintable() or char == "\n" for char in line)


def test_a_strangers_line_break_forges_no_line() -> None:
    line = Renderer(colours=False).line("api.1", json.dumps({**EVENT, "path": "/\nforged"}))
    assert "\n" not in line
