"""The rows of `make bench`: each path of the suite, and the floor that does the same work."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

from PIL import Image
from tests.bench import frame
from tests.bench.measurement import CONNECTIONS, Row, Target
from tests.bench.suite import LISTED, BenchSuite
from tests.collector import Collector

from twelvefold.contracts.accounts import Role
from twelvefold.service.definition import order_by_calls
from twelvefold.service.installed import installed_services

# Callees first, since a caller takes the addresses of the services that it calls.
SERVICES = tuple(reversed(order_by_calls(installed_services())))
IMAGE_BYTES = 36 * 1024
_PASSWORD = "correct horse battery staple"


class Bench:
    """The processes of one run, and the rows that are measured on them."""

    def __init__(self, suite: BenchSuite, stack: AsyncExitStack) -> None:
        self._suite = suite
        self._stack = stack
        self.user, self.admin = suite.accounts[0], suite.accounts[1]
        self.services: dict[str, frame.Served] = {}
        self.started: dict[str, float] = {}  # seconds of CPU until ready
        self.memory: dict[str, float] = {}  # MiB of PSS when ready

    async def start(self) -> None:
        """Start the services. The worker stops once it was measured: its jobs would count, too."""
        for name in SERVICES:
            async with AsyncExitStack() as alone:
                stack = alone if name == "worker" else self._stack
                service = self.services[name] = await self._suite.start(stack, name)
                self.started[name] = service.all_cpu_seconds()
                self.memory[name] = service.pss_mebibytes()
        self.api, self.users = self.services["api"], self.services["users"]
        await frame.answering(self.api, frame.get("/api/v1/users/me", **self._bearer()))

    def _bearer(self, account: UUID | None = None, role: Role = Role.USER) -> dict[str, str]:
        token = self._suite.token(account or self.user, role)
        return {"Authorization": f"Bearer {token}", "User_Agent": "bench/1"}

    async def rows(self) -> list[Row]:
        edge, reads = await self._edge_floors(), await self._read_floors()
        token = await self._start_starter()
        lists = await self._lists(token)  # enqueues their jobs, before any other
        return [
            *self._cached(edge),
            await self._sampled(),
            *self._reads(edge, reads, token),
            *self._writes(token),
            *lists,
            *self._refusals(),
        ]

    async def _edge_floors(self) -> dict[str, frame.Served]:
        path, token = "/users/me", self._suite.token(self.user)
        start = self._suite.start_floor
        return {
            kind: await start(self._stack, "edge", kind, path=path, token=token)
            for kind in ("fastapi", "starlette")
        }

    async def _read_floors(self) -> dict[str, frame.Served]:
        path, token = f"/users/{self.user}", self._suite.token(self.user)
        start = self._suite.start_floor
        return {
            kind: await start(self._stack, "reads", kind, path=path, token=token)
            for kind in ("asyncpg", "core", "orm")
        }

    async def _start_starter(self) -> str:
        self.starter = await self._suite.start_floor(self._stack, "starter", path="/token")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.starter.port)
        writer.write(frame.get("/token", Connection="close"))
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
        writer.close()
        token: str = json.loads(body)
        return token

    def _starter(
        self,
        name: str,
        request: bytes | Callable[[], bytes],
        status: int = 200,
        **more: Any,
    ) -> Target:
        name = f"ORM starter: {name}"
        return Target(name, [self.starter], request, statuses=(status,), **more)

    def _cached(self, edge: dict[str, frame.Served]) -> list[Row]:
        ours = frame.get("/api/v1/users/me", **self._bearer())
        floor = frame.get("/users/me", **self._bearer())
        return [
            Row(
                "edge: GET /users/me, cached, no exporter",
                Target("ours", [self.api], ours),
                [
                    Target("FastAPI, same duties", [edge["fastapi"]], floor),
                    Target("Starlette, same duties", [edge["starlette"]], floor),
                ],
                times=1.5,
            )
        ]

    async def _sampled(self) -> Row:
        """The same process with an exporter, beside one without."""
        collector = await self._stack.enter_async_context(Collector(keep=False))
        sampled = await self._suite.start(
            self._stack,
            "api",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_TRACES_SAMPLER_ARG="0.1",
        )
        request = frame.get("/api/v1/users/me", **self._bearer())
        return Row(
            "the same at sampling 0.1",
            Target("sampling 0.1", [sampled], request),
            [Target("no exporter", [self.api], request)],
            plus=70,
        )

    def _reads(
        self, edge: dict[str, frame.Served], reads: dict[str, frame.Served], token: str
    ) -> list[Row]:
        direct = frame.get(
            f"/internal/v1/users/{self.user}", **self._bearer(), **self._caller_headers()
        )
        floor = frame.get(f"/users/{self.user}", **self._bearer(), **self._caller_headers())
        admin = self._bearer(self.admin, Role.ADMIN)
        paths = itertools.cycle(self._suite.accounts)
        starter = frame.get("/users/me", Authorization=f"Bearer {token}")
        return [
            Row(
                "users: a read from PostgreSQL, direct",
                Target("ours", [self.users], direct),
                [
                    Target("SQLAlchemy Core, same duties", [reads["core"]], floor),
                    Target("asyncpg, same duties", [reads["asyncpg"]], floor),
                    Target("SQLAlchemy ORM, same duties", [reads["orm"]], floor),
                ],
                times=1.0,
            ),
            Row(
                "edge + users, nothing cached",
                Target(
                    "ours",
                    [self.api, self.users],
                    lambda: frame.get(f"/api/v1/users/{next(paths)}", **admin),
                    before=self._suite.forget_accounts,
                ),
                [self._starter("the caller's account", starter)],
                aim=1300,
            ),
        ]

    def _caller_headers(self) -> dict[str, str]:
        return {name.replace("-", "_"): value for name, value in self._suite.caller().items()}

    def _writes(self, token: str) -> list[Row]:
        json_type = {"Content_Type": "application/json"}
        image_type = {"Content_Type": "image/png"}
        admin, user = self._bearer(self.admin, Role.ADMIN), self._bearer()
        starter = {"Authorization": f"Bearer {token}"}
        image = _image()

        def register(path: str) -> bytes:
            account = {"email": f"{uuid4()}@bench.example", "name": "B", "password": _PASSWORD}
            return frame.post(path, json.dumps(account).encode(), **json_type)

        def job() -> bytes:
            payload = {"template": "welcome", "user_id": str(uuid4())}
            body = json.dumps({"type": "email.send", "payload": payload}).encode()
            return frame.post("/api/v1/jobs", body, **admin, **json_type)

        item = frame.post("/items", b'{"title":"a job"}', **starter, **json_type)
        forget, stores = self._suite.forget_jobs, ("postgres", "redis", "s3")
        return [
            Row(
                "register, least argon2",
                Target(
                    "ours",
                    [self.api, self.users],
                    lambda: register("/api/v1/users"),
                    statuses=(201,),
                    before=forget,
                ),
                [self._starter("register, no hop, no job", lambda: register("/users"), 201)],
                aim=3000,
            ),
            Row(
                "a job (202)",
                Target("ours", [self.api], job, statuses=(202,), before=forget),
                [self._starter("insert a row", item, 201)],
                aim=900,
            ),
            Row(
                f"an image of {IMAGE_BYTES // 1024} KiB (202)",
                Target(
                    "ours",
                    [self.api],
                    frame.post("/api/v1/images", image, **user, **image_type),
                    statuses=(202,),
                    before=forget,
                    servers=stores,
                ),
                [
                    self._starter(
                        "aioboto3 and a row",
                        frame.post("/files", image, **starter),
                        201,
                        servers=stores,
                    )
                ],
                aim=2500,
            ),
        ]

    async def _lists(self, token: str) -> list[Row]:
        """Of images and their jobs."""
        user, starter = self._bearer(), {"Authorization": f"Bearer {token}"}
        upload = frame.post("/api/v1/images", _image(), **user, Content_Type="image/png")
        await frame.load(self.api.port, upload, LISTED, CONNECTIONS, statuses=(202,))
        return [
            Row(
                f"a list, {limit} of {kind}",
                Target("ours", [self.api], frame.get(f"/api/v1/{kind}?limit={limit}", **user)),
                [self._starter("a list", frame.get(f"/items?limit={limit}", **starter))],
                aim=aim,
            )
            for kind, limit, aim in (
                ("jobs", LISTED, 1200),
                ("jobs", 1, 600),
                ("images", LISTED, 1400),
            )
        ]

    def _refusals(self) -> list[Row]:
        headers = self._bearer()
        forged = {**headers, "Authorization": headers["Authorization"][:-8] + "AAAAAAAA"}
        mail = frame.post(
            "/api/v1/auth/password-resets",
            b'{"email":"nobody@bench.example"}',
            Content_Type="application/json",
        )
        absent = Target("404 of ours", [self.api], frame.get("/nowhere"), statuses=(404,))
        me, keys = "/api/v1/users/me", "/.well-known/jwks.json"
        refused = frame.get(me, **forged)
        return [
            Row(
                "401: a bad signature",
                Target("ours", [self.api], refused, statuses=(401,)),
                [absent],
                aim=350,
            ),
            # The quota is one in a minute.
            Row("429", Target("ours", [self.api], mail, statuses=(429, 202)), [absent], aim=200),
            Row("JWKS", Target("ours", [self.api], frame.get(keys)), [absent], aim=150),
        ]

    async def leak(self, requests: int) -> tuple[float, float]:
        """MiB of api before and after so many cached reads; a tenth of them comes before."""
        request = frame.get("/api/v1/users/me", **self._bearer())
        await frame.load(self.api.port, request, requests // 10, CONNECTIONS)
        before = self.api.pss_mebibytes()
        await frame.load(self.api.port, request, requests, CONNECTIONS)
        return before, self.api.pss_mebibytes()


def _image() -> bytes:
    """A picture that cannot be compressed, of about IMAGE_BYTES."""
    side = int((IMAGE_BYTES / 3) ** 0.5)
    picture = Image.frombytes("RGB", (side, side), os.urandom(3 * side * side))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
