"""The client that anybody can generate from our document, used as its users would.

Proves that the document is enough to write a program from: nothing here knows a path or a header.
"""

import io
import time
import uuid
from http import HTTPStatus

import pytest
from PIL import Image as Picture
from tests.client.twelvefold_client import AuthenticatedClient, Client
from tests.client.twelvefold_client.api.auth import create_token
from tests.client.twelvefold_client.api.health import get_health
from tests.client.twelvefold_client.api.images import create_image, get_image, list_images
from tests.client.twelvefold_client.api.jobs import get_job
from tests.client.twelvefold_client.api.users import create_user, get_me, get_user, put_my_avatar
from tests.client.twelvefold_client.models import (
    CreateTokenBody,
    CreateTokenBodyGrantType,
    Image,
    ImageAccepted,
    ImagePage,
    Job,
    JobStatus,
    Problem,
    Status,
    TokenPair,
    User,
    UserCreate,
)
from tests.client.twelvefold_client.types import File

PASSWORD = "correct horse battery staple"
JOB_TIMEOUT = 60  # seconds


@pytest.fixture
def anonymous(suite) -> Client:
    return Client(suite.url, raise_on_unexpected_status=True)


@pytest.fixture
def account(anonymous) -> User:
    address = f"client.{uuid.uuid4().hex}@example.com"
    made = create_user.sync(
        client=anonymous, body=UserCreate(email=address, name="Ada", password=PASSWORD)
    )
    assert isinstance(made, User)
    return made


@pytest.fixture
def signed_in(suite, anonymous, account) -> AuthenticatedClient:
    form = CreateTokenBody(
        grant_type=CreateTokenBodyGrantType.PASSWORD, username=account.email, password=PASSWORD
    )
    pair = create_token.sync(client=anonymous, body=form)
    assert isinstance(pair, TokenPair)
    return AuthenticatedClient(suite.url, token=pair.access_token, raise_on_unexpected_status=True)


def picture() -> File:
    content = io.BytesIO()
    Picture.new("RGB", (300, 200), "teal").save(content, "PNG")
    return File(payload=io.BytesIO(content.getvalue()))


def ended(client: AuthenticatedClient, job: Job) -> Job:
    deadline = time.monotonic() + JOB_TIMEOUT
    while job.finished_at is None and time.monotonic() < deadline:
        time.sleep(0.05)  # the generated client reads no event streams
        found = get_job.sync(job.id, client=client)
        assert isinstance(found, Job)
        job = found
    return job


def test_the_generated_client_registers_signs_in_and_reads_its_account(signed_in, account):
    me = get_me.sync(client=signed_in)
    assert isinstance(me, User)
    assert me.id == account.id
    response = get_user.sync_detailed(account.id, client=signed_in)
    unchanged = get_user.sync_detailed(
        account.id, client=signed_in, if_none_match=response.headers["etag"]
    )
    assert unchanged.status_code == HTTPStatus.NOT_MODIFIED


def test_the_generated_client_uploads_an_image_and_follows_its_job(signed_in):
    accepted = create_image.sync(client=signed_in, body=picture())
    assert isinstance(accepted, ImageAccepted)
    assert ended(signed_in, accepted.job).status is JobStatus.SUCCEEDED
    image = get_image.sync(accepted.image.id, client=signed_in)
    assert isinstance(image, Image)
    assert {variant.name for variant in image.variants} == {"128", "512", "1024"}
    listed = list_images.sync(client=signed_in)
    assert isinstance(listed, ImagePage)
    assert [found.id for found in listed.items] == [image.id]


def test_the_generated_client_uploads_an_avatar(signed_in):
    job = put_my_avatar.sync(client=signed_in, body=picture())
    assert isinstance(job, Job)
    assert ended(signed_in, job).status is JobStatus.SUCCEEDED


def test_the_generated_client_reads_problems_and_health(anonymous, signed_in):
    missing = get_image.sync(uuid.uuid4(), client=signed_in)
    assert isinstance(missing, Problem)
    assert (missing.status, missing.type_) == (404, "/problems/not-found")
    health = get_health.sync(client=anonymous)
    assert isinstance(health, Status)
