"""The requests to the system during faults, and their responses.

Producers commit jobs as any service does; people register, change their names and upload pictures
over HTTP. Each notes what it saw in the history, and nothing that only the system would know.
"""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import uuid4

import httpx
from httpx_aiohttp import AiohttpTransport
from PIL import Image
from pydantic import SecretStr
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.history import History, Outcome
from tests.chaos.worker_child import KINDS, Payload

from twelvefold.database.database import CommitOutcomeUnknown, Database
from twelvefold.errors import TwelvefoldError
from twelvefold.identifiers import new_id
from twelvefold.jobs import JobQueue, RedisWakeupPublisher
from twelvefold.settings import PostgresSettings, RedisSettings

ENQUEUE, REGISTER, RENAME, UPLOAD = "enqueue", "register", "rename", "upload"
PASSWORD = "correct horse battery staple"
PATIENCE = 60.0  # seconds for which a client repeats what it does not know the outcome of
_UPLOADS = 0.04  # share of what a person does; a picture costs more than everything else
_STUBBORN = 0.05  # share of jobs whose first attempt fails


@dataclass
class Producer:
    """Commits jobs at a rate, each with an id that is noted before the request."""

    ground: ChaosEnvironment
    history: History
    rate: float  # a second
    seed: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, count: int) -> None:
        chance = random.Random(self.seed + 2)  # noqa: S311 (a load)
        database = Database(
            PostgresSettings(
                environment="testing",
                database_url=SecretStr(self.ground.url("postgres", "api_app")),
                database_statement_timeout=5.0,
            ),
            application_name="chaos-producer",
        )
        redis = RedisSettings(environment="testing", redis_url=SecretStr(self.ground.url("redis")))
        wakeups = RedisWakeupPublisher(redis)
        began = time.monotonic()
        try:
            async with wakeups.running(), asyncio.TaskGroup() as group:
                queue = JobQueue(database, wakeups)
                for number in range(count):
                    await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
                    kind = KINDS[number % len(KINDS)]
                    payload = Payload(stubborn=chance.random() < _STUBBORN)
                    group.create_task(self._enqueue(database, queue, kind, payload))
        finally:
            await database.aclose()

    async def _enqueue(
        self, database: Database, queue: JobQueue, kind: str, payload: Payload
    ) -> None:
        job_id = new_id()
        self.history.note(ENQUEUE, job_id, Outcome.INVOKE, kind=kind)
        try:
            async with database.transaction() as transaction:
                await queue.enqueue(transaction, kind, payload, queue="chaos", job_id=job_id)
        except CommitOutcomeUnknown:
            self.history.note(ENQUEUE, job_id, Outcome.UNKNOWN)
        except TwelvefoldError as error:
            self.history.note(ENQUEUE, job_id, Outcome.FAIL, error=error.detail)
        except Exception as error:
            self.history.note(ENQUEUE, job_id, Outcome.UNKNOWN, error=repr(error))
        else:
            self.history.note(ENQUEUE, job_id, Outcome.OK)


def picture() -> bytes:
    """A small JPEG, each another one."""
    image = Image.new("RGB", (64, 48), tuple(uuid4().bytes[:3]))
    content = io.BytesIO()
    image.save(content, "JPEG")
    return content.getvalue()


@dataclass
class Tally:
    """How many requests were answered, and how many were not, or by a 5xx."""

    answered: int = 0
    failed: int = 0

    def copy(self) -> Tally:
        return replace(self)

    def __sub__(self, earlier: Tally) -> Tally:
        return Tally(self.answered - earlier.answered, self.failed - earlier.failed)


@dataclass
class Person:
    """Somebody with an account who goes on trying, as a careful client does.

    Notes what only they can see: responses to another client, and reads that are older than
    their own last change.
    """

    http: httpx.AsyncClient
    history: History
    stop: asyncio.Event
    tally: Tally
    pause: float = 0.2
    email: str = field(default_factory=lambda: f"chaos.{uuid4().hex}@example.com")
    id: str = ""
    token: str = ""
    version: int = 1
    names: int = 0
    settled: bool = False  # has begun to live

    async def live(self) -> None:
        if not await self._register():
            return
        while not self.stop.is_set():
            upload = random.random() < _UPLOADS  # noqa: S311 (a load)
            await (self._upload() if upload else self._rename())
            self.settled = True
            await asyncio.sleep(self.pause)

    async def _register(self) -> bool:
        body = {"email": self.email, "name": "Name 0", "password": PASSWORD}
        response = await self._keyed(REGISTER, self.email, "/api/v1/users", json=body)
        if response is None or response.status_code != httpx.codes.CREATED:
            return False
        self.id = response.json()["id"]
        return True

    async def _upload(self) -> None:
        headers = {"Content-Type": "image/jpeg"}
        await self._keyed(
            UPLOAD, uuid4(), "/api/v1/images", signed_in=True, content=picture(), headers=headers
        )

    async def _rename(self) -> None:
        """Reads, and changes what it has read: a lost answer to that is never repeated blindly."""
        read = await self._send("GET", f"/api/v1/users/{self.id}", signed_in=True)
        if read is None or read.status_code != httpx.codes.OK:
            return
        if read.json()["id"] != self.id:
            self.history.note("crossed", self.id, Outcome.FAIL)
        if _version(read) < self.version:
            self.history.note("stale", self.id, Outcome.FAIL)
        self.names += 1
        name = f"Name {self.names}"
        key = f"{self.email} {name}"
        self.history.note(RENAME, key, Outcome.INVOKE, etag=read.headers["etag"])
        response = await self._send(
            "PATCH",
            "/api/v1/users/me",
            signed_in=True,
            json={"name": name},
            headers={"If-Match": read.headers["etag"]},
        )
        outcome = _outcome(response)
        if outcome is Outcome.OK and response is not None:
            self.version = _version(response)
        self.history.note(RENAME, key, outcome)

    async def _keyed(
        self,
        operation: str,
        key: object,
        path: str,
        *,
        signed_in: bool = False,
        headers: dict[str, str] | None = None,
        **content: object,
    ) -> httpx.Response | None:
        """POSTs with an idempotency key until the outcome is known, or patience ends."""
        sent = {**(headers or {}), "Idempotency-Key": str(key)}
        deadline = time.monotonic() + PATIENCE
        self.history.note(operation, key, Outcome.INVOKE)
        while True:
            response = await self._send("POST", path, signed_in=signed_in, headers=sent, **content)
            outcome = _outcome(response)
            if outcome is not Outcome.UNKNOWN or time.monotonic() > deadline:
                seen = {} if response is None else {"status": response.status_code}
                if outcome is Outcome.OK and response is not None:
                    found = response.json()
                    seen["id"] = found.get("image", found)["id"]
                self.history.note(operation, key, outcome, **seen)
                return response
            await asyncio.sleep(self.pause)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        signed_in: bool = False,
        headers: dict[str, str] | None = None,
        **content: object,
    ) -> httpx.Response | None:
        """The answer, or None where there was none."""
        if signed_in:
            if not self.token and not await self._sign_in():
                return None
            headers = {**(headers or {}), "Authorization": f"Bearer {self.token}"}
        response = await self._request(method, path, headers=headers, **content)
        if response is not None and response.status_code == httpx.codes.UNAUTHORIZED:
            self.token = ""
            return None
        return response

    async def _sign_in(self) -> bool:
        form = {"grant_type": "password", "username": self.email, "password": PASSWORD}
        response = await self._request("POST", "/api/v1/auth/token", data=form)
        if response is None or response.status_code != httpx.codes.OK:
            return False
        self.token = response.json()["access_token"]
        return True

    async def _request(self, method: str, path: str, **content: object) -> httpx.Response | None:
        try:
            response = await self.http.request(method, path, **content)  # type: ignore[arg-type]  # httpx's own keywords
        except httpx.HTTPError:
            self.tally.failed += 1
            return None
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            self.tally.failed += 1
        else:
            self.tally.answered += 1
        return response


def _version(response: httpx.Response) -> int:
    return int(response.headers["etag"].strip('"v'))


def _outcome(response: httpx.Response | None) -> Outcome:
    """A 4xx says that nothing was done, but for 409, which may be our own first try; a 5xx, or no
    answer, says nothing.
    """
    if response is None or response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return Outcome.UNKNOWN
    if response.is_success:
        return Outcome.OK
    if response.status_code in (httpx.codes.CONFLICT, httpx.codes.TOO_MANY_REQUESTS):
        return Outcome.UNKNOWN
    return Outcome.FAIL


async def run_clients(
    environment: ChaosEnvironment,
    history: History,
    count: int,
    stop: asyncio.Event,
    report: Callable[[str], None],
) -> None:
    """So many people until `stop`; each keeps its connection alive as browsers do."""
    async with httpx.AsyncClient(
        base_url=environment.api, timeout=20, transport=AiohttpTransport()
    ) as http:
        people = [Person(http, history, stop, Tally()) for _ in range(count)]
        await asyncio.gather(*(person.live() for person in people))
    report(f"{count} people have left")
