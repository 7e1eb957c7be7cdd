"""What clients see while a backing service is away."""

import pytest

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
HEADERS = {"content-type": "image/png"}
NOWHERE = "127.0.0.1:9"


def assert_unavailable(response, name: str) -> None:
    assert response.status_code == 503, response.text
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["content-type"] == "application/problem+json"
    assert name in response.json()["detail"]


async def test_without_postgres_what_needs_a_row_is_503_and_nothing_else(open_api, sign_in, users):
    process = await open_api(wait=False, database_url=f"postgresql://x:y@{NOWHERE}/none")
    caller = await sign_in(process=process)
    assert_unavailable(await caller.client.get("/api/v1/images"), "postgres")
    assert_unavailable(await caller.client.get("/api/v1/jobs"), "postgres")
    upload = await caller.client.post("/api/v1/images", content=PNG, headers=HEADERS)
    assert_unavailable(upload, "postgres")
    assert (await caller.client.get("/.well-known/jwks.json")).status_code == 200
    health = await caller.client.get("/health")
    assert (health.status_code, health.json()) == (503, {"status": "unavailable"})


async def test_without_redis_everything_answers(open_api, sign_in):
    process = await open_api(redis_url=f"redis://{NOWHERE}/0")
    caller = await sign_in(process=process)
    upload = await caller.client.post("/api/v1/images", content=PNG, headers=HEADERS)
    assert upload.status_code == 202, upload.text
    assert (await caller.client.get("/api/v1/images")).status_code == 200
    job_id = upload.json()["job"]["id"]
    assert (await caller.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 202
    events = await caller.client.get(f"/api/v1/jobs/{job_id}/events")
    assert '"cancelled"' in events.text
    health = await caller.client.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "degraded"})


async def test_without_s3_only_the_bytes_of_images_are_503(open_api, sign_in):
    process = await open_api(s3_endpoint=f"http://{NOWHERE}")
    caller = await sign_in(process=process)
    for method, path in (("POST", "/api/v1/images"), ("PUT", "/api/v1/users/me/avatar")):
        response = await caller.client.request(method, path, content=PNG, headers=HEADERS)
        assert_unavailable(response, "s3")
    assert (await caller.client.get("/api/v1/images")).json()["items"] == []


@pytest.fixture
async def known_keys(ada):
    """The process has verified a token, so it has the keys."""
    assert (await ada.client.get("/api/v1/images")).status_code == 200


@pytest.fixture
def users_away(users):
    users.unavailable = True
    yield
    users.unavailable = False


async def test_without_users_tokens_still_verify(ada, anonymous, known_keys, users_away):
    assert (await ada.client.get("/api/v1/images")).status_code == 200
    assert_unavailable(await ada.client.get("/api/v1/users/me"), "users")
    token = await anonymous.post(
        "/api/v1/auth/token",
        data={"grant_type": "password", "username": "x", "password": "y"},
    )
    assert_unavailable(token, "users")


async def test_without_users_and_without_keys_a_token_is_503_and_not_401(
    open_api, sign_in, users_away
):
    process = await open_api()
    caller = await sign_in(process=process)
    assert_unavailable(await caller.client.get("/api/v1/images"), "users")
