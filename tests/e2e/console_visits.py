"""Visitors of a running suite: requests of every kind, and the edges of each one's trace.

Owns the table of expected edges. An edge is a parent and a child, each `service span`. The
`api` span of the request itself is what a row begins with.
"""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import httpx
from PIL import Image

PASSWORD = "correct horse battery staple"
UNAVAILABLE = 503


def chain(*spans: str) -> list[tuple[str, str]]:
    """The edges of a line of spans, each the parent of the next."""
    return list(pairwise(spans))


def through_users(request: str, call: str, inside: str, *then: str) -> list[tuple[str, str]]:
    """Over the hop to users: the edge's request, its call, and the request that arrives."""
    return chain(f"api {request}", f"api {call} users", f"users {call} {inside}", *then)


def _registration() -> list[tuple[str, str]]:
    request = "users POST /internal/v1/users"
    return [
        *through_users("POST /api/v1/users", "POST", "/internal/v1/users"),
        *chain("api POST /api/v1/users", "api EVALSHA"),  # the rate limit
        *chain(request, "users users.validate"),
        *chain(request, "users password.hash"),
        *chain(request, "users insert users.accounts", "users INSERT users.accounts"),
        *chain(request, "users enqueue email.send", "users INSERT jobs.jobs"),
        *chain(request, "users cache.set"),
        # The job, in the same trace, and what it brings about.
        *chain("users enqueue email.send", "worker job email.send", "worker mail.send"),
        *chain(
            "worker job email.send", "worker PUT users", "users PUT /internal/v1/emails/{job_id}"
        ),
        *chain("worker job email.send", "worker job.settle"),
    ]


def _upload(request: str, owner: str, report: str) -> list[tuple[str, str]]:
    """An image: the object, the row, the job, its variants and the report to the owner."""
    return [
        *chain(f"api {request}", "api S3.PutObject"),
        *chain(f"api {request}", "api enqueue image.process", "api INSERT jobs.jobs"),
        *chain("api enqueue image.process", "worker job image.process", "worker S3.GetObject"),
        *chain("worker job image.process", "worker image.decode"),
        *chain("worker job image.process", "worker S3.PutObject"),
        *chain("worker job image.process", f"worker PUT {owner}", f"{owner} PUT {report}"),
    ]


EDGES: dict[str, list[tuple[str, str]]] = {
    "POST /api/v1/users": _registration(),
    "POST /api/v1/auth/token": through_users(
        "POST /api/v1/auth/token", "POST", "/internal/v1/tokens", "users password.verify"
    ),
    "GET /api/v1/users/me": chain("api GET /api/v1/users/me", "api cache.get"),
    "GET /api/v1/users/{user_id}": chain("api GET /api/v1/users/{user_id}", "api cache.get"),
    "PATCH /api/v1/users/me": [
        *through_users(
            "PATCH /api/v1/users/me",
            "PATCH",
            "/internal/v1/users/{user_id}",
            "users update users.accounts",
            "users UPDATE users.accounts",
        ),
        *chain("users PATCH /internal/v1/users/{user_id}", "users cache.set"),
    ],
    "GET /api/v1/users/me/sessions": through_users(
        "GET /api/v1/users/me/sessions", "GET", "/internal/v1/users/{user_id}/sessions"
    ),
    "PUT /api/v1/users/me/avatar": _upload(
        "PUT /api/v1/users/me/avatar", "users", "/internal/v1/users/{user_id}/avatar"
    ),
    "POST /api/v1/images": [
        *_upload("POST /api/v1/images", "api", "/internal/v1/images/{image_id}/variants"),
        *chain("api POST /api/v1/images", "api insert api.images", "api INSERT api.images"),
    ],
    "GET /api/v1/images": chain(
        "api GET /api/v1/images", "api select api.images", "api SELECT api.images"
    ),
    "GET /api/v1/images/{image_id}": chain(
        "api GET /api/v1/images/{image_id}", "api select api.images", "api SELECT api.images"
    ),
    "GET /api/v1/jobs": chain("api GET /api/v1/jobs", "api SELECT jobs.job_status"),
    "GET /api/v1/jobs/{job_id}": chain(
        "api GET /api/v1/jobs/{job_id}", "api SELECT jobs.job_status"
    ),
    "POST /api/v1/jobs": [
        *chain("api POST /api/v1/jobs", "api enqueue image.process", "worker job image.process"),
        *chain("worker job image.process", "worker S3.PutObject"),
    ],
    "DELETE /api/v1/images/{image_id}": [
        *chain("api DELETE /api/v1/images/{image_id}", "api delete api.images"),
        *chain("api DELETE /api/v1/images/{image_id}", "api S3.DeleteObject"),
    ],
    # Refused at the door: nothing but the request itself.
    "GET": [],
    "GET /health": [],
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: its id, and what its trace is expected to look like."""

    request_id: str
    operation: str
    status: int


@dataclass(slots=True)
class Visitor:
    """A client that does everything once, in requests with ids of their own."""

    client: httpx.AsyncClient
    sent: list[Sent]
    enough: Callable[[], bool]
    uploads: bool
    address: str = field(default_factory=lambda: f"visitor.{uuid.uuid4().hex}@example.com")

    async def ask(self, operation: str, path: str = "", **arguments: object) -> httpx.Response:
        method, _, template = operation.partition(" ")
        while True:
            response = await self.client.request(method, path or template, **arguments)  # type: ignore[arg-type]  # passed on
            self.sent.append(
                Sent(response.headers["x-request-id"], operation, response.status_code)
            )
            if response.status_code != UNAVAILABLE:
                return response
            await asyncio.sleep(float(response.headers["retry-after"]))

    async def visit(self) -> None:
        account = await self.ask(
            "POST /api/v1/users",
            json={"email": self.address, "name": "Ada", "password": PASSWORD},
            headers={"idempotency-key": f'"{uuid.uuid4()}"'},
        )
        form = {"grant_type": "password", "username": self.address, "password": PASSWORD}
        tokens = await self.ask("POST /api/v1/auth/token", data=form)
        bearer = {"authorization": f"Bearer {tokens.json()['access_token']}"}
        self.client.headers.update(bearer)
        shown = await self.ask("GET /api/v1/users/me")
        user = f"/api/v1/users/{account.json()['id']}"
        await self.ask("GET /api/v1/users/{user_id}", user)
        await self.ask(
            "PATCH /api/v1/users/me",
            json={"name": "B"},
            headers={"if-match": shown.headers["etag"]},
        )
        await self.ask("GET /api/v1/users/{user_id}", user)
        await self.ask("GET /api/v1/users/me/sessions")
        await self.ask("GET", "/nowhere/at/all")
        await self.ask("GET /health")
        for _ in range(3):
            await self.ask("GET /api/v1/images")
            await self.ask("GET /api/v1/jobs")
        if self.uploads and not self.enough():
            await self._upload()

    async def _upload(self) -> None:
        jpeg = {"content-type": "image/jpeg"}
        await self.ask("PUT /api/v1/users/me/avatar", content=picture(), headers=jpeg)
        posted = await self.ask("POST /api/v1/images", content=picture(), headers=jpeg)
        image = posted.json()["image"]["id"]
        path = f"/api/v1/images/{image}"
        await self.ask("GET /api/v1/images/{image_id}", path)
        await self.ask("GET /api/v1/jobs/{job_id}", f"/api/v1/jobs/{posted.json()['job']['id']}")
        again = {"type": "image.process", "payload": {"image_id": image}}
        await self.ask("POST /api/v1/jobs", json=again)
        other = await self.ask("POST /api/v1/images", content=picture(), headers=jpeg)
        job = other.json()["job"]["id"]
        while True:  # deleted meanwhile, its job would have nothing to do
            state = await self.ask("GET /api/v1/jobs/{job_id}", f"/api/v1/jobs/{job}")
            if state.json()["status"] == "succeeded":
                break
            await asyncio.sleep(0.2)
        path = f"/api/v1/images/{other.json()['image']['id']}"
        await self.ask("DELETE /api/v1/images/{image_id}", path)


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(content, "JPEG")
    return content.getvalue()
