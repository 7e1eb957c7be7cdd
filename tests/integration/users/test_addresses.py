"""An international address or password is the same account in each of its spellings."""

import unicodedata
import uuid

import argon2
import pytest
from tests.integration.users.running_users import PASSWORD, registration

UNICODE, A_LABELS = "b\u00fccher.example", "xn--bcher-kva.example"
HASH = "SELECT password_hash FROM users.accounts WHERE id = $1::uuid"


def spellings(local: str) -> list[str]:
    decomposed = unicodedata.normalize("NFD", f"{local}@{UNICODE}")
    return [f"{local}@{UNICODE}", f"{local}@{A_LABELS}", f"{local}@{A_LABELS}".upper(), decomposed]


@pytest.fixture
def local() -> str:
    return f"zo\u00eb.{uuid.uuid4().hex}"


@pytest.mark.parametrize("chosen", [0, 1])
async def test_each_spelling_logs_in_and_none_registers_again(api, local, chosen):
    await api.register(spellings(local)[chosen])
    for spelling in spellings(local):
        assert (await api.log_in(spelling)).status_code == 200, spelling
        again = await api.http.post("/users", json=registration(spelling))
        assert again.status_code == 409, spelling


async def test_a_row_of_the_release_before_is_reached_by_each_spelling(api, sql, local):
    """What that release has stored: normalised by Unicode's rules and in lower case."""
    account = await api.register(spellings(local)[0])
    stored = unicodedata.normalize("NFC", account.body["email"]).lower()
    await sql.execute(
        "UPDATE users.accounts SET email_key = $2 WHERE id = $1::uuid", account.id, stored
    )
    for spelling in spellings(local):
        assert (await api.log_in(spelling)).status_code == 200, spelling


async def test_a_reset_is_mailed_whatever_the_spelling(api, sql, local):
    account = await api.register(spellings(local)[0])
    for spelling in spellings(local):
        response = await api.http.post("/password-resets", json={"email": spelling})
        assert response.status_code == 202
    queued = await sql.fetchval(
        "SELECT count(*) FROM jobs.jobs WHERE kind = 'email.send'"
        " AND payload->>'template' = 'reset' AND payload->>'user_id' = $1",
        account.id,
    )
    assert queued == len(spellings(local))


async def test_an_address_is_no_password_in_any_of_its_spellings(api, local):
    for spelling in spellings(local):
        body = registration(spellings(local)[0], password=spelling)
        response = await api.http.post("/users", json=body)
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "/body/password"


async def test_a_password_counts_in_each_form_that_keyboards_send(api):
    composed = "Zo\u00eb findet \u00c5"
    email = f"{uuid.uuid4().hex}@example.com"
    decomposed = unicodedata.normalize("NFD", composed)
    response = await api.http.post("/users", json=registration(email, password=decomposed))
    assert response.status_code == 201
    for typed in (composed, decomposed, composed.replace("Z", "\uff3a")):
        assert (await api.log_in(email, typed)).status_code == 200, typed


async def test_a_password_hashed_as_it_was_given_goes_on_counting_and_is_hashed_anew(
    api, sql, use_cases
):
    """As the release before has hashed it."""
    account = await api.register()
    given = unicodedata.normalize("NFD", "Zo\u00eb findet \u00c5")
    old = argon2.PasswordHasher(1, 1024, 1).hash(given.encode())
    await sql.execute(
        "UPDATE users.accounts SET password_hash = $2 WHERE id = $1::uuid", account.id, old
    )
    assert (await api.log_in(account.email, given)).status_code == 200
    await use_cases.post_commit_tasks.aclose()
    assert await sql.fetchval(HASH, account.id) != old
    assert (await api.log_in(account.email, given)).status_code == 200
    composed = unicodedata.normalize("NFC", given)
    assert (await api.log_in(account.email, composed)).status_code == 200
    assert (await api.log_in(account.email, PASSWORD)).status_code == 400
