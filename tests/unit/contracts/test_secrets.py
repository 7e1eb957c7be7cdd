"""Secrets are readable in the one form that is sent to the service that checks them."""

from pydantic import SecretStr

from twelvefold.contracts.accounts import EmailChange, TokenRequest, UserCreate
from twelvefold.contracts.secrets import dump_with_secrets


def test_every_field_is_sent_and_secrets_are_readable():
    password = SecretStr("correct horse battery")
    new = UserCreate(email="ada@example.com", name="Ada", password=password)
    body = dump_with_secrets(new)
    assert body == {
        "email": "ada@example.com",
        "name": "Ada",
        "password": "correct horse battery",
    }
    assert set(body) == set(UserCreate.model_fields)
    assert "correct" not in repr(new) + new.model_dump_json()


def test_a_secret_that_is_not_given_stays_none():
    assert dump_with_secrets(EmailChange(email="ada@example.com"))["password"] is None
    grant = TokenRequest(grant_type="refresh_token", refresh_token=SecretStr("t"))
    assert dump_with_secrets(grant)["refresh_token"] == "t"
