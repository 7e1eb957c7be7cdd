"""HEAD where a GET streams or redirects (RFC 9110 section 9.3.2)."""

import httpx
import pytest
from tests.integration.api.test_images import report

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


@pytest.fixture
async def uploaded(ada):
    headers = {"content-type": "image/png"}
    response = await ada.client.post("/api/v1/images", content=PNG, headers=headers)
    assert response.status_code == 202, response.text
    return response.json()


async def test_on_an_event_stream_it_ends_and_takes_no_place(ada, api, uploaded):
    path = f"/api/v1/jobs/{uploaded['job']['id']}/events"
    for _ in range(25):  # more than an account may hold
        response = await ada.client.head(path, timeout=10)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert "content-length" not in response.headers
        assert response.content == b""
    assert api.public.state.container.streams.places.taken == 0
    missing = await ada.client.head(f"/api/v1/jobs/{uploaded['image']['id']}/events")
    assert missing.status_code == 404


async def test_on_a_variant_it_leads_to_a_url_that_answers_it(ada, api, worker, uploaded):
    image_id = uploaded["image"]["id"]
    key = f"variants/{image_id}/128.webp"

    async def once():
        yield b"webp"

    await api.backing.object_store.put(key, once(), "image/webp")
    body = report(key, job_id=uploaded["job"]["id"])
    stored = await worker.put(f"/internal/v1/images/{image_id}/variants", json=body)
    assert stored.status_code < 300, stored.text
    path = f"/api/v1/images/{image_id}/128"
    async with httpx.AsyncClient() as s3:
        head = await ada.client.head(path)
        assert head.status_code == 307
        assert (await s3.head(head.headers["location"])).status_code == 200
        get = await ada.client.get(path)
        assert (await s3.get(get.headers["location"])).content == b"webp"
