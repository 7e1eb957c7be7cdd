"""Images from the upload to the redirect, on the real database and object store."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from twelvefold.identifiers import new_id

from .conftest import Caller

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
HEADERS = {"content-type": "image/png"}


async def upload(caller: Caller, content: bytes = PNG, headers=HEADERS) -> httpx.Response:
    return await caller.client.post("/api/v1/images", content=content, headers=headers)


def report(key: str = "variants/x/128.webp", job_id=None, created_at=None, **changed):
    variant = {
        "name": "128",
        "object_key": key,
        "content_type": "image/webp",
        "width": 128,
        "height": 96,
        "size": 10,
    }
    return {
        "job_id": str(job_id or new_id()),
        "job_created_at": (created_at or datetime.now(UTC)).isoformat(),
        "variants": [variant],
        **changed,
    }


async def put_report(worker: httpx.AsyncClient, image_id: str, body) -> int:
    response = await worker.put(f"/internal/v1/images/{image_id}/variants", json=body)
    return response.status_code


async def test_an_upload_is_stored_and_its_job_committed_with_it(ada, api, sql):
    response = await upload(ada)
    assert response.status_code == 202, response.text
    image, job = response.json()["image"], response.json()["job"]
    assert response.headers["location"] == f"/api/v1/images/{image['id']}"
    assert response.headers["etag"] == '"v1"'
    assert response.headers["link"] == f'</api/v1/jobs/{job["id"]}>; rel="status"'
    assert (image["status"], image["size"], image["content_type"]) == (
        "processing",
        len(PNG),
        "image/png",
    )
    assert (job["type"], job["status"]) == ("image.process", "queued")
    row = await sql.fetchrow("SELECT * FROM jobs.jobs WHERE id = $1", UUID(job["id"]))
    assert row["owner_id"] == ada.id
    payload = json.loads(row["payload"])
    assert (payload["target"], payload["target_id"]) == ("image", image["id"])
    stored = await api.backing.object_store.stat(payload["object_key"])
    assert (stored.size, payload["object_key"][:8]) == (len(PNG), "uploads/")


async def test_a_large_image_is_stored_in_parts_and_keeps_its_hash(ada):
    import hashlib

    content = PNG + b"\7" * (5 * 1024 * 1024)

    async def streamed():
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    response = await ada.client.post("/api/v1/images", content=streamed(), headers=HEADERS)
    assert response.json()["image"]["sha256"] == hashlib.sha256(content).hexdigest()


async def _objects(api) -> int:
    return len([stored async for stored in api.backing.object_store.list("uploads/")])


async def test_an_image_over_the_limit_is_413_however_it_is_sent(ada, api):
    content = PNG + b"\0" * (6 * 1024 * 1024)

    async def streamed():
        for start in range(0, len(content), 65536):
            yield content[start : start + 65536]

    before = await _objects(api)
    for body in (content, streamed()):
        response = await ada.client.post("/api/v1/images", content=body, headers=HEADERS)
        assert response.status_code == 413
        assert response.headers["content-type"] == "application/problem+json"
    assert await _objects(api) == before


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(PNG, "text/html"), (b"<html>", "image/png"), (b"", "image/png"), (b"GIF89a....", "")],
)
async def test_what_is_no_image_is_415(ada, content, content_type):
    response = await upload(ada, content, {"content-type": content_type})
    assert response.status_code == 415
    assert response.json()["type"] == "/problems/unsupported-media-type"


async def test_a_commit_that_fails_leaves_no_object(ada, api, sql):
    before = await _objects(api)
    await sql.execute("ALTER TABLE api.images RENAME TO images_away")
    try:
        response = await upload(ada)
    finally:
        await sql.execute("ALTER TABLE api.images_away RENAME TO images")
    assert response.status_code == 500
    assert await _objects(api) == before


async def test_the_variants_of_the_newest_job_are_shown_and_served(ada, api, worker):
    image_id = (await upload(ada)).json()["image"]["id"]
    key = f"variants/{image_id}/128.webp"

    async def content():
        yield b"0123456789"

    await api.backing.object_store.put(key, content(), "image/webp")
    path = f"/api/v1/images/{image_id}"
    assert (await ada.client.get(f"{path}/128")).status_code == 404
    assert await put_report(worker, image_id, report(key)) == 204
    shown = await ada.client.get(path)
    assert (shown.json()["status"], shown.headers["etag"]) == ("ready", '"v2"')
    assert shown.json()["variants"][0]["url"] == f"{path}/128"
    assert "object_key" not in shown.text
    unchanged = await ada.client.get(path, headers={"if-none-match": '"v2"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    redirect = await ada.client.get(f"{path}/128")
    assert redirect.status_code == 307
    async with httpx.AsyncClient() as anonymous_client:
        assert (await anonymous_client.get(redirect.headers["location"])).content == b"0123456789"
    assert (await ada.client.get(f"{path}/999")).status_code == 404


async def test_an_older_job_never_replaces_a_newer_ones_result(ada, worker):
    image_id = (await upload(ada)).json()["image"]["id"]
    now = datetime.now(UTC)
    newer = report("variants/newer", created_at=now)
    older = report("variants/older", created_at=now - timedelta(seconds=1))
    assert await put_report(worker, image_id, newer) == 204
    assert await put_report(worker, image_id, older) == 409
    assert await put_report(worker, image_id, newer) == 204, "the same job may report again"
    shown = await ada.client.get(f"/api/v1/images/{image_id}")
    assert shown.headers["etag"] == '"v2"'


async def test_a_refused_image_says_why(ada, worker):
    image_id = (await upload(ada)).json()["image"]["id"]
    body = report(variants=[], rejected="the image is truncated")
    assert await put_report(worker, image_id, body) == 204
    shown = (await ada.client.get(f"/api/v1/images/{image_id}")).json()
    assert (shown["status"], shown["reason"]) == ("rejected", "the image is truncated")


async def test_a_report_is_checked(worker, ada):
    image_id = (await upload(ada)).json()["image"]["id"]
    assert await put_report(worker, str(new_id()), report()) == 404
    assert await put_report(worker, image_id, report(variants=[])) == 422
    assert await put_report(worker, image_id, report(rejected="both")) == 422
    worker.headers["x-caller-secret"] = "guessed"
    assert await put_report(worker, image_id, report()) == 401


async def test_a_foreign_image_is_as_absent_as_none(ada, bob, admin):
    image_id = (await upload(ada)).json()["image"]["id"]
    for path in (f"/api/v1/images/{image_id}", f"/api/v1/images/{image_id}/128"):
        foreign = await bob.client.get(path)
        absent = await bob.client.get(path.replace(image_id, str(new_id())))
        assert (foreign.status_code, foreign.json()["detail"]) == (
            absent.status_code,
            absent.json()["detail"],
        )
        assert foreign.status_code == 404
    assert (await bob.client.delete(f"/api/v1/images/{image_id}")).status_code == 404
    assert (await admin.client.get(f"/api/v1/images/{image_id}")).status_code == 200


async def test_a_list_is_walked_by_its_links_newest_first(ada, bob, admin):
    made = [(await upload(ada)).json()["image"]["id"] for _ in range(5)]
    await upload(bob)
    seen: list[str] = []
    path: str | None = "/api/v1/images?limit=2"
    pages = 0
    while path:
        response = await ada.client.get(path)
        assert response.status_code == 200, response.text
        seen += [image["id"] for image in response.json()["items"]]
        pages += 1
        link = response.headers.get("link")
        assert (link is None) == (response.json()["next_cursor"] is None)
        path = link.partition(">")[0][1:] if link else None
    assert (seen, pages) == (made[::-1], 3)
    theirs = await admin.client.get("/api/v1/images", params={"owner_id": str(ada.id)})
    assert [image["id"] for image in theirs.json()["items"]] == made[::-1]
    foreign = await bob.client.get("/api/v1/images", params={"owner_id": str(ada.id)})
    assert foreign.status_code == 403


async def test_a_list_shows_each_image_exactly_as_its_own_page(ada, worker):
    made = [(await upload(ada)).json()["image"]["id"] for _ in range(3)]
    variants = [
        {**report()["variants"][0], "name": name, "object_key": f"variants/{made[0]}/{name}.webp"}
        for name in ("128", "512", "1024")
    ]
    assert await put_report(worker, made[0], {**report(), "variants": variants}) == 204
    rejected = report(variants=[], rejected='the image is "truncated"')
    assert await put_report(worker, made[1], rejected) == 204
    listed = (await ada.client.get("/api/v1/images")).text
    shown = [(await ada.client.get(f"/api/v1/images/{image_id}")).text for image_id in made[::-1]]
    assert listed == f'{{"items":[{",".join(shown)}],"next_cursor":null}}'


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "owner_id=x"])
async def test_a_bad_query_is_named(ada, query):
    response = await ada.client.get(f"/api/v1/images?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


async def test_a_cursor_of_another_list_is_refused(ada):
    for _ in range(2):
        await upload(ada)
    jobs = await ada.client.get("/api/v1/jobs?limit=1")
    cursor = jobs.json()["next_cursor"]
    response = await ada.client.get("/api/v1/images", params={"cursor": cursor})
    assert response.status_code == 422


async def test_a_deletion_removes_the_image_and_its_objects(ada, api, worker, sql):
    image_id = (await upload(ada)).json()["image"]["id"]
    path = f"/api/v1/images/{image_id}"
    key = await sql.fetchval("SELECT object_key FROM api.images WHERE id = $1", UUID(image_id))
    stale = await ada.client.delete(path, headers={"if-match": '"v7"'})
    assert stale.status_code == 412
    done = await ada.client.delete(path, headers={"if-match": '"v1", "v7"'})
    assert (done.status_code, done.content) == (204, b"")
    assert await api.backing.object_store.stat(key) is None
    assert (await ada.client.get(path)).status_code == 404
    assert (await ada.client.delete(path)).status_code == 404
    assert await put_report(worker, image_id, report()) == 404


async def test_an_avatar_is_processed_for_the_account(ada, sql):
    response = await ada.client.put("/api/v1/users/me/avatar", content=PNG, headers=HEADERS)
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/api/v1/jobs/{response.json()['id']}"
    payload = await sql.fetchval(
        "SELECT payload FROM jobs.jobs WHERE id = $1", UUID(response.json()["id"])
    )
    assert json.loads(payload)["target"] == "avatar"
    assert json.loads(payload)["target_id"] == str(ada.id)


async def test_an_upload_under_way_holds_no_connection_to_the_database(open_api, sign_in):
    process = await open_api(database_pool_size=1, database_pool_timeout=0.2)
    caller = await sign_in(process=process)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        yield PNG
        begun.set()
        await go_on.wait()
        yield PNG

    uploading = asyncio.create_task(
        caller.client.post("/api/v1/images", content=slow(), headers=HEADERS)
    )
    await begun.wait()
    assert (await caller.client.get("/api/v1/images")).status_code == 200
    go_on.set()
    assert (await uploading).json()["image"]["size"] == 2 * len(PNG)


async def test_a_client_that_disconnects_leaves_no_object(ada, api, sql):
    messages = [
        {"type": "http.request", "body": PNG, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/v1/images",
        "raw_path": b"/api/v1/images",
        "query_string": b"",
        "headers": [
            (b"authorization", f"Bearer {ada.token}".encode()),
            (b"content-type", b"image/png"),
            (b"transfer-encoding", b"chunked"),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    before = await _objects(api)
    await api.public(scope, receive, send)
    assert await _objects(api) == before
    assert await sql.fetchval("SELECT count(*) FROM api.images WHERE owner_id = $1", ada.id) == 0
    assert sent[0]["status"] == 400
