"""Redaction of secrets by key and by shape."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.observability.redaction import is_secret, redact, redact_fields, redact_text

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
KEY = "-----BEGIN PRIVATE KEY-----\\nMIGHAgEAMBMG\\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "PASSWORD", "token", "refresh_token", "access_token", "secret",
     "client_secret", "Authorization", "cookie", "Set-Cookie", "api_key", "api-key", "x-api-key",
     "aws_secret_access_key", "private_key", "credentials", "email_body"],
)  # fmt: skip
def test_a_key_of_a_secret_is_recognised(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["token_type", "path", "status", "key", "author", "email"])
def test_a_key_that_only_resembles_one_is_kept(name):
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("sent Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("authorization: basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
        (f"got {JWT} from the client", JWT),
        (JWT, JWT),
        ("postgresql://users_app:hunter2@db:5432/app", "hunter2"),
        ("redis://:hunter2@cache/0", "hunter2"),
        ("a3+x.y://:hunter2@cache", "hunter2"),
        (f"session-{JWT}", JWT),
        (f"x-{JWT}", JWT),
        ("password=hunter2", "hunter2"),
        ("refresh_token: hunter2", "hunter2"),
        ("https://x.test/confirm?token=hunter2&a=1", "hunter2"),
        (f"loaded {KEY}", "MIGHAgEAMBMG"),
        ("cut short: -----BEGIN EC PRIVATE KEY-----\\nMIGHAgEA", "MIGHAgEA"),
        ("DETAIL:  Key (lower(email::text))=(ada@x.test) already exists.", "ada@x.test"),
        ("DETAIL:  Failing row contains (1, ada@x.test).", "ada@x.test"),
        ("DETAIL:  Key (email_key)=(ada@x.test) already exists.", "ada@x.test"),
        ("invalid input for query argument $1: 'hunter2' (expected int)", "hunter2"),
    ],
)
def test_a_shape_of_a_secret_is_recognised_in_any_text(text, secret):
    assert secret not in redact_text(text.encode()).decode()
    assert secret not in redact({"note": [text]})["note"][0]


@pytest.mark.parametrize(
    "text",
    ["GET /api/v1/users/{user_id} took 3.2 ms", "http://127.0.0.1:8000", "host:5432 is away",
     "https://example.com/a?b=c", "password changed", "basic auth is off"],
)  # fmt: skip
def test_plain_text_is_left_as_it_is(text):
    assert redact_text(text.encode()).decode() == text


def test_fields_are_redacted_at_any_depth():
    fields = {"user": {"password": "a", "name": "Ada"}, "list": [{"token": "b"}], "secret": "c"}
    assert redact_fields(fields) == {
        "user": {"password": "[redacted]", "name": "Ada"},
        "list": [{"token": "[redacted]"}],
        "secret": "[redacted]",
    }


@given(st.dictionaries(st.text(), st.text()))
def test_a_redacted_line_of_json_stays_valid(fields):
    line = json.dumps(fields).encode()
    assert json.loads(redact_text(line)).keys() == fields.keys()


@pytest.mark.parametrize(
    "text",
    ['-----BEGIN PRIVATE KEY-----\nMIG"HA', '-----BEGIN PRIVATE KEY-----\\"', KEY, f'"{KEY}"'],
)
def test_a_key_that_is_cut_short_ends_with_its_line_of_json(text):
    assert json.loads(redact_text(json.dumps({"a": text, "b": 1}).encode()))["b"] == 1
