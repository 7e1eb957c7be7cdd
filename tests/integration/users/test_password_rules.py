"""A common password is refused wherever a password is chosen."""

import uuid

import pytest
from tests.integration.users.running_users import PASSWORD, registration
from tests.integration.users.test_emails import mint, reset


@pytest.mark.parametrize("password", ["password1", "TrustNo1", "own.address", "own.Address@x.org"])
async def test_it_is_refused_by_its_pointer_and_not_repeated(api, password):
    address = "own.address@x.org" if "own" in password else f"{uuid.uuid4().hex}@example.com"
    response = await api.http.post("/users", json=registration(address, password=password))
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/body/password"
    assert password not in response.text


async def test_a_change_and_a_reset_refuse_it_too_and_change_nothing(api, worker):
    account = await api.member()
    body = {"current": PASSWORD, "new": "iloveyou1"}
    url = f"/users/{account.id}/password"
    response = await api.http.post(url, headers=account.bearer, json=body)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/body/new")
    token = await mint(worker, account, "reset")
    for common in ("iloveyou1", account.email):
        response = await reset(api, token, common)
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "/body/password"
    assert (await api.log_in(account.email)).status_code == 200
    assert (await reset(api, token)).status_code == 204
