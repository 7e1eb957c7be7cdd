"""Kinds, states, backoff and results, without a server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.contracts.jobs import JobPayload
from twelvefold.errors import DependencyUnavailable, Rejected
from twelvefold.jobs import Backoff, HandlerRegistry, JobKind, JobStatus
from twelvefold.jobs.queue import unique_id
from twelvefold.jobs.worker.execution import describe, encode_result


@given(failures=st.integers(1, 10_000))
def test_a_backoff_grows_to_its_cap_and_is_never_negative(failures):
    backoff = Backoff(base=2.0, cap=60.0)
    assert 0.0 <= backoff.delay(failures) <= min(60.0, 2.0 * 2.0 ** min(failures - 1, 30))


def test_a_backoff_is_at_least_as_long_as_retry_after():
    assert Backoff(base=0.0, cap=0.0).delay(1, at_least=7.0) == 7.0


def test_all_states_except_queued_running_and_failed_are_terminal():
    active = {JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED}
    assert {status for status in JobStatus if not status.is_terminal} == active


def test_a_kind_has_one_handler():
    async def handler(job, payload):
        return None

    registry = HandlerRegistry()
    registry.add(JobKind("test.work", JobPayload), handler)
    with pytest.raises(ValueError, match=r"test\.work"):
        registry.add(JobKind("test.work", JobPayload), handler)


def test_the_id_of_a_unique_key_never_changes():
    # Existing rows depend on it.
    assert str(unique_id("jobs.prune", "tick 1")) == "a48f1061-7704-59f0-935b-69ede9effe64"


@pytest.mark.parametrize(
    ("result", "encoded"),
    [
        (None, None),
        ({"a": 1}, '{"a":1}'),
        ({"path": "C:\\u0000"}, '{"path":"C:\\\\u0000"}'),
        ({"snow": "☃"}, '{"snow":"☃"}'),
    ],
)
def test_a_result_is_json(result, encoded):
    assert encode_result(result) == encoded


@pytest.mark.parametrize(
    "result",
    [
        {"nul": "a\x00b"},
        {"escaped": "\\\x00"},
        {"half": "\ud800"},
        {"infinite": float("inf")},
        {"large": "x" * 70_000},
        {"object": object()},
    ],
)
def test_a_result_that_postgresql_rejects_is_rejected_before(result):
    with pytest.raises((TypeError, ValueError)):
        encode_result(result)


def test_an_owner_reads_messages_of_this_project_but_not_of_foreign_errors():
    assert describe(Rejected("is not an image")) == "is not an image"
    assert describe(DependencyUnavailable("s3")) == "The dependency s3 does not respond."
    secret = ValueError("postgresql://worker:password@db")
    assert describe(secret) == "internal error (ValueError)"
