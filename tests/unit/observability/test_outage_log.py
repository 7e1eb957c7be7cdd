"""Consecutive failures of a call are logged once."""

import structlog
from structlog.testing import capture_logs

from twelvefold.observability.outage_log import OutageLog


def test_consecutive_failures_are_logged_once_and_again_after_a_success():
    outage = OutageLog(structlog.get_logger())
    with capture_logs() as lines:
        for reason in ("first", "second"):
            outage.failed("lost", reason=reason)
        outage.succeeded()
        outage.failed("lost", reason="third")
    assert [line["reason"] for line in lines] == ["first", "third"]
    assert {(line["event"], line["log_level"]) for line in lines} == {("lost", "warning")}
