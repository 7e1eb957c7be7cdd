"""Which calls are tried again, how often, and what the caller sees in the end."""

import uuid

import httpx
import pytest

from twelvefold_client import (
    ApiProblem,
    OutcomeUnknown,
    RetryBudget,
    RetryPolicy,
    Unreachable,
    models,
)

from .script import QUICK, Script, client_of, job, problem

ID = uuid.uuid4()
NEW_JOB = models.JobCreate("image.process", models.JobCreatePayload())
PASSWORD = models.PasswordChange(current="correct horse", new="battery staple")
LOST = httpx.ReadError("lost")
REFUSED = httpx.ConnectError("refused")
UNAVAILABLE = ("dependency-unavailable", "unavailable", "internal")


def test_a_read_is_repeated_after_a_lost_response_and_after_server_errors():
    script = Script(
        LOST, problem(503, "dependency-unavailable"), problem(500, "internal"), job(200)
    )
    assert client_of(script).get_job(ID).status is models.JobStatus.QUEUED
    assert len(script.requests) == 4


def test_a_call_with_a_key_keeps_it_over_all_tries_and_takes_a_new_one_for_the_next_call():
    script = Script(LOST, problem(409, "request-in-progress"), job(), job())
    client = client_of(script)
    client.create_job(NEW_JOB)
    client.create_job(NEW_JOB)
    first, second, third, other = script.headers("idempotency-key")
    assert first == second == third
    assert first != other
    assert uuid.UUID(first).version == 4


def test_a_key_of_the_callers_choice_is_sent():
    script = Script(job())
    client_of(script).create_job(NEW_JOB, idempotency_key="mine")
    assert script.headers("idempotency-key") == ["mine"]


@pytest.mark.parametrize(
    "answer", [LOST, httpx.ReadTimeout("late"), *(problem(503, code) for code in UNAVAILABLE)]
)
def test_a_call_without_a_key_whose_outcome_is_unknown_says_so_and_is_not_repeated(answer):
    script = Script(answer)
    with pytest.raises(OutcomeUnknown) as caught:
        client_of(script).change_password(PASSWORD)
    assert caught.value.operation == "change_password"
    assert caught.value.__cause__ is not None
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "answer", [REFUSED, problem(429, "too-many-requests"), problem(503, "overloaded")]
)
def test_a_call_that_was_not_executed_is_repeated_whatever_it_is(answer):
    script = Script(answer, httpx.Response(204))
    client_of(script).change_password(PASSWORD)
    assert len(script.requests) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 422])
def test_a_client_error_is_raised_at_once_with_its_type_and_request(status):
    script = Script(problem(status, "some-code"))
    with pytest.raises(ApiProblem) as caught:
        client_of(script).get_job(ID)
    assert (caught.value.status, caught.value.type) == (status, "/problems/some-code")
    assert (caught.value.code, caught.value.request_id) == ("some-code", "r1")
    assert len(script.requests) == 1


def test_a_deletion_whose_response_was_lost_counts_as_done_where_nothing_is_left():
    script = Script(LOST, problem(404, "not-found"))
    client_of(script).delete_image(ID)
    assert len(script.requests) == 2


def test_a_deletion_of_what_never_was_is_a_problem():
    script = Script(problem(404, "not-found"))
    with pytest.raises(ApiProblem):
        client_of(script).delete_image(ID)


def test_after_the_last_try_a_read_is_unreachable_and_a_keyed_call_of_unknown_outcome():
    with pytest.raises(Unreachable):
        client_of(Script(*[LOST] * 4)).get_job(ID)
    with pytest.raises(OutcomeUnknown) as caught:
        client_of(Script(*[LOST] * 4)).create_job(NEW_JOB)
    assert caught.value.idempotency_key is not None
    with pytest.raises(Unreachable):  # never sent
        client_of(Script(*[REFUSED] * 4)).create_job(NEW_JOB)


def test_a_wait_is_never_shorter_than_the_server_asks_and_spreads_beyond_it():
    policy = RetryPolicy(first_wait=0.5, max_wait=4.0)
    waits = [policy.wait(tries=2, retry_after=3.0) for _ in range(200)]
    assert 3.0 <= min(waits) < max(waits) <= 5.0
    assert len(set(waits)) > 100


def test_no_try_starts_after_the_budget_of_the_call():
    script = Script(problem(429, "too-many-requests", **{"retry-after": "31"}))
    with pytest.raises(ApiProblem) as caught:
        client_of(script, retries=RetryPolicy(budget=30.0)).get_job(ID)
    assert caught.value.retry_after == 31
    assert len(script.requests) == 1


def test_the_retries_of_all_calls_share_one_budget():
    script = Script(LOST, LOST, LOST)
    client = client_of(script, retry_budget=RetryBudget(capacity=1, refund=0.5), retries=QUICK)
    with pytest.raises(Unreachable):
        client.get_job(ID)
    with pytest.raises(Unreachable):  # the outage still lasts: no retry is left
        client.get_job(ID)
    assert len(script.requests) == 3


def test_successes_refill_the_budget_of_retries():
    budget = RetryBudget(capacity=1, refund=0.5)
    assert budget.take()
    assert not budget.take()
    budget.put_back()
    budget.put_back()
    assert budget.take()
