"""`twelvefold jobs list` on terminals of several widths."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from twelvefold.identifiers import new_id
from twelvefold.jobs.cli import _build_table
from twelvefold.jobs.model import JobRecord, JobStatus

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def record(status: JobStatus = JobStatus.QUEUED, error: str | None = None) -> JobRecord:
    return JobRecord(
        id=new_id(),
        kind="image.process",
        queue="default",
        priority=0,
        owner_id=None,
        status=status,
        progress=50,
        attempts=3,
        crashes=0,
        max_attempts=30,
        cancel_requested=False,
        created_at=NOW,
        run_at=NOW,
        started_at=None,
        finished_at=None,
        result=None,
        error=error,
        version=1,
    )


def printed(records: list[JobRecord], width: int) -> list[str]:
    output = StringIO()
    Console(file=output, width=width).print(_build_table(records, width))
    return output.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_ids_and_states_are_whole_and_no_line_is_too_long(width) -> None:
    records = [record(), record(JobStatus.SUCCEEDED), record(JobStatus.DEAD, "went [wrong] " * 20)]
    lines = printed(records, width)
    assert len(lines) == 1 + len(records)
    assert max(map(len, lines)) <= width
    for job, line in zip(records, lines[1:], strict=True):
        assert line.startswith(f"{job.id}  {job.status}")
        assert "3/30" in line


def test_a_wide_terminal_shows_everything() -> None:
    (heading, line) = printed([record(JobStatus.DEAD, "went [wrong]")], 200)
    assert heading.split() == [
        "id", "status", "kind", "attempts", "created_at", "progress", "crashes", "error",
    ]  # fmt: skip
    assert line.rstrip().endswith("went [wrong]")


def test_no_jobs_are_a_heading() -> None:
    assert len(printed([], 80)) == 1
