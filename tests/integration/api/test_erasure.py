"""The erasure of an account's images, as the worker asks for it."""

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
    answer = await ada.client.post("/api/v1/images", content=PNG, headers=headers)
    image_id, job_id = answer.json()["image"]["id"], answer.json()["job"]["id"]
    variant = f"variants/image/{image_id}/{job_id}/128.webp"
    report = {
        "job_id": job_id,
        "job_created_at": answer.json()["job"]["created_at"],
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
