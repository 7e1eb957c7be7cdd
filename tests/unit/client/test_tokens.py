"""Tokens: renewed once for all calls, before they expire or after a 401, and reported."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import anyio
import anyio.lowlevel
import httpx
import pytest

from twelvefold_client import (
    AsyncTwelvefold,
    LoginRequired,
    OutcomeUnknown,
    TokenRefused,
    Tokens,
)

from .script import QUICK, Script, client_of, job, pair, problem

ID = uuid.uuid4()
OVER = httpx.Response(400, json={"error": "invalid_grant", "error_description": "is over"})


def is_renewal(request: httpx.Request) -> bool:
    return request.url.path == "/api/v1/auth/token"


def by_token(request: httpx.Request) -> httpx.Response:
    """A server that knows the second access token only."""
    if is_renewal(request):
        assert parse_qs(request.content.decode())["refresh_token"] == ["refresh"]
        return pair("second")
    good = request.headers["authorization"] == "Bearer second"
    return job(200) if good else problem(401, "unauthenticated")


def test_a_refused_token_is_renewed_and_the_call_repeated_with_the_new_one():
    kept: list[Tokens | None] = []
    script = Script(*[by_token] * 3)
    client = client_of(script, on_tokens=kept.append)
    client.get_job(ID)
    assert script.headers("authorization") == ["Bearer first", None, "Bearer second"]
    assert [found and found.access for found in kept] == ["second"]
    assert client.tokens
    assert client.tokens.refresh == "next"


def test_a_token_is_renewed_before_it_expires():
    script = Script(*[by_token] * 2)
    client_of(script, tokens=Tokens("first", "refresh", time.time() + 5)).get_job(ID)
    assert script.headers("authorization") == [None, "Bearer second"]


def test_of_many_threads_one_renews_and_the_others_wait_for_it():
    together = threading.Barrier(8)

    def answer(request):
        if request.headers.get("authorization") == "Bearer first":
            together.wait(timeout=10)  # all are refused before one can renew
        return by_token(request)

    script = Script(*[answer] * 17)
    client = client_of(script)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(client.get_job, [ID] * 8))
    assert sum(map(is_renewal, script.requests)) == 1


async def test_of_many_tasks_one_renews_and_the_others_wait_for_it():
    script = Script(*[by_token] * 17)

    async def answer(request):
        await anyio.lowlevel.checkpoint()
        return script(request)

    client = AsyncTwelvefold(
        "http://api.test",
        tokens=Tokens("first", "refresh"),
        retries=QUICK,
        transport=httpx.MockTransport(answer),
    )
    async with client, anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(client.get_job, ID)
    assert sum(map(is_renewal, script.requests)) == 1


def test_a_session_that_is_over_asks_for_a_login():
    with pytest.raises(LoginRequired) as caught:
        client_of(Script(problem(401, "unauthenticated"), OVER)).get_job(ID)
    assert isinstance(caught.value.__cause__, TokenRefused)


def test_a_call_without_a_session_asks_for_a_login_and_sends_nothing():
    script = Script()
    with pytest.raises(LoginRequired):
        client_of(script, tokens=None).get_job(ID)
    assert not script.requests


def test_a_renewal_whose_response_was_lost_is_repeated_at_once():
    script = Script(
        problem(401, "unauthenticated"), httpx.ReadError("lost"), pair("second"), job(200)
    )
    client_of(script).get_job(ID)
    assert script.requests[1].content == script.requests[2].content


def test_a_login_is_not_repeated_because_each_opens_a_session():
    script = Script(httpx.ReadError("lost"))
    with pytest.raises(OutcomeUnknown):
        client_of(script, tokens=None).log_in("ada@example.com", "correct horse")
    assert len(script.requests) == 1


def test_a_refused_login_names_the_error_of_the_token_endpoint():
    with pytest.raises(TokenRefused) as caught:
        client_of(Script(OVER), tokens=None).log_in("ada@example.com", "wrong")
    assert caught.value.error == "invalid_grant"


def test_a_deletion_of_the_account_whose_response_was_lost_leaves_its_outcome_unknown():
    script = Script(httpx.ReadError("lost"), problem(401, "unauthenticated"), OVER)
    with pytest.raises(OutcomeUnknown):
        client_of(script).delete_me()


def test_logging_out_ends_the_session_and_forgets_the_tokens():
    kept: list[Tokens | None] = []
    script = Script(httpx.ReadError("lost"), httpx.Response(200))
    client = client_of(script, on_tokens=kept.append)
    client.log_out()
    assert client.tokens is None
    assert kept == [None]
    assert script.requests[1].content == b"token=refresh"


def test_no_token_is_shown_where_tokens_are_printed():
    assert "secret" not in repr(Tokens("secret", "secret"))
