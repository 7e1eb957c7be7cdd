"""Search in log files: the lines of a trace, and the newest that match."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twelvefold_dev.console.sources.log_search import MAX_LINES, LogLines, LogQuery

TRACE = "0af7651916cd43dd8448eb211c80319c"


def line(at: str, event: str = "request", level: str = "info", **fields: object) -> str:
    return json.dumps({"time": f"2026-11-23T19:13:{at}Z", "level": level, "event": event, **fields})


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "api.1.log", line("01"), line("03", trace_id=TRACE), line("05"))
    write(tmp_path / "users.1.log", line("02", level="warning"), line("04", trace_id=TRACE))
    write(tmp_path / "postgres.log", "2026-11-23 19:13:02.500 UTC [7] LOG:  ready", "  and more")
    return tmp_path


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{one}\n" for one in lines))


@pytest.fixture
def logs(folder) -> LogLines:
    return LogLines(folder, frozenset({"api", "users"}))


def seconds(lines) -> list[str]:
    return [one["time"][17:19] for one in lines]


def test_lines_of_all_services_are_in_the_order_of_time(logs) -> None:
    assert seconds(logs.newest(LogQuery())) == ["01", "02", "03", "04", "05"]


def test_the_number_of_newest_lines_is_limited(logs) -> None:
    assert seconds(logs.newest(LogQuery(limit=2))) == ["04", "05"]


def test_the_source_is_a_process_a_service_or_a_server(logs) -> None:
    assert seconds(logs.newest(LogQuery(source="users.1"))) == ["02", "04"]
    assert seconds(logs.newest(LogQuery(source="api"))) == ["01", "03", "05"]
    first, second = logs.newest(LogQuery(source="postgres"))
    assert first["event"] == "[7] LOG:  ready"
    assert second["time"] == first["time"] == "2026-11-23T19:13:02.500Z"


def test_a_level_selects_lines_of_at_least_its_severity(logs) -> None:
    assert seconds(logs.newest(LogQuery(level="warning"))) == ["02"]


def test_all_words_must_match(logs) -> None:
    assert seconds(logs.newest(LogQuery(text=f"request {TRACE[:8].upper()}"))) == ["03", "04"]
    assert logs.newest(LogQuery(text="request nowhere")) == []


def test_the_lines_of_a_trace_are_found_in_every_file(logs, folder) -> None:
    write(folder / "api.1.log.1", line("00", trace_id=TRACE), line("00"))
    assert seconds(logs.of_trace(TRACE)) == ["00", "03", "04"]


@pytest.mark.parametrize("trace_id", ["", "request", TRACE.upper(), "../../etc/passwd", "0" * 31])
def test_an_invalid_trace_id_matches_no_line(logs, trace_id) -> None:
    assert logs.of_trace(trace_id) == []


def test_an_incomplete_line_and_one_without_json_are_returned_as_text(logs, folder) -> None:
    with (folder / "api.1.log").open("a") as file:
        file.write('{"event": broken\nTraceback (most recent call last):\nhalf a li')
    events = [one["event"] for one in logs.newest(LogQuery(source="api"))]
    assert events[-3:] == ['{"event": broken', "Traceback (most recent call last):", "half a li"]


def test_a_long_file_is_read_from_its_end(logs, folder) -> None:
    write(folder / "api.1.log", *(line("10", n=n, filler="x" * 500) for n in range(3_000)))
    found = logs.newest(LogQuery(source="api.1", limit=10_000))
    assert [one["fields"]["n"] for one in found] == list(range(3_000 - MAX_LINES, 3_000))
    assert len({one["id"] for one in found}) == MAX_LINES


def test_secrets_in_the_log_of_a_server_are_redacted(folder) -> None:
    write(folder / "api.1.log", line("01", password="hunter2"), "url redis://x:hunter2@h/0")
    logs = LogLines(folder, frozenset({"api"}))
    assert "hunter2" not in json.dumps(logs.newest(LogQuery()))


def test_a_written_line_changes_the_state(logs, folder) -> None:
    before = logs.state()
    assert logs.state() == before
    with (folder / "users.1.log").open("a") as file:
        file.write("more\n")
    assert logs.state() != before


def test_a_missing_folder_has_no_lines(tmp_path) -> None:
    logs = LogLines(tmp_path / "none", frozenset({"api"}))
    assert (logs.newest(LogQuery()), logs.of_trace(TRACE), logs.sources()) == ([], [], [])
