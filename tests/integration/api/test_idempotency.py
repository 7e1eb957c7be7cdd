"""Idempotency-Key at the edge: one effect however often a request is sent."""

import asyncio
import uuid

import pytest

from .conftest import client_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
OTHER = PNG + b"\1"


def upload(client, key: str | None, body: bytes = PNG):
    headers = {"content-type": "image/png"}
    if key is not None:
        headers["idempotency-key"] = key
    return client.post("/api/v1/images", content=body, headers=headers)


def new_key() -> str:
    return str(uuid.uuid4())


async def uploads_of(caller, sql) -> tuple[int, int]:
    """How many images and jobs the caller has."""
    images = await sql.fetchval("SELECT count(*) FROM api.images WHERE owner_id = $1", caller.id)
    jobs = await sql.fetchval("SELECT count(*) FROM jobs.jobs WHERE owner_id = $1", caller.id)
    return images, jobs


async def objects(api) -> set[str]:
    return {found.key async for found in api.backing.object_store.list("uploads/")}


async def test_a_repeated_upload_gets_the_first_answer_and_leaves_no_object(api, ada, sql):
    key = new_key()
    first = await upload(ada.client, key)
    assert first.status_code == 202, first.text
    assert "idempotency-replayed" not in first.headers
    before = await objects(api)
    again = await upload(ada.client, f'"{key}"')
    assert (again.status_code, again.content) == (202, first.content)
    for name in ("location", "etag", "link", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotency-replayed"] == "true"
    assert await uploads_of(ada, sql) == (1, 1)
    assert await objects(api) == before


async def test_another_body_under_the_key_is_refused_and_leaves_no_object(api, ada, sql):
    key = new_key()
    await upload(ada.client, key)
    before = await objects(api)
    other = await upload(ada.client, key, OTHER)
    assert other.status_code == 422
    assert other.json()["errors"][0]["pointer"] == "/header/idempotency-key"
    assert await objects(api) == before
    assert await uploads_of(ada, sql) == (1, 1)


async def test_racing_uploads_have_one_effect_whichever_process_serves_them(
    api, ada, open_api, sql
):
    other = await open_api()
    before = await objects(api)
    async with client_of(other, ada.token) as elsewhere:
        for _ in range(5):
            key = new_key()
            responses = await asyncio.gather(
                *(upload(client, key) for client in (ada.client, elsewhere) for _ in range(5))
            )
            assert {response.status_code for response in responses} <= {202, 409}
            bodies = {response.content for response in responses if response.status_code == 202}
            assert len(bodies) == 1
    assert await uploads_of(ada, sql) == (5, 5)
    assert len(await objects(api) - before) == 5


async def test_jobs_are_started_cancelled_and_retried_once(ada, sql):
    image_id = (await upload(ada.client, None)).json()["image"]["id"]
    asked = {"type": "image.process", "payload": {"image_id": image_id}}
    key = {"idempotency-key": new_key()}
    first = await ada.client.post("/api/v1/jobs", json=asked, headers=key)
    again = await ada.client.post("/api/v1/jobs", json=asked, headers=key)
    assert (first.status_code, again.content) == (202, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert await uploads_of(ada, sql) == (1, 2)
    path = first.headers["location"]
    version = "SELECT version FROM jobs.jobs WHERE id = $1"
    job_id = uuid.UUID(first.json()["id"])
    for action in ("cancel", "retry"):
        key = {"idempotency-key": new_key()}
        done = await ada.client.post(f"{path}/{action}", headers=key)
        assert done.status_code == 202, done.text
        changed = await sql.fetchval(version, job_id)
        replayed = await ada.client.post(f"{path}/{action}", headers=key)
        assert (replayed.content, replayed.headers["idempotency-replayed"]) == (
            done.content,
            "true",
        )
        assert await sql.fetchval(version, job_id) == changed
    # The key of one operation does not fit another.
    crossed = await ada.client.post(f"{path}/cancel", headers=key)
    assert crossed.status_code == 422


async def test_a_refusal_is_replayed_even_where_it_would_succeed_by_now(ada, sql):
    job = (await upload(ada.client, None)).json()["job"]
    key = {"idempotency-key": new_key()}
    path = f"/api/v1/jobs/{job['id']}"
    refused = await ada.client.post(f"{path}/retry", headers=key)
    assert refused.status_code == 409
    await ada.client.post(f"{path}/cancel")
    again = await ada.client.post(f"{path}/retry", headers=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (409, "true")
    assert (await ada.client.post(f"{path}/retry")).status_code == 202


async def test_callers_do_not_share_keys(ada, bob, sql):
    key = new_key()
    mine, theirs = await upload(ada.client, key), await upload(bob.client, key, OTHER)
    assert (mine.status_code, theirs.status_code) == (202, 202)
    assert mine.json()["image"]["id"] != theirs.json()["image"]["id"]


@pytest.mark.parametrize("key", ["", '"open', "two words", "x" * 300])
async def test_a_malformed_key_is_a_bad_request(ada, anonymous, key):
    headers = {"idempotency-key": key}
    new = {"email": f"{new_key()}@example.com", "name": "A", "password": "long enough, is it"}
    responses = [
        await upload(ada.client, key),
        await ada.client.post(f"/api/v1/jobs/{uuid.uuid4()}/cancel", headers=headers),
        await anonymous.post("/api/v1/users", json=new, headers=headers),
    ]
    for response in responses:
        assert response.status_code == 400, response.text
        assert response.json()["errors"][0]["pointer"] == "/header/idempotency-key"


async def test_a_registration_is_passed_on_with_its_key(anonymous):
    new = {"email": f"{new_key()}@example.com", "name": "A", "password": "long enough, is it"}
    headers = {"idempotency-key": new_key()}
    first = await anonymous.post("/api/v1/users", json=new, headers=headers)
    again = await anonymous.post("/api/v1/users", json=new, headers=headers)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = await anonymous.post("/api/v1/users", json={**new, "name": "B"}, headers=headers)
    assert other.status_code == 422
