"""The attack table of access tokens (RFC 8725), and the claims of a valid token."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from twelvefold.contracts.accounts import Role
from twelvefold.errors import Unauthenticated
from twelvefold.security.keys import KeySet
from twelvefold.security.principals import scope_of
from twelvefold.security.tokens import LEEWAY, MAX_TOKEN_LENGTH, TokenIssuer, TokenVerifier

ISSUER, AUDIENCE = "https://issuer.test", "twelvefold-api"
KEYS = KeySet.generate()
OTHER_KEYS = KeySet.generate()
SUB, SID = uuid.uuid4(), uuid.uuid4()
PUBLIC_PEM = KEYS.keys[0].public.public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


async def published():
    return KEYS.public_jwks()


@pytest.fixture
def issuer():
    return TokenIssuer(KEYS, ISSUER, AUDIENCE)


@pytest.fixture
def verifier():
    return TokenVerifier(published, issuer=ISSUER, audience=AUDIENCE)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(SUB),
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": "1",
        "sid": str(SID),
        "role": "user",
        "scope": "users:read",
    }
    good.update(changes)
    return {name: value for name, value in good.items() if value is not None}


def forge(
    payload: dict[str, Any] | None = None,
    *,
    key: Any = KEYS.signing_key,
    algorithm: str = "ES256",
    **header: Any,
) -> str:
    headers: dict[str, Any] = {"typ": "at+jwt", "kid": KEYS.signing_kid} | header
    headers = {name: value for name, value in headers.items() if value is not None}
    return jwt.encode(payload or claims(), key, algorithm, headers)


def encode_raw(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    return ".".join(
        (
            encoded(json.dumps(header).encode()),
            encoded(json.dumps(payload).encode()),
            encoded(signature),
        )
    )


def sign_with_public_key_as_secret(algorithm: str = "HS256") -> str:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": KEYS.signing_kid}
    signing_input = encode_raw(header, claims()).rpartition(".")[0]
    signature = hmac.digest(PUBLIC_PEM, signing_input.encode(), hashlib.sha256)
    return encode_raw(header, claims(), signature)


def build_jwk_header() -> dict[str, Any]:
    return {"jwk": OTHER_KEYS.public_jwks()["keys"][0]}


NOW = int(time.time())
ATTACKS = {
    "alg none": encode_raw({"alg": "none", "typ": "at+jwt", "kid": KEYS.signing_kid}, claims()),
    "alg None": encode_raw({"alg": "None", "typ": "at+jwt", "kid": KEYS.signing_kid}, claims()),
    "no alg": encode_raw({"typ": "at+jwt", "kid": KEYS.signing_kid}, claims()),
    "signature stripped": forge().rpartition(".")[0] + ".",
    "signature of zeros": forge().rpartition(".")[0] + "." + "A" * 86,
    "HS256 with the public key": sign_with_public_key_as_secret(),
    "ES256 header over an HMAC": sign_with_public_key_as_secret("ES256"),
    "RS256": forge(
        key=rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256"
    ),
    "ES384": forge(key=ec.generate_private_key(ec.SECP384R1()), algorithm="ES384"),
    "another key under the issuer's kid": forge(key=OTHER_KEYS.signing_key),
    "another key under its kid": forge(key=OTHER_KEYS.signing_key, kid=OTHER_KEYS.signing_kid),
    "another key by jwk": forge(key=OTHER_KEYS.signing_key, **build_jwk_header()),
    "another key by jku": forge(
        key=OTHER_KEYS.signing_key, kid="theirs", jku="http://127.0.0.1:1/jwks.json"
    ),
    "another key by x5u": forge(key=OTHER_KEYS.signing_key, kid="theirs", x5u="http://127.0.0.1:1"),
    "no kid": forge(kid=None),
    "kid is a path": forge(kid="../../dev/null"),
    "kid is a list": encode_raw(
        {"alg": "ES256", "typ": "at+jwt", "kid": ["a"]}, claims(), b"0" * 64
    ),
    "critical extension": forge(crit=["exp"]),
    "typ JWT": forge(typ="JWT"),
    "no typ": forge(typ=None),
    "typ of an id token": forge(typ="id+jwt"),
    "other issuer": forge(claims(iss="https://other.test")),
    "audience in a list": forge(claims(aud=[AUDIENCE, "other"])),
    "other audience": forge(claims(aud="other")),
    "expired": forge(claims(exp=NOW - LEEWAY - 1)),
    "expires never": forge(claims(exp=None)),
    "expires at a word": encode_raw(
        {"alg": "ES256", "typ": "at+jwt", "kid": KEYS.signing_kid}, claims(exp="later")
    ),
    "not yet valid": forge(claims(nbf=NOW + 3600)),
    "issued in the future": forge(claims(iat=NOW + 3600)),
    "role made up": forge(claims(role="root")),
    "subject no id": forge(claims(sub="1 OR 1=1")),
    "session no id": forge(claims(sid="x")),
    "scope no string": forge(claims(scope=["admin"])),
    "too long": forge(claims(scope="a" * MAX_TOKEN_LENGTH)),
    "not a token": "not-a-token",
    "empty": "",
    "three dots": "...",
    "not ASCII": "é.é.é",
    "payload changed": forge().split(".")[0] + "." + forge(claims(role="admin")).split(".")[1]
    + "." + forge().split(".")[2],
}  # fmt: skip
ATTACKS |= {
    f"without {name}": forge(claims(**{name: None}))
    for name in ("iss", "aud", "sub", "iat", "nbf", "jti", "sid", "role", "scope")
}


@pytest.mark.parametrize("token", ATTACKS.values(), ids=ATTACKS)
async def test_a_forged_token_is_refused(verifier, token):
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(token)
    assert 'error="invalid_token"' in refused.value.headers["WWW-Authenticate"]
    if token:
        assert token not in refused.value.detail


async def test_an_issued_token_names_account_session_role_and_scopes(issuer, verifier):
    token = issuer.issue(SUB, Role.ADMIN, scope_of(Role.ADMIN), SID)
    principal = await verifier.verify(token)
    assert (principal.id, principal.session_id, principal.role) == (SUB, SID, Role.ADMIN)
    assert "admin" in principal.scopes
    assert principal.is_admin
    assert 590 < principal.expires_at - time.time() <= 600
    assert token not in repr(principal)
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": KEYS.signing_kid}


async def test_an_issued_token_has_every_claim_that_rfc_9068_requires(issuer):
    token = issuer.issue(SUB, Role.USER, "users:read", SID)
    issued = jwt.decode(token, options={"verify_signature": False})
    assert issued.keys() >= {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}
    assert issued["client_id"] == "twelvefold"


async def test_a_token_without_client_id_from_the_previous_release_verifies(verifier):
    assert "client_id" not in claims()
    assert (await verifier.verify(forge(claims()))).id == SUB


async def test_tokens_of_the_former_issuer_verify_while_it_is_accepted(issuer, verifier):
    former = TokenIssuer(KEYS, "twelvefold", AUDIENCE)
    upgrading = TokenVerifier(
        published, issuer=ISSUER, audience=AUDIENCE, accepted_issuers=["twelvefold"]
    )
    for one in (issuer, former):
        token = one.issue(SUB, Role.USER, "users:read", SID)
        assert (await upgrading.verify(token)).id == SUB
    with pytest.raises(Unauthenticated):
        await upgrading.verify(forge(claims(iss="https://other.test")))
    with pytest.raises(Unauthenticated):
        await verifier.verify(former.issue(SUB, Role.USER, "users:read", SID))


async def test_an_admin_role_without_the_scope_is_not_an_admin(issuer, verifier):
    token = issuer.issue(SUB, Role.ADMIN, scope_of(Role.USER), SID)
    assert not (await verifier.verify(token)).is_admin


async def test_a_remembered_token_is_refused_once_it_has_expired(monkeypatch, issuer, verifier):
    token = issuer.issue(SUB, Role.USER, "users:read", SID)
    await verifier.verify(token)
    later = time.time() + 600 + LEEWAY + 1
    monkeypatch.setattr("twelvefold.security.tokens.time.time", lambda: later)
    # The JWT library has a clock of its own, which this patch does not move.
    monkeypatch.setattr(verifier, "_verify", _verify_again)
    with pytest.raises(Unauthenticated, match="again"):
        await verifier.verify(token)


async def _verify_again(token):
    raise Unauthenticated("verified again")


async def test_the_number_of_remembered_tokens_is_bounded(monkeypatch, issuer, verifier):
    monkeypatch.setattr("twelvefold.security.tokens.MAX_REMEMBERED", 2)
    for _ in range(4):
        await verifier.verify(issuer.issue(SUB, Role.USER, "users:read", SID))
    assert len(verifier._remembered) == 2


async def test_a_token_of_a_withdrawn_key_is_refused(issuer):
    sets = [KEYS.public_jwks(), OTHER_KEYS.public_jwks()]

    async def rotated():
        return sets.pop(0)

    verifier = TokenVerifier(rotated, issuer=ISSUER, audience=AUDIENCE)
    token = issuer.issue(SUB, Role.USER, "users:read", SID)
    await verifier.verify(token)
    verifier._keys._requested_at = None  # the interval between two fetches is over
    other = TokenIssuer(OTHER_KEYS, ISSUER, AUDIENCE)
    await verifier.verify(other.issue(SUB, Role.USER, "users:read", SID))
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)
