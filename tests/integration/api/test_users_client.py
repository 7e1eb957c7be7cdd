"""One suite for every UsersClient: over HTTP to the real users app, and the fake."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import jwt
import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse
from tests.asgi_server import open_asgi_server
from tests.fakes.users_client import FakeUsersClient
from tests.integration.users.running_users import settings_for

from api.users_client import HttpUsersClient, UsersClient
from twelvefold.contracts.accounts import (
    EmailChange,
    PasswordChange,
    TokenPair,
    TokenRequest,
    User,
    UserCreate,
    UserExport,
    UserUpdate,
)
from twelvefold.errors import (
    BadRequest,
    Conflict,
    DependencyUnavailable,
    Forbidden,
    NotFound,
    OAuthError,
    PreconditionFailed,
    UnprocessableContent,
)
from twelvefold.http.internal import InternalClient
from twelvefold.security.tokens import TokenVerifier
from users.app import create_app

PASSWORD = "correct horse battery staple"


async def _over_http(database, redis_url) -> AsyncIterator[UsersClient]:
    process = create_app(settings_for(database, redis_url))
    assert process.internal is not None
    async with process.open(), open_asgi_server(process.internal) as url:
        client = InternalClient("users", url, caller="api", secret="secret-of-api")
        yield HttpUsersClient(client)
        await client.aclose()


@pytest.fixture(params=["http", "fake"])
async def users(request, database, redis_url) -> AsyncIterator[UsersClient]:
    if request.param == "fake":
        yield FakeUsersClient()
    else:
        async for client in _over_http(database, redis_url):
            yield client


def _new() -> UserCreate:
    return UserCreate(email=f"{uuid4().hex}@example.com", name="Ada", password=SecretStr(PASSWORD))


async def _logged_in(users: UsersClient) -> tuple[User, TokenPair]:
    new = _new()
    user = User.model_validate_json((await users.create(new)).document.body)
    return user, await _pair(users, grant_type="password", username=new.email, password=PASSWORD)


async def _pair(
    users: UsersClient,
    *,
    grant_type: str,
    username: str | None = None,
    password: str | None = None,
    refresh_token: str | None = None,
) -> TokenPair:
    request = TokenRequest(
        grant_type=grant_type,
        username=username,
        password=None if password is None else SecretStr(password),
        refresh_token=None if refresh_token is None else SecretStr(refresh_token),
        user_agent="tests",
        address="192.0.2.1",
    )
    return TokenPair.model_validate_json(await users.issue_token(request))


async def test_an_account_is_created_as_its_document_and_version(users):
    new = _new()
    created = await users.create(new)
    user = User.model_validate_json(created.document.body)
    assert (created.id, created.document.etag, user.email) == (user.id, '"v1"', new.email)
    with pytest.raises(Conflict):
        await users.create(new)


async def test_an_account_is_created_once_for_its_key(users):
    new, key = _new(), uuid4().hex
    first = await users.create(new, idempotency_key=key)
    again = await users.create(new, idempotency_key=key)
    assert (again.document, again.id) == (first.document, first.id)
    assert (first.replayed, again.replayed) == (False, True)
    with pytest.raises(UnprocessableContent):
        await users.create(new.model_copy(update={"name": "Eve"}), idempotency_key=key)
    stranger = await users.create(_new(), idempotency_key=key)
    assert stranger.document.body != first.document.body
    with pytest.raises(BadRequest):
        await users.create(_new(), idempotency_key='"open')


async def test_tokens_are_issued_that_the_published_keys_verify(users):
    user, pair = await _logged_in(users)
    verifier = TokenVerifier(users.key_set, issuer="twelvefold", audience="twelvefold-api")
    principal = await verifier.verify(pair.access_token)
    assert (principal.id, pair.scope.split()) == (user.id, pair.scope.split())
    assert principal.scopes == frozenset(pair.scope.split())
    claims = jwt.decode(pair.access_token, options={"verify_signature": False})
    assert claims["exp"] - time.time() == pytest.approx(pair.expires_in, abs=5)
    await verifier.aclose()


async def test_a_refused_grant_is_an_oauth_error(users):
    user, pair = await _logged_in(users)
    cases = [
        {"grant_type": "password", "username": user.email, "password": "wrong password"},
        {"grant_type": "password", "username": "nobody@example.com", "password": PASSWORD},
        {"grant_type": "refresh_token", "refresh_token": "unknown"},
    ]
    for case in cases:
        with pytest.raises(OAuthError) as refused:
            await _pair(users, **case)
        assert (refused.value.error, refused.value.oauth_status) == ("invalid_grant", 400)
    again = await _pair(users, grant_type="refresh_token", refresh_token=pair.refresh_token)
    assert again.refresh_token


async def test_a_revoked_session_is_refreshed_no_more(users):
    _, pair = await _logged_in(users)
    await users.revoke_token(SecretStr("unknown"))
    await users.revoke_token(SecretStr(pair.refresh_token))
    with pytest.raises(OAuthError):
        await _pair(users, grant_type="refresh_token", refresh_token=pair.refresh_token)


async def test_a_change_counts_for_the_version_that_it_names(users):
    user, pair = await _logged_in(users)
    bearer = pair.access_token
    changes = UserUpdate(name="Lovelace")
    with pytest.raises(PreconditionFailed):
        await users.update(user.id, changes, expected={99}, bearer=bearer)
    before = await users.get(user.id, bearer=bearer)
    assert before.etag == '"v1"'
    after = await users.update(user.id, changes, expected={1, 99}, bearer=bearer)
    assert after.etag == '"v2"'
    assert User.model_validate_json(after.body).name == "Lovelace"
    found = await users.get(user.id, bearer=bearer)
    assert found == after


async def test_a_deleted_account_is_gone(users):
    user, pair = await _logged_in(users)
    with pytest.raises(PreconditionFailed):
        await users.delete(user.id, expected={99}, bearer=pair.access_token)
    await users.delete(user.id, expected=None, bearer=pair.access_token)
    with pytest.raises(NotFound):
        await users.get(user.id, bearer=pair.access_token)


async def test_a_password_is_changed_by_who_knows_it(users):
    user, pair = await _logged_in(users)
    bearer, new = pair.access_token, "another phrase altogether"
    wrong = PasswordChange(current=SecretStr("not it at all"), new=SecretStr(new))
    with pytest.raises(Forbidden):
        await users.change_password(user.id, wrong, bearer=bearer)
    right = PasswordChange(current=SecretStr(PASSWORD), new=SecretStr(new))
    await users.change_password(user.id, right, bearer=bearer)
    pair = await _pair(users, grant_type="password", username=user.email, password=new)
    assert pair.access_token


async def test_a_new_address_is_asked_to_confirm(users):
    user, pair = await _logged_in(users)
    email = f"{uuid4().hex}@example.org"
    for wrong in (None, SecretStr("not it at all")):
        request = EmailChange(email=email, password=wrong)
        with pytest.raises(Forbidden):
            await users.change_email(user.id, request, bearer=pair.access_token)
    request = EmailChange(email=email, password=SecretStr(PASSWORD))
    await users.change_email(user.id, request, bearer=pair.access_token)
    document = await users.get(user.id, bearer=pair.access_token)
    assert User.model_validate_json(document.body).email == user.email


async def test_sessions_are_listed_exported_and_ended(users):
    user, pair = await _logged_in(users)
    bearer = pair.access_token
    (session,) = (await users.sessions(user.id, bearer=bearer)).items
    assert (session.current, session.user_agent, session.address) == (True, "tests", "192.0.2.1")
    found = UserExport.model_validate_json(await users.export(user.id, bearer=bearer))
    assert found.user == user
    assert [kept.id for kept in found.sessions] == [session.id]
    with pytest.raises(NotFound):
        await users.end_session(user.id, uuid4(), bearer=bearer)
    await users.end_session(user.id, session.id, bearer=bearer)


async def test_an_account_begins_without_an_avatar(users):
    user, pair = await _logged_in(users)
    assert not await users.avatar(user.id, bearer=pair.access_token)


async def test_mails_are_asked_for_without_telling_who_has_an_account(users):
    new = _new()
    await users.create(new)
    for address in (new.email, f"{uuid4().hex}@example.com"):
        await users.request_email_verification(address)
        await users.request_password_reset(address)


async def test_a_bad_token_from_a_mail_is_a_bad_request(users):
    with pytest.raises(BadRequest):
        await users.confirm_email(SecretStr("made-up"))
    with pytest.raises(BadRequest):
        await users.reset_password(SecretStr("made-up"), SecretStr("another long password"))
    with pytest.raises(BadRequest):
        await users.undo_email_change(SecretStr("made-up"))


async def test_users_that_does_not_answer_is_unavailable():
    client = InternalClient(
        "users", "http://127.0.0.1:9", caller="api", secret="secret-of-api", timeout=1
    )
    with pytest.raises(DependencyUnavailable):
        await HttpUsersClient(client).get(UUID(int=1), bearer="token")
    await client.aclose()


async def test_an_answer_without_a_version_is_not_passed_on():
    async with open_asgi_server(JSONResponse({"id": str(UUID(int=1))})) as url:
        client = InternalClient("users", url, caller="api", secret="s")
        with pytest.raises(DependencyUnavailable):
            await HttpUsersClient(client).get(UUID(int=1), bearer="token")
        await client.aclose()
