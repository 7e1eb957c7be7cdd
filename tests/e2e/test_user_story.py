"""The README's story, against a running suite: three services, four real servers."""

import io
import re
import uuid

import httpx
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

PASSWORD = "correct horse battery staple"


def picture_with_location() -> bytes:
    """A JPEG, turned by EXIF and with GPS coordinates, as a telephone makes them."""
    image = Image.new("RGB", (1600, 1200), "teal")
    exif = image.getexif()
    exif[Base.Orientation] = 6
    exif[Base.Make] = "planted-camera-maker"
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] = "N"
    content = io.BytesIO()
    image.save(content, "JPEG", exif=exif)
    return content.getvalue()


async def _register(client: httpx.AsyncClient) -> tuple[dict[str, object], str]:
    address = f"ada.{uuid.uuid4().hex[:12]}@example.com"
    response = await client.post(
        "/api/v1/users", json={"email": address, "name": "Ada", "password": PASSWORD}
    )
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"/api/v1/users/{response.json()['id']}"
    return response.json(), address


async def _sign_in(client: httpx.AsyncClient, address: str) -> None:
    response = await client.post(
        "/api/v1/auth/token",
        data={"grant_type": "password", "username": address, "password": PASSWORD},
    )
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    client.headers["authorization"] = f"Bearer {response.json()['access_token']}"


async def _ended_job(client: httpx.AsyncClient, location: str) -> list[str]:
    """Event names and data lines of the job's stream, until it ends by itself."""
    async with client.stream("GET", f"{location}/events", timeout=60) as events:
        assert events.status_code == 200
        assert events.headers["content-type"].startswith("text/event-stream")
        return [line async for line in events.aiter_lines() if line.startswith("data:")]


async def test_a_newcomer_registers_is_welcomed_and_sees_a_thumbnail(client, caught_mail):
    account, address = await _register(client)

    welcome = await caught_mail.wait_for(lambda mail: mail["To"] == address, timeout=30)
    assert re.fullmatch(r"<[0-9a-f-]{36}@[\w.-]+>", welcome["Message-ID"])

    await _sign_in(client, address)
    me = await client.get("/api/v1/users/me")
    assert (me.status_code, me.json()["id"]) == (200, account["id"])

    upload = await client.put(
        "/api/v1/users/me/avatar",
        content=picture_with_location(),
        headers={"content-type": "image/jpeg"},
    )
    assert upload.status_code == 202, upload.text
    events = await _ended_job(client, upload.headers["location"])
    assert '"succeeded"' in events[-1]

    for variant in ("128", "512", "1024"):
        found = await client.get(f"/api/v1/users/{account['id']}/avatar/{variant}")
        assert found.status_code == 307
        async with httpx.AsyncClient() as anybody:  # a presigned URL needs no token
            stored = await anybody.get(found.headers["location"])
        assert stored.headers["content-type"] == "image/webp"
        image = Image.open(io.BytesIO(stored.content))
        assert max(image.size) == int(variant)
        assert image.height > image.width, "the orientation was not applied"
        assert not image.getexif()
        assert b"planted-camera-maker" not in stored.content


async def test_a_second_read_of_a_user_comes_from_the_cache(client, metric):
    account, address = await _register(client)
    await _sign_in(client, address)
    before = await metric("api", "cache_requests_total", outcome="hit")
    first = await client.get(f"/api/v1/users/{account['id']}")
    second = await client.get(f"/api/v1/users/{account['id']}")
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content
    assert await metric("api", "cache_requests_total", outcome="hit") > before
    unchanged = await client.get(
        f"/api/v1/users/{account['id']}", headers={"if-none-match": second.headers["etag"]}
    )
    assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_an_uploaded_image_gets_variants_and_a_fake_one_a_reason(client):
    _, address = await _register(client)
    await _sign_in(client, address)
    upload = await client.post(
        "/api/v1/images", content=picture_with_location(), headers={"content-type": "image/jpeg"}
    )
    assert upload.status_code == 202, upload.text
    image, job = upload.json()["image"], upload.json()["job"]
    await _ended_job(client, f"/api/v1/jobs/{job['id']}")
    shown = await client.get(f"/api/v1/images/{image['id']}")
    assert shown.json()["status"] == "ready"

    truncated = picture_with_location()[:900]
    broken = await client.post(
        "/api/v1/images", content=truncated, headers={"content-type": "image/jpeg"}
    )
    job = broken.json()["job"]
    events = await _ended_job(client, f"/api/v1/jobs/{job['id']}")
    assert '"rejected"' in events[-1]
    shown = await client.get(f"/api/v1/images/{broken.json()['image']['id']}")
    assert shown.json()["status"] == "rejected"
    assert shown.json()["reason"]


async def test_a_stranger_sees_neither_my_account_nor_my_images_nor_my_jobs(client, another_client):
    account, address = await _register(client)
    await _sign_in(client, address)
    upload = await client.post(
        "/api/v1/images", content=picture_with_location(), headers={"content-type": "image/jpeg"}
    )
    image, job = upload.json()["image"], upload.json()["job"]

    _, other = await _register(another_client)
    await _sign_in(another_client, other)
    assert (await another_client.get(f"/api/v1/users/{account['id']}")).status_code == 403
    assert (await another_client.get(f"/api/v1/images/{image['id']}")).status_code == 404
    assert (await another_client.get(f"/api/v1/jobs/{job['id']}")).status_code == 404
    assert (await another_client.get(f"/api/v1/jobs/{job['id']}/events")).status_code == 404
