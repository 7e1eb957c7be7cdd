"""A server that answers by a script, and clients of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from twelvefold_client import RetryPolicy, Tokens, Twelvefold

QUICK = RetryPolicy(max_tries=4, first_wait=0.0, max_wait=0.0)
JOB = {
    "id": str(uuid.UUID(int=1)),
    "type": "image.process",
    "status": "queued",
    "progress": 0,
    "attempts": 0,
    "max_attempts": 5,
    "created_at": "2026-03-01T09:30:00Z",
    "run_at": "2026-03-01T09:30:00Z",
    "started_at": None,
    "finished_at": None,
    "result": None,
    "error": None,
}
Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    members = {"type": f"/problems/{code}", "title": code, "status": status, "detail": "because"}
    content = json.dumps({**members, "instance": "/", "request_id": "r1"})
    return httpx.Response(
        status, content=content, headers={"content-type": "application/problem+json", **headers}
    )


def job(status: int = 202, **members: Any) -> httpx.Response:
    return httpx.Response(status, json={**JOB, **members})


def pair(access: str, refresh: str = "next", expires_in: int = 600) -> httpx.Response:
    body = {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "refresh_token": refresh,
        "scope": "",
    }
    return httpx.Response(200, json=body)


class Script:
    """Answers in turn, and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def headers(self, name: str) -> list[str | None]:
        return [request.headers.get(name) for request in self.requests]


def client_of(script: Script, **options: Any) -> Twelvefold:
    options = {"tokens": Tokens("first", "refresh"), "retries": QUICK, **options}
    return Twelvefold("http://api.test", transport=httpx.MockTransport(script), **options)
