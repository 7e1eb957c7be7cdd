"""The Python client against a running suite, used as its users would.

Nothing here knows a path or a header. docs/guides/clients.md shows the same calls.
"""

import io
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from PIL import Image as Picture
from tests.fault_proxy import open_fault_proxy

from twelvefold_client import (
    ApiProblem,
    AsyncTwelvefold,
    LoginRequired,
    NotModified,
    TokenRefused,
    Tokens,
    Twelvefold,
    models,
)

PASSWORD = "correct horse battery staple"


def new_user() -> models.UserCreate:
    address = f"client.{uuid.uuid4().hex}@example.com"
    return models.UserCreate(email=address, name="Ada", password=PASSWORD)


@pytest.fixture
def client(suite) -> Iterator[Twelvefold]:
    """Signed in to an account of its own."""
    user = new_user()
    with Twelvefold(suite.url) as client:
        client.create_user(user)
        client.log_in(user.email, PASSWORD)
        yield client


@pytest.fixture
async def async_client(suite) -> AsyncIterator[AsyncTwelvefold]:
    user = new_user()
    async with AsyncTwelvefold(suite.url) as client:
        await client.create_user(user)
        await client.log_in(user.email, PASSWORD)
        yield client


def picture() -> bytes:
    content = io.BytesIO()
    Picture.new("RGB", (300, 200), "teal").save(content, "PNG")
    return content.getvalue()


def test_an_account_is_registered_read_and_changed_by_its_version(client):
    read = client.get_me_detailed()
    with pytest.raises(NotModified):
        client.get_me(if_none_match=read.headers["etag"])
    changes = models.UserUpdate(name="Ada King")
    assert client.update_me(changes, if_match=read.headers["etag"]).name == "Ada King"
    with pytest.raises(ApiProblem) as caught:
        client.update_me(changes, if_match=read.headers["etag"])
    assert caught.value.code == "precondition-failed"
    assert client.get_problem_type(caught.value.code).repeat == "no"


def test_an_upload_from_a_file_is_followed_to_its_variants(client, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(picture())
    accepted = client.create_image(path)
    events = list(client.watch_job(accepted.job.id))
    assert events[-1].job.status is models.JobStatus.SUCCEEDED
    image = client.get_image(accepted.image.id)
    assert {variant.name for variant in image.variants} == {"128", "512", "1024"}
    assert client.get_image_variant(image.id, "128").startswith("http")
    assert [found.id for found in client.iterate(client.list_images, limit=1)] == [image.id]


def test_an_avatar_is_uploaded_and_its_job_awaited(client):
    job = client.put_my_avatar(picture())
    assert client.wait_for_job(job.id).status is models.JobStatus.SUCCEEDED
    assert client.get_avatar(client.get_me().id, "128").startswith("http")


def test_a_list_of_several_pages_is_read_whole(client):
    accepted = [client.create_image(picture()) for _ in range(5)]
    listed = [found.id for found in client.iterate(client.list_images, limit=2)]
    assert sorted(listed) == sorted(one.image.id for one in accepted)


def test_an_expired_access_token_is_renewed_unseen(suite, client):
    stale = replace(client.tokens, access="of-yesterday")
    kept: list[Tokens | None] = []
    with Twelvefold(suite.url, tokens=stale, on_tokens=kept.append) as resumed:
        assert resumed.get_me().id == client.get_me().id
    assert len(kept) == 1


def test_a_session_that_was_ended_elsewhere_asks_for_a_login(suite, client):
    with Twelvefold(suite.url, tokens=client.tokens) as other:
        client.log_out()
        with pytest.raises(LoginRequired):
            other.get_me()


def test_a_wrong_password_and_a_refused_input_are_exceptions(suite):
    with Twelvefold(suite.url) as client:
        with pytest.raises(TokenRefused) as refused:
            client.log_in(new_user().email, PASSWORD)
        assert refused.value.error == "invalid_grant"
        with pytest.raises(ApiProblem) as caught:
            client.create_user(models.UserCreate(email="ada", name="Ada", password=PASSWORD))
        assert [fault.pointer for fault in caught.value.errors] == ["/body/email"]
        assert client.get_health().status == "ok"


async def test_the_asynchronous_client_does_the_same(async_client):
    accepted = await async_client.create_image(picture())
    job = await async_client.wait_for_job(accepted.job.id)
    assert job.status is models.JobStatus.SUCCEEDED
    listed = [found.id async for found in async_client.iterate(async_client.list_images)]
    assert listed == [accepted.image.id]
    with pytest.raises(ApiProblem) as caught:
        await async_client.get_image(uuid.uuid4())
    assert (caught.value.status, caught.value.type) == (404, "/problems/not-found")


async def test_an_event_stream_that_breaks_off_again_and_again_brings_the_job_to_its_end(
    suite, async_client
):
    async with open_fault_proxy(suite.url, rate=0.8, seed=3, stall=0.5) as proxy:
        accepted = await async_client.create_image(picture())
        tokens = async_client.tokens
        async with AsyncTwelvefold(proxy.url, tokens=tokens, timeout=2.0) as shaken:
            events = [event async for event in shaken.watch_job(accepted.job.id)]
        assert events[-1].job.status is models.JobStatus.SUCCEEDED
        versions = [int(event.id) for event in events]
        assert versions == sorted(set(versions))
