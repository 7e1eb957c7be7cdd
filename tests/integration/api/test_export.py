"""The export of an account: all of it, in pieces, one at a time, and never short unnoticed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.schemas import AccountExport
from api.service.reports import MAX_EXPORTS
from twelvefold.contracts.accounts import Role
from twelvefold.identifiers import new_id

PATH = "/api/v1/users/me/export"
JOBS = 500


@pytest.fixture
async def account(users, sign_in, sql):
    """Somebody whom users knows, with more jobs than are read at a time."""
    caller = await sign_in()
    await known(users, caller)
    await sql.execute(
        "INSERT INTO jobs.jobs (id, kind, payload, owner_id, created_at, status, result) "
        "SELECT gen_random_uuid(), 'image.process', '{}', $1, now() - make_interval(secs => n / 3),"
        " 'succeeded', '{\"kept\": true}' FROM generate_series(1, $2) AS n",
        caller.id,
        JOBS,
    )
    await sql.execute(
        "INSERT INTO api.images (id, owner_id, status, object_key, content_type, size, sha256, "
        "variants) SELECT gen_random_uuid(), $1, 'processing', 'uploads/' || gen_random_uuid(), "
        "'image/png', 1, '', '[]' FROM generate_series(1, $2)",
        caller.id,
        JOBS // 2,
    )
    return caller


async def known(users, caller) -> None:
    new = {"email": f"{new_id().hex}@example.com", "name": "Ada", "password": "a" * 12}
    from twelvefold.contracts.accounts import UserCreate

    made = await users.create(UserCreate(**new))
    stored = users.accounts.pop(made.id)
    stored.user = stored.user.model_copy(update={"id": caller.id})
    users.accounts[caller.id] = stored


class Export:
    """One request to the app itself: every message as it is sent, and a hand on the brake."""

    def __init__(self, api, caller) -> None:
        self.messages: list[dict[str, Any]] = []
        self.before_send: Callable[[], Awaitable[None]] | None = None
        self._api = api
        self._caller = caller

    async def run(self) -> None:
        async def receive() -> dict[str, Any]:
            if not self.messages:
                return {"type": "http.request", "body": b"", "more_body": False}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            self.messages.append(message)
            if self.before_send is not None:
                await self.before_send()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {self._caller.token}".encode())],
            "client": ("127.0.0.1", 1),
            "server": ("api.test", 80),
        }
        await self._api.public(scope, receive, send)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def pieces(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:]]

    @property
    def is_whole(self) -> bool:
        return not self.messages[-1].get("more_body", False) and len(self.messages) > 1


@pytest.fixture
def held(api, account):
    """An export that stops at its second piece until it is let go."""
    export, reached, go = Export(api, account), asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        if len(export.messages) > 2:
            reached.set()
            await go.wait()

    export.before_send = wait
    return export, reached, go


async def test_an_export_of_many_rows_has_the_shape_of_a_small_one(api, account):
    response = await account.client.get(PATH)
    assert response.status_code == 200, response.text
    found = AccountExport.model_validate_json(response.content)
    assert response.json() == json.loads(found.model_dump_json())
    assert list(response.json()) == list(AccountExport.model_fields)
    assert len({job.id for job in found.jobs}) == JOBS
    assert len({image.id for image in found.images}) == JOBS // 2
    created = [job.created_at for job in found.jobs]
    assert created == sorted(created, reverse=True)


async def test_it_is_sent_in_pieces_of_a_bounded_size(api, account):
    export = Export(api, account)
    await export.run()
    assert export.is_whole
    whole = b"".join(export.pieces)
    assert len(json.loads(whole)["jobs"]) == JOBS
    assert max(len(piece) for piece in export.pieces) < len(whole) / 2


async def test_a_second_one_of_the_account_is_refused_while_the_first_is_sent(
    api, account, held, users, sign_in
):
    export, reached, go = held
    sending = asyncio.create_task(export.run())
    await reached.wait()
    second = await account.client.get(PATH)
    assert (second.status_code, second.headers["content-type"]) == (429, "application/problem+json")
    assert int(second.headers["retry-after"]) > 0
    other = await sign_in()
    await known(users, other)
    assert (await other.client.get(PATH)).status_code == 200
    go.set()
    await sending
    assert export.is_whole
    assert (await account.client.get(PATH)).status_code == 200


async def test_a_process_sends_no_more_than_so_many_at_a_time(api, account, sign_in, users):
    others = [new_id() for _ in range(MAX_EXPORTS)]
    exporting = api.public.state.container.reports.exporting
    exporting.update(others)
    refused = await account.client.get(PATH)
    exporting.difference_update(others)
    assert (refused.status_code, refused.headers["content-type"]) == (
        503,
        "application/problem+json",
    )
    assert (await account.client.get(PATH)).status_code == 200


async def test_what_breaks_off_half_way_does_not_look_whole(api, account, held, sql):
    export, reached, go = held
    sending = asyncio.create_task(export.run())
    await reached.wait()
    await sql.execute("REVOKE SELECT ON jobs.job_status FROM api_app")
    go.set()
    try:
        await sending
    finally:
        await sql.execute("GRANT SELECT ON jobs.job_status TO api_app")
    assert export.status == 200
    assert not export.is_whole
    with pytest.raises(ValueError):  # noqa: PT011 (json's)
        json.loads(b"".join(export.pieces))
    assert (await account.client.get(PATH)).status_code == 200


async def test_what_fails_before_the_first_byte_is_a_problem(api, sign_in, users):
    unregistered = await sign_in(Role.USER)
    for _ in range(2):
        response = await unregistered.client.get(PATH)
        assert (response.status_code, response.headers["content-type"]) == (
            404,
            "application/problem+json",
        )


async def test_a_client_that_leaves_makes_room_for_the_next(api, account):
    export = Export(api, account)

    async def leave() -> None:
        if len(export.messages) > 2:
            raise OSError("the client is gone")

    export.before_send = leave
    await export.run()
    assert not export.is_whole
    assert (await account.client.get(PATH)).status_code == 200


class Billing:
    """A service that declares the hook of export, by one response to every request."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.paths: list[str] = []
        self.url = ""

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.paths.append(head.split(b" ")[1].decode())
        body = b'{"invoices":[7]}'
        writer.write(
            f"HTTP/1.1 {self.status}\r\nContent-Type: application/json\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def billing():
    billing = Billing()
    server = await asyncio.start_server(billing.respond, "127.0.0.1", 0)
    billing.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield billing
    server.close()


async def test_it_holds_what_each_further_service_keeps(open_api, users, sign_in, billing):
    process = await open_api(account_data_urls=[f"billing={billing.url}"])
    caller = await sign_in(process=process)
    await known(users, caller)
    response = await caller.client.get(PATH)
    assert response.status_code == 200, response.text
    assert response.json()["services"] == {"billing": {"invoices": [7]}}
    assert f"/internal/v1/account-data/{caller.id}" in billing.paths
    AccountExport.model_validate_json(response.content)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "404 Not Found", None])
async def test_it_fails_whole_where_one_of_them_fails(open_api, users, sign_in, billing, status):
    url = billing.url if status else "http://127.0.0.1:9"  # no server listens there
    billing.status = status or ""
    process = await open_api(account_data_urls=[f"billing={url}"])
    caller = await sign_in(process=process)
    await known(users, caller)
    response = await caller.client.get(PATH)
    assert response.status_code == 503
    assert "billing" in response.json()["detail"]
    assert "retry-after" in response.headers
