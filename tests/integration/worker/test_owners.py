"""The worker's client on the real internal API of users."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from tests.asgi_server import open_asgi_server
from tests.integration.users.running_users import API as AS_API
from tests.integration.users.running_users import Caller, client_of, settings_for

from twelvefold.contracts.images import Variant, VariantReport
from twelvefold.contracts.jobs import EmailSend, EmailTemplate, ImageProcess
from twelvefold.errors import Conflict, DependencyUnavailable, NotFound
from twelvefold.http.internal import InternalClient
from twelvefold.identifiers import new_id
from users.app import create_app
from worker.owners import HttpOwnerClient


def client(name, url) -> InternalClient:
    return InternalClient(name, url, caller="worker", secret="secret-of-worker")


@pytest.fixture
async def users(database, redis_url):
    async with create_app(settings_for(database, redis_url)).open() as process:
        yield process


@pytest.fixture
async def owners(users) -> AsyncIterator[HttpOwnerClient]:
    assert users.internal
    async with open_asgi_server(users.internal) as url:
        clients = client("users", url), client("api", "http://127.0.0.1:9")
        yield HttpOwnerClient(users=clients[0], api=clients[1])
        for one in clients:
            await one.aclose()


def report(job_id=None, created_at=None) -> VariantReport:
    job_id = job_id or new_id()
    return VariantReport(
        job_id=job_id,
        job_created_at=created_at or datetime.now(UTC),
        variants=[
            Variant(
                name="128",
                object_key=f"variants/avatar/x/{job_id}/128.webp",
                content_type="image/webp",
                width=128,
                height=96,
                size=1000,
            )
        ],
    )


async def test_the_content_of_an_email_includes_a_new_link(users, owners):
    async with client_of(users, AS_API) as http:
        account = await Caller(http).register()
    mail = EmailSend(template=EmailTemplate.WELCOME, user_id=account.id)
    content = await owners.email_content(new_id(), mail)
    assert content.to == account.email
    assert content.link


async def test_the_content_for_an_unknown_account_is_not_found(owners):
    with pytest.raises(NotFound):
        await owners.email_content(
            new_id(), EmailSend(template=EmailTemplate.RESET, user_id=new_id())
        )


async def test_an_avatar_report_can_be_repeated_but_not_replaced_by_an_older_job(users, owners):
    async with client_of(users, AS_API) as http:
        account = await Caller(http).register()
    job = ImageProcess(target="avatar", target_id=account.id, object_key="uploads/x")
    newest = report()
    await owners.report(job, newest)
    await owners.report(job, newest)
    with pytest.raises(Conflict):
        await owners.report(job, report(created_at=datetime(2020, 1, 1, tzinfo=UTC)))


async def test_a_report_for_an_unknown_account_is_not_found(owners):
    job = ImageProcess(target="avatar", target_id=new_id(), object_key="uploads/x")
    with pytest.raises(NotFound):
        await owners.report(job, report())


async def test_an_owner_that_does_not_respond_is_unavailable(owners):
    job = ImageProcess(target="image", target_id=new_id(), object_key="uploads/x")
    with pytest.raises(DependencyUnavailable):
        await owners.report(job, report())
