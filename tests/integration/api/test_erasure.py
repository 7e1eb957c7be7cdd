"""The erasure of an account's images, as the worker asks for it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from twelvefold.identifiers import new_id

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


async def test_rows_go_once_their_objects_have(ada, bob, worker, sql):
    for caller in (ada, ada, bob):
        headers = {"content-type": "image/png", "idempotency-key": str(new_id())}
        await caller.client.post("/api/v1/images", content=PNG, headers=headers)
    path = f"/internal/v1/accounts/{ada.id}/erasure"
    body = {"job_id": str(new_id())}
    first = await worker.post(path, json=body)
    assert first.status_code == 200, first.text
    images = first.json()["images"]
    assert len(images) == 2
    assert all(key.startswith("uploads/") for image in images for key in image["object_keys"])
    keys = "SELECT count(*) FROM api.idempotency_keys WHERE caller = $1"
    assert await sql.fetchval(keys, str(ada.id)) == 0
    # A worker that was lost in between asks again.
    assert (await worker.post(path, json=body)).json() == first.json()
    foreign = [image["id"] for image in (await bob.client.get("/api/v1/images")).json()["items"]]
    done = {**body, "deleted": [*(image["id"] for image in images), *foreign]}
    for _ in range(2):
        assert (await worker.post(path, json=done)).json() == {"images": []}
    rows = "SELECT count(*) FROM api.images WHERE owner_id = $1"
    assert await sql.fetchval(rows, ada.id) == 0
    assert await sql.fetchval(rows, bob.id) == 1


async def test_orphans_are_those_that_no_row_names(ada, worker, sql):
    headers = {"content-type": "image/png"}
    response = await ada.client.post("/api/v1/images", content=PNG, headers=headers)
    image_id, job_id = response.json()["image"]["id"], response.json()["job"]["id"]
    variant = f"variants/image/{image_id}/{job_id}/128.webp"
    report = {
        "job_id": job_id,
        "job_created_at": response.json()["job"]["created_at"],
        "variants": [
            {
                "name": "128",
                "object_key": variant,
                "content_type": "image/webp",
                "width": 1,
                "height": 1,
                "size": 1,
            }
        ],
    }
    assert (
        await worker.put(f"/internal/v1/images/{image_id}/variants", json=report)
    ).status_code == 204
    source = await sql.fetchval("SELECT object_key FROM api.images WHERE owner_id = $1", ada.id)
    orphans = [
        f"uploads/{new_id()}",
        f"variants/image/{image_id}/{new_id()}/128.webp",
        f"variants/image/{new_id()}/{new_id()}/128.webp",
        "variants/image/no-id",
    ]
    asked = {"keys": [source, variant, *orphans]}
    found = await worker.put("/internal/v1/objects/orphans", json=asked)
    assert (found.status_code, found.json()) == (200, {"keys": orphans})


@pytest.fixture
async def image(ada, worker):
    """One of Ada's with a variant, and its keys: of the source, of the variant."""
    headers = {"content-type": "image/png"}
    response = (await ada.client.post("/api/v1/images", content=PNG, headers=headers)).json()
    image_id, job = response["image"]["id"], response["job"]
    variant = f"variants/image/{image_id}/{job['id']}/128.webp"
    made = {"name": "128", "object_key": variant, "content_type": "image/webp"}
    report = {
        "job_id": job["id"],
        "job_created_at": job["created_at"],
        "variants": [{**made, "width": 1, "height": 1, "size": 1}],
    }
    done = await worker.put(f"/internal/v1/images/{image_id}/variants", json=report)
    assert done.status_code == 204, done.text
    return image_id, variant


def listing(prefix, keys, *, after="", through=None, age=timedelta()):
    before = (datetime.now(UTC) - age + timedelta(seconds=5)).isoformat()
    return {"prefix": prefix, "after": after, "through": through, "keys": keys, "before": before}


async def missing(worker, body):
    response = await worker.put("/internal/v1/objects/missing", json=body)
    assert response.status_code == 200, response.text
    return response.json()["ids"]


async def test_an_image_without_its_variant_object_is_found_and_repaired(ada, worker, image, sql):
    image_id, variant = image
    prefix = "variants/image/"
    assert image_id in await missing(worker, listing(prefix, []))
    assert image_id not in await missing(worker, listing(prefix, [variant]))
    assert image_id not in await missing(worker, listing(prefix, [], through=f"{prefix}0"))
    assert image_id not in await missing(worker, listing(prefix, [], after=variant))
    assert image_id not in await missing(worker, listing(prefix, [], age=timedelta(hours=1)))
    for _ in range(2):
        response = await worker.post("/internal/v1/images/mend", json={"ids": [image_id]})
        assert response.status_code == 204
    queued = "SELECT count(*) FROM jobs.jobs WHERE kind = 'image.process' AND unique_key LIKE $1"
    assert await sql.fetchval(queued, f"mend {image_id} %") == 1


async def test_an_image_without_source_and_variants_is_rejected(ada, worker, sql):
    headers = {"content-type": "image/png"}
    response = (await ada.client.post("/api/v1/images", content=PNG, headers=headers)).json()
    image_id = response["image"]["id"]
    key = await sql.fetchval("SELECT object_key FROM api.images WHERE id = $1::uuid", image_id)
    assert image_id in await missing(worker, listing("uploads/", []))
    assert image_id not in await missing(worker, listing("uploads/", [key]))
    await worker.post("/internal/v1/images/mend", json={"ids": [image_id]})
    shown = (await ada.client.get(f"/api/v1/images/{image_id}")).json()
    assert (shown["status"], shown["reason"]) == (
        "rejected",
        "The uploaded file is missing. Upload it again.",
    )


async def test_the_last_token_of_an_erased_account_brings_nothing_in(ada, worker, sql):
    body = {"job_id": str(new_id())}
    await worker.post(f"/internal/v1/accounts/{ada.id}/erasure", json=body)
    headers = {"content-type": "image/png"}
    response = await ada.client.post("/api/v1/images", content=PNG, headers=headers)
    assert response.status_code == 401
    rows = "SELECT count(*) FROM api.images WHERE owner_id = $1"
    assert await sql.fetchval(rows, ada.id) == 0


async def test_an_erasure_waits_for_an_upload_that_is_just_being_committed(ada, worker, sql):
    name = f"api:erasure:{ada.id}"
    async with sql.transaction():  # what an upload holds from its check until its commit
        await sql.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 1))", name)
        path = f"/internal/v1/accounts/{ada.id}/erasure"
        erasing = asyncio.create_task(worker.post(path, json={"job_id": str(new_id())}))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        async with asyncio.timeout(10):
            while not await sql.fetchval(waiting):
                await asyncio.sleep(0.01)
        assert not erasing.done()
    assert (await erasing).status_code == 200
