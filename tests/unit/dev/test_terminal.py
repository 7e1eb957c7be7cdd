"""Output of the commands, which never contains a password that was not requested."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from twelvefold_dev.servers.server import strip_password
from twelvefold_dev.terminal.progress import Progress

ENDPOINTS = {
    "api": "http://127.0.0.1:8000",
    "postgres": "postgresql://postgres:hidden@127.0.0.1:1/postgres",
    "redis": "redis://:hidden@127.0.0.1:2/0",
    "s3": "http://127.0.0.1:3",
    "public": {"api": "http://127.0.0.1:8000", "orders": "http://127.0.0.1:8001"},
}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://role:p@h:1/db", "postgresql://role@h:1/db"),
        ("redis://:p@h:1/0", "redis://h:1/0"),
        ("http://h:1", "http://h:1"),
    ],
)
def test_a_shown_url_has_no_password(url, shown) -> None:
    assert strip_password(url) == shown


def ready(progress: Progress) -> None:
    progress.take({"kind": "starting", "name": "api.1"})
    progress.take({"kind": "up", "name": "api.1", "seconds": 1.0})
    progress.take(
        {
            "kind": "ready",
            "endpoints": ENDPOINTS,
            "endpoints_file": "/x/endpoints.json",
            "mail_folder": "/x/mail",
            "console": "http://127.0.0.1:8400/#token=t",
            "demo": {"email": "demo@example.com", "password": "for-you"},
            "seconds": 2.0,
        }
    )


def test_a_start_ends_with_the_addresses_of_the_stack() -> None:
    output = io.StringIO()
    with Progress(Console(file=output, width=100)) as progress:
        ready(progress)
    text = output.getvalue()
    assert progress.outcome == "ready"
    for shown in (
        "http://127.0.0.1:8000/docs",
        "orders",
        ":8001",
        "/x/mail",
        "/#token=t",
        "for-you",
    ):
        assert shown in text
    assert "hidden" not in text


def test_a_second_start_shows_the_outcome_only() -> None:
    output = io.StringIO()
    with Progress(Console(file=output, width=100)).outcome_only() as progress:
        ready(progress)
    assert "api.1" not in output.getvalue()


def test_a_failed_start_shows_the_last_lines_of_the_failed_process() -> None:
    output = io.StringIO()
    with Progress(Console(file=output, width=100)) as progress:
        progress.take({"kind": "failed", "text": "api.1 ended", "tail": ["[bold] ImportError"]})
    assert progress.outcome == "failed"
    assert "[bold] ImportError" in output.getvalue()
