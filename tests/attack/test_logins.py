"""Logins: their timing, their effect on the event loop, and the address that counts."""

import time
from functools import partial
from statistics import median

import httpx
import pytest
from tests.attack.conftest import Attacker

pytestmark = pytest.mark.timeout(1800)
WRONG = "planted-wrong-password-of-nobody"
GUESSES = 12  # wrong ones at one account, which its throttle lets pass
FORGED = "203.0.113.77"


async def refused(attacker, username: str) -> float:
    """Seconds that a login with a wrong password takes."""
    began = time.perf_counter()
    response = await attacker.token("password", username=username, password=WRONG)
    took = time.perf_counter() - began
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    return took


async def test_a_refused_login_tells_nothing_about_the_account(
    attacker, clients, planted, scaled, figure
):
    """By body exactly, by time as measured: one of each in turn, so that both meet one machine."""
    planted.add(WRONG)
    unknown = f"unknown.{attacker.email}"
    texts = set()
    for username in (attacker.email, unknown):
        response = await attacker.token("password", username=username, password=WRONG)
        texts.add((response.status_code, response.text))
    assert len(texts) == 1
    known_s: list[float] = []
    unknown_s: list[float] = []
    each = scaled(12, 500)
    for number, mallory in enumerate((await clients(-(-each // GUESSES))) * GUESSES):
        pair = [(known_s, mallory.email), (unknown_s, f"unknown.{mallory.email}")]
        for took, username in pair if number % 2 else reversed(pair):
            took.append(await refused(attacker, username))
    known, absent = median(known_s), median(unknown_s)
    figure(
        "refused logins, known and unknown account",
        each=len(known_s),
        median_known_ms=known * 1000,
        median_unknown_ms=absent * 1000,
        difference_percent=abs(known - absent) / absent * 100,
    )


async def test_many_logins_at_once_leave_the_event_loop_free(
    suite, clients, scaled, figure, at_once
):
    if not suite.management:
        pytest.skip("a suite by URL does not show its event loop")

    async def late() -> list[tuple[float, float]]:
        """How often the loop of users was at most so late, cumulative."""
        async with httpx.AsyncClient() as client:
            exposed = (await client.get(f"{suite.management['users']}/metrics")).text
        name = 'event_loop_lag_seconds_bucket{le="'
        return [
            (float(bound), float(count))
            for line in exposed.splitlines()
            if line.startswith(name)
            for bound, _, count in [line.removeprefix(name).partition('"} ')]
        ]

    async def log_in(mallory: Attacker) -> int:
        response = await mallory.token(
            "password", username=mallory.email, password=mallory.password
        )
        return int(response.status_code)

    count, waves = scaled(20, 100), scaled(1, 5)
    mallories = await clients(count // 10)
    before = await late()
    began = time.perf_counter()
    responses = []
    for _ in range(waves):
        responses += await at_once((partial(log_in, mallory) for mallory in mallories * 10), count)
    took = time.perf_counter() - began
    counts = [
        (bound, now - then) for (bound, now), (_, then) in zip(await late(), before, strict=True)
    ]
    looks = counts[-1][1]
    p99 = next((bound for bound, within in counts if within >= looks * 0.99), float("inf"))
    figure(
        "logins at once",
        at_once=count,
        waves=waves,
        took_s=took,
        looks=looks,
        loop_lag_p99_at_most_ms=p99 * 1000,
    )
    assert looks > 0
    assert set(responses) <= {200, 503}, "a login either comes in or hears that it is too much"


async def test_an_address_that_the_client_claims_does_not_count(attacker, postgres, suite):
    """No proxy is trusted on this socket: the session's is the peer's."""
    forged = {"X-Forwarded-For": FORGED, "Forwarded": f"for={FORGED}", "X-Real-IP": FORGED}
    async with httpx.AsyncClient(base_url=suite.url, headers=forged) as client:
        form = {"grant_type": "password", "username": attacker.email, "password": attacker.password}
        response = await client.post("/api/v1/auth/token", data=form)
    assert response.status_code == 200
    addresses = await postgres.fetch(
        "SELECT DISTINCT address FROM users.sessions WHERE account_id = $1::uuid", attacker.id
    )
    assert [row["address"] for row in addresses] == ["127.0.0.1"]


async def test_planted_secrets_are_found_where_they_are(attacker, planted, tmp_path):
    """The look over all logs at the end of these tests would see one."""
    log = tmp_path / "api.log"
    log.write_text(f'{{"event": "login", "password": "{attacker.password}"}}\n')
    assert planted.found_in([log])
    assert not planted.found_in([])


async def test_no_answer_repeats_a_secret(attacker, planted):
    secret = planted.add("planted-secret-that-nobody-may-repeat")
    token = {**attacker.bearer, "Cookie": f"session={secret}", "Content-Type": "application/json"}
    bodies = [
        f'{{"email": "{secret}", "name": "x", "password": "{secret}", "token": "{secret}"}}',
        f'{{"password": ["{secret}"]}}',
        f'["{secret}"',
    ]
    requests = [
        partial(attacker.http.post, path, content=body, headers=token)
        for body in bodies
        for path in (
            "/api/v1/users",
            "/api/v1/auth/token",
            "/api/v1/auth/password-resets",
            "/api/v1/auth/password-resets/confirm",
            "/api/v1/auth/email-verifications/confirm",
        )
    ]
    requests += [
        partial(
            attacker.http.get, "/api/v1/users/me", headers={"Authorization": f"Bearer {secret}"}
        ),
        partial(attacker.http.get, "/api/v1/users/me", headers={"Authorization": secret}),
        partial(attacker.token, "password", username=attacker.email, password=secret),
        partial(attacker.refresh, secret),
    ]
    for ask in requests:
        response = await ask()
        assert 400 <= response.status_code < 500
        assert secret not in response.text
        assert secret not in str(response.headers)
