"""The limit of emails to one recipient, for any caller and address."""

import uuid

import pytest
from tests.integration.users.running_users import (
    API,
    Caller,
    client_of,
    registration,
    settings_for,
)
from tests.integration.users.test_own_changes import ask_for, fresh_address

from users.app import create_app

QUOTA = 3


@pytest.fixture
async def strict(database, redis_url):
    settings = settings_for(database, redis_url, emails_per_recipient=QUOTA)
    async with create_app(settings).open() as process, client_of(process, API) as client:
        yield Caller(client)


@pytest.mark.parametrize("path", ["/email-verifications", "/password-resets"])
async def test_emails_count_by_recipient_with_and_without_an_account(strict, path):
    known = (await strict.register()).email
    responses = {}
    for email in (known, fresh_address()):
        spent = QUOTA - (path == "/email-verifications" and email == known)  # the welcome counts
        for _ in range(spent):
            assert (await strict.http.post(path, json={"email": email})).status_code == 202
        responses[email] = await strict.http.post(path, json={"email": email.upper()})
        assert responses[email].status_code == 429
        assert 1 <= int(responses[email].headers["retry-after"]) <= 3600 // QUOTA
    assert len({response.json()["detail"] for response in responses.values()}) == 1
    assert (await strict.http.post(path, json={"email": fresh_address()})).status_code == 202


async def test_emails_to_a_new_address_count_for_all_accounts_together(strict):
    address = fresh_address()
    statuses = [
        (await ask_for(strict, await strict.member(), address)).status_code
        for _ in range(QUOTA + 1)
    ]
    assert statuses == [202] * QUOTA + [429]


async def test_an_address_is_not_welcomed_over_and_over_by_deleting_the_account(strict):
    address = fresh_address()
    for _ in range(QUOTA):
        account = await strict.register(address)
        account.tokens = (await strict.log_in(address)).json()
        path = f"/users/{account.id}"
        assert (await strict.http.delete(path, headers=account.bearer)).status_code == 204
    key = {"Idempotency-Key": uuid.uuid4().hex}
    refused = await strict.http.post("/users", json=registration(address), headers=key)
    assert refused.status_code == 429


async def test_attempts_at_a_taken_address_send_nothing_and_count_for_nothing(strict):
    account = await strict.register()
    for _ in range(QUOTA + 1):
        response = await strict.http.post("/users", json=registration(account.email))
        assert response.status_code == 409
    body = {"email": account.email}
    assert (await strict.http.post("/email-verifications", json=body)).status_code == 202
