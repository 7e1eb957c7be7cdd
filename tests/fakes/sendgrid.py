"""SendGrid's `POST /v3/mail/send` as its documentation describes it, on a local port."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

FORBIDDEN_HEADERS = {"to", "from", "subject", "cc", "bcc", "reply-to", "content-type"}


@dataclass
class SendGridServer:
    """Accepts emails with `key`. `answer` replaces acceptance, once it is set."""

    key: str
    url: str = ""
    accepted: list[dict[str, Any]] = field(default_factory=list)
    answer: tuple[int, dict[str, str]] | None = None
    stalled: bool = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        if self.stalled:
            await asyncio.Event().wait()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, extra = self._judged(scope, headers, body)
        content = b"" if status == 202 else b'{"errors": [{"message": "no", "field": null}]}'
        given = [(name.lower().encode(), value.encode()) for name, value in extra.items()]
        await send({"type": "http.response.start", "status": status, "headers": given})
        await send({"type": "http.response.body", "body": content})

    def _judged(
        self, scope: Any, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str]]:
        if self.answer is not None:
            return self.answer
        if (scope["method"], scope["path"]) != ("POST", "/v3/mail/send"):
            return 404, {}
        if headers.get("authorization") != f"Bearer {self.key}":
            return 401, {}
        if headers.get("content-type") != "application/json":
            return 415, {}
        email = json.loads(body)
        if not _is_valid(email):
            return 400, {}
        self.accepted.append(email)
        return 202, {"X-Message-Id": "of-sendgrid"}


def _is_valid(email: dict[str, Any]) -> bool:
    recipients = [to for one in email["personalizations"] for to in one["to"]]
    kinds = [part["type"] for part in email["content"]]
    return (
        bool(recipients)
        and all("@" in to["email"] for to in recipients)
        and "@" in email["from"]["email"]
        and bool(email["subject"])
        and kinds in (["text/plain"], ["text/plain", "text/html"])  # in this order
        and all(part["value"] for part in email["content"])
        and not FORBIDDEN_HEADERS & {name.lower() for name in email.get("headers", {})}
    )


@asynccontextmanager
async def open_sendgrid(key: str) -> AsyncIterator[SendGridServer]:
    api = SendGridServer(key)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    api.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(api, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    # Not `serve`: that one takes the signals of the whole process for itself.
    serving = asyncio.create_task(server._serve([listener]))
    async with asyncio.timeout(5):
        while not server.started:
            await asyncio.sleep(0.01)
    yield api
    server.should_exit = True
    await serving
