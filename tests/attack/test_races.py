"""Racing clients: lost updates, double refreshes, stolen tokens."""

import asyncio
from collections import Counter
from functools import partial

import jwt
import pytest
from tests.attack.conftest import Attacker, assert_problem

pytestmark = pytest.mark.timeout(1800)  # of the full counts, on a busy machine
WIDTH = 8  # at a time on one row: fewer than users has connections, else some are a 503
LEEWAY = "11 seconds"  # one more than a used refresh token is still taken


async def test_racing_changes_lose_no_update(attacker, scaled, figure, at_once):
    """The version grows by exactly the number of successes; the others are 412."""
    count = scaled(300, 5000)
    me = "/api/v1/users/me"
    first = await attacker.http.get(me, headers=attacker.bearer)
    version = int(first.headers["etag"].strip('"v'))
    current = [first.headers["etag"]]

    async def change(number: int) -> int:
        headers = {**attacker.bearer, "If-Match": current[0]}
        response = await attacker.http.patch(me, json={"name": f"M {number}"}, headers=headers)
        if response.status_code == 200:
            current[0] = response.headers["etag"]
        elif response.status_code == 412:
            assert_problem(response, 412)
            fresh = await attacker.http.get(me, headers=attacker.bearer)
            current[0] = fresh.headers["etag"]
        return int(response.status_code)

    responses = await at_once((partial(change, number) for number in range(count)), WIDTH)
    won, lost = responses.count(200), responses.count(412)
    last = await attacker.http.get(me, headers=attacker.bearer)
    grew = int(last.headers["etag"].strip('"v')) - version
    figure("racing PATCHes with If-Match", sent=count, won=won, lost=lost, version_grew=grew)
    assert won + lost == count, Counter(responses)
    assert grew == won
    assert lost


async def test_a_change_without_a_precondition_is_refused(attacker):
    response = await attacker.http.patch(
        "/api/v1/users/me", json={"name": "Blind"}, headers=attacker.bearer
    )
    assert_problem(response, 428)


def family(tokens: dict[str, str]) -> str:
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    return str(claims["sid"])


async def test_a_double_refresh_within_the_leeway_fails_nobody_and_forks_no_family(
    attacker, logged_in, scaled, figure, at_once
):
    count = scaled(12, 200)
    sessions = await logged_in(count)

    async def both(tokens: dict[str, str]) -> list[dict[str, str]]:
        responses = await asyncio.gather(
            *(attacker.refresh(tokens["refresh_token"]) for _ in range(2))
        )
        assert [response.status_code for response in responses] == [200, 200]
        return [response.json() for response in responses]

    pairs = await at_once((partial(both, tokens) for tokens in sessions), 12)
    strayed = sum(
        family(tokens) != family(new)
        for tokens, pair in zip(sessions, pairs, strict=True)
        for new in pair
    )
    forked = sum(one["refresh_token"] != other["refresh_token"] for one, other in pairs)
    figure("double refreshes at once", families=count, failed=0, strayed=strayed, forked=forked)
    assert (strayed, forked) == (0, 0)
    # Both of a pair go on: the slower of two tabs is not logged out.
    responses = await asyncio.gather(
        *(attacker.refresh(new["refresh_token"]) for pair in pairs[:5] for new in pair)
    )
    assert {response.status_code for response in responses} == {200}


async def test_a_token_reused_after_the_leeway_ends_its_family_in_every_case(
    attacker, logged_in, postgres, scaled, figure, at_once
):
    count = scaled(8, 200)
    other = await attacker.log_in()
    sessions = await logged_in(count)

    async def exchange(tokens: dict[str, str]) -> dict[str, str]:
        response = await attacker.refresh(tokens["refresh_token"])
        assert response.status_code == 200
        return dict(response.json())

    newer = await at_once((partial(exchange, tokens) for tokens in sessions), 8)
    moved = await postgres.execute(
        "UPDATE users.refresh_tokens SET used_at = used_at - $1::text::interval"
        " WHERE used_at IS NOT NULL AND session_id = ANY($2::uuid[])",
        LEEWAY,
        [family(tokens) for tokens in sessions],
    )
    assert moved == f"UPDATE {count}"

    async def steal(tokens: dict[str, str], new: dict[str, str]) -> bool:
        reused = await attacker.refresh(tokens["refresh_token"])
        rightful = await attacker.refresh(new["refresh_token"])
        bearer = {"Authorization": f"Bearer {new['access_token']}"}
        read = await attacker.http.get("/api/v1/users/me", headers=bearer)
        refused = [one.status_code for one in (reused, rightful)] == [400, 400]
        return refused and read.status_code == 401

    calls = (partial(steal, *pair) for pair in zip(sessions, newer, strict=True))
    ended = await at_once(calls, 16)
    figure("refresh tokens reused after the leeway", families=count, ended=sum(ended))
    assert all(ended)
    assert (await exchange(other))["token_type"] == "Bearer", "another family was ended, too"


async def test_a_replay_behind_a_used_successor_ends_its_family_within_the_leeway(
    attacker, logged_in, scaled, figure, at_once
):
    """A replayed token gains nothing but the end of the session, once its owner has gone on."""
    count = scaled(8, 200)
    sessions = await logged_in(count)

    async def steal(tokens: dict[str, str]) -> bool:
        rightful = tokens
        for _ in range(2):
            response = await attacker.refresh(rightful["refresh_token"])
            assert response.status_code == 200
            rightful = response.json()
        replayed = await attacker.refresh(tokens["refresh_token"])
        after = await attacker.refresh(rightful["refresh_token"])
        bearer = {"Authorization": f"Bearer {rightful['access_token']}"}
        read = await attacker.http.get("/api/v1/users/me", headers=bearer)
        return [replayed.status_code, after.status_code, read.status_code] == [400, 400, 401]

    ended = await at_once((partial(steal, tokens) for tokens in sessions), 8)
    figure("refresh tokens replayed behind a used successor", families=count, ended=sum(ended))
    assert all(ended)


@pytest.mark.parametrize("width", [2, 8])
async def test_a_stolen_token_raced_by_many_ends_its_family_once(attacker, postgres, width):
    tokens = await attacker.log_in()
    assert (await attacker.refresh(tokens["refresh_token"])).status_code == 200
    await postgres.execute(
        "UPDATE users.refresh_tokens SET used_at = used_at - $1::text::interval"
        " WHERE session_id = $2::uuid",
        LEEWAY,
        family(tokens),
    )
    responses = await asyncio.gather(
        *(attacker.refresh(tokens["refresh_token"]) for _ in range(width))
    )
    assert {response.status_code for response in responses} == {400}
    assert all(response.json()["error"] == "invalid_grant" for response in responses)


async def test_racing_registrations_of_one_address_make_one_account(attacker):
    mallories = [
        Attacker(attacker.http, attacker.planted, email=f"twin.{attacker.email}") for _ in range(4)
    ]
    responses = await asyncio.gather(
        *(
            one.http.post(
                "/api/v1/users",
                json={
                    "email": one.email.upper() if number % 2 else one.email,
                    "name": "Twin",
                    "password": one.planted.add(one.password),
                },
            )
            for number, one in enumerate(mallories)
        )
    )
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [201, 409, 409, 409]
