"""Guessing passwords gets slow, whether or not the account exists; its owner is not locked out."""

import asyncio
import uuid

import pytest
from tests.integration.users.running_users import API, Caller, client_of, settings_for

from users.app import create_app


@pytest.fixture
async def strict(database, redis_url):
    settings = settings_for(database, redis_url, login_attempts=5)
    async with create_app(settings).open() as process, client_of(process, API) as client:
        yield Caller(client)


async def guesses(api, email, count, address="192.0.2.1"):
    return [await api.log_in(email, "wrong password", address=address) for _ in range(count)]


async def test_known_and_unknown_accounts_get_slow_alike(strict):
    account = await strict.register()
    seen = []
    for email in (account.email, f"nobody.{uuid.uuid4().hex}@example.com"):
        responses = await guesses(strict, email, 7)
        seen.append([response.status_code for response in responses])
        last = responses[-1]
        assert int(last.headers["retry-after"]) > 0
        seen.append(last.json()["detail"])
    assert seen[0] == [400] * 5 + [429] * 2
    assert seen[:2] == seen[2:]


async def test_the_owner_gets_in_from_another_address(strict):
    account = await strict.register()
    await guesses(strict, account.email, 6)
    assert (await strict.log_in(account.email, address="192.0.2.1")).status_code == 429
    assert (await strict.log_in(account.email, address="198.51.100.1")).status_code == 200


@pytest.mark.parametrize("domain", ["xn--bcher-kva.example", "BU\u0308CHER.example"])
async def test_however_an_address_is_spelt_it_is_one_account(strict, domain):
    local = uuid.uuid4().hex
    account = await strict.register(f"{local}@b\u00fccher.example")
    await guesses(strict, account.email, 5)
    assert (await guesses(strict, f"{local.upper()}@{domain}", 1))[0].status_code == 429


async def test_a_right_password_makes_the_quota_whole(strict):
    account = await strict.register()
    for _ in range(3):
        await guesses(strict, account.email, 4)
        assert (await strict.log_in(account.email, address="192.0.2.1")).status_code == 200


async def test_many_addresses_gain_little_by_being_many(strict):
    account = await strict.register()
    for number in range(25):
        await guesses(strict, account.email, 4, f"192.0.2.{number}")
    late = await guesses(strict, account.email, 5, "203.0.113.1")
    assert [response.status_code for response in late] == [400] * 3 + [429] * 2
    assert (await strict.log_in(account.email, address="198.51.100.1")).status_code == 200


@pytest.mark.parametrize(
    "address",
    ["2001:db8:7:{site}::{number:x}", "2002:c000:2{site:02x}:{number:x}::1"],
    ids=["one /64", "a 6to4 site"],
)
async def test_many_addresses_of_one_ipv6_site_are_one_guesser(strict, address):
    account = await strict.register()
    responses = [
        (await guesses(strict, account.email, 1, address.format(site=7, number=number)))[0]
        for number in range(1, 9)
    ]
    assert [response.status_code for response in responses] == [400] * 5 + [429] * 3


async def test_racing_guesses_are_counted_each(strict):
    account = await strict.register()
    attempts = (guesses(strict, account.email, 1) for _ in range(12))
    responses = [response for (response,) in await asyncio.gather(*attempts)]
    assert sorted(response.status_code for response in responses) == [400] * 5 + [429] * 7


async def test_ones_own_password_cannot_be_guessed_in_a_stolen_session(strict):
    account = await strict.member()
    body = {"current": "wrong password", "new": "a whole new battery"}
    url = f"/users/{account.id}/password"
    codes = [
        (await strict.http.post(url, headers=account.bearer, json=body)).status_code
        for _ in range(6)
    ]
    assert codes == [403] * 5 + [429]


async def test_without_redis_the_process_counts_by_itself(database):
    settings = settings_for(database, "redis://127.0.0.1:1/0", login_attempts=5)
    async with create_app(settings).open() as process, client_of(process, API) as client:
        api = Caller(client)
        account = await api.register()
        responses = await guesses(api, account.email, 7)
    assert [response.status_code for response in responses] == [400] * 5 + [429] * 2
