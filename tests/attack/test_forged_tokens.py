"""Forged access tokens against the edge: whatever we did not sign for this API is a 401."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.attack.conftest import assert_problem

from twelvefold.security.keys import KeySet


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True)
class Forgery:
    """A token that was accepted, its parts, and the keys: the suite's and an attacker's."""

    token: str
    header: dict[str, Any]
    claims: dict[str, Any]
    keys: KeySet
    stranger: KeySet

    def signed(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """By our own key, with these changes; a claim that is None is left out."""
        changed = {**self.claims, **claims}
        kept = {name: value for name, value in changed.items() if value is not None}
        return self.by(self.keys, header, kept)

    def by(
        self,
        keys: KeySet,
        header: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
    ) -> str:
        head = {**self.header, **(header or {})}
        kept = {name: value for name, value in head.items() if value is not None}
        return jwt.encode(claims or self.claims, keys.signing_key, "ES256", kept)

    def hs256(self, key: bytes) -> str:
        """Return an HMAC by a public key, by hand: PyJWT refuses to make one."""
        signed = f"{part({**self.header, 'alg': 'HS256'})}.{part(self.claims)}"
        mac = hmac.HMAC(key, hashes.SHA256())
        mac.update(signed.encode())
        return f"{signed}.{part(mac.finalize())}"

    def unsigned(self, algorithm: object, signature: str = "") -> str:
        return f"{part({**self.header, 'alg': algorithm})}.{part(self.claims)}.{signature}"

    def public(self, encoding: Encoding, form: PublicFormat) -> bytes:
        return self.keys.signing_key.public_key().public_bytes(encoding, form)

    @property
    def signature(self) -> str:
        return self.token.rpartition(".")[2]

    @property
    def jwk(self) -> dict[str, str]:
        return dict(self.stranger.public_jwks()["keys"][0])

    def rs256(self) -> str:
        key = rsa.generate_private_key(65537, 2048)
        return jwt.encode(self.claims, key, "RS256", {**self.header, "alg": "RS256"})

    def es384(self) -> str:
        key = ec.generate_private_key(ec.SECP384R1())
        return jwt.encode(self.claims, key, "ES384", {**self.header, "alg": "ES384"})


NOW = time.time
SPKI, POINT = PublicFormat.SubjectPublicKeyInfo, PublicFormat.UncompressedPoint
FORGERIES: dict[str, Callable[[Forgery], str]] = {
    "alg none": lambda f: f.unsigned("none"),
    "alg None": lambda f: f.unsigned("None"),
    "alg NONE with our signature": lambda f: f.unsigned("NONE", f.signature),
    "alg left out": lambda f: f.unsigned(None, f.signature),
    "alg a list": lambda f: f.unsigned(["ES256", "none"], f.signature),
    "no signature": lambda f: f.token.rpartition(".")[0] + ".",
    "two parts": lambda f: f.token.rpartition(".")[0],
    "HS256 with the public key as PEM": lambda f: f.hs256(f.public(Encoding.PEM, SPKI)),
    "HS256 with the public key as DER": lambda f: f.hs256(f.public(Encoding.DER, SPKI)),
    "HS256 with the point": lambda f: f.hs256(f.public(Encoding.X962, POINT)),
    "HS256 with the JWK": lambda f: f.hs256(json.dumps(f.keys.public_jwks()["keys"][0]).encode()),
    "HS256 with nothing": lambda f: f.hs256(b""),
    "RS256": Forgery.rs256,
    "ES384": Forgery.es384,
    "unknown kid": lambda f: f.by(f.stranger, {"kid": f.stranger.signing_kid}),
    "kid left out": lambda f: f.by(f.keys, {"kid": ""}),
    "kid a path": lambda f: f.by(f.stranger, {"kid": "../../../../dev/null"}),
    "kid an SQL string": lambda f: f.by(f.stranger, {"kid": "x' UNION SELECT 'x"}),
    "kid endless": lambda f: f.by(f.stranger, {"kid": "k" * 3000}),
    "another key under our kid": lambda f: f.by(f.stranger),
    "jku": lambda f: f.by(f.stranger, {"kid": "mine", "jku": "http://127.0.0.1:9/jwks.json"}),
    "jku under our kid": lambda f: f.by(f.stranger, {"jku": "http://127.0.0.1:9/jwks.json"}),
    "x5u": lambda f: f.by(f.stranger, {"x5u": "http://127.0.0.1:9/certificate"}),
    "jwk in the header": lambda f: f.by(f.stranger, {"jwk": f.jwk}),
    "jwk and its own kid": lambda f: f.by(f.stranger, {"jwk": f.jwk, "kid": f.jwk["kid"]}),
    "x5c": lambda f: f.by(f.stranger, {"x5c": ["MIIB"]}),
    "critical extension": lambda f: f.signed({"crit": ["b64"], "b64": True}),
    "wrong aud": lambda f: f.signed(aud="another-api"),
    "aud a list with ours": lambda f: f.signed(aud=["another-api", f.claims["aud"]]),
    "aud left out": lambda f: f.signed(aud=None),
    "wrong iss": lambda f: f.signed(iss="https://evil.example"),
    "iss with more behind it": lambda f: f.signed(iss=f.claims["iss"] + ".evil.example"),
    "iss left out": lambda f: f.signed(iss=None),
    "typ JWT": lambda f: f.signed({"typ": "JWT"}),
    "typ of an id token": lambda f: f.signed({"typ": "id+jwt"}),
    "typ left out": lambda f: f.signed({"typ": None}),
    "expired": lambda f: f.signed(exp=int(NOW()) - 60),
    "expired long ago": lambda f: f.signed(exp=0),
    "exp left out": lambda f: f.signed(exp=None),
    "exp no number": lambda f: f.signed(exp="never"),
    "not yet valid": lambda f: f.signed(nbf=int(NOW()) + 60),
    "issued in the future": lambda f: f.signed(iat=int(NOW()) + 3600),
    "sub no id": lambda f: f.signed(sub="me"),
    "sub left out": lambda f: f.signed(sub=None),
    "role unknown": lambda f: f.signed(role="root"),
    "sid left out": lambda f: f.signed(sid=None),
    "role changed, signature kept": lambda f: ".".join(
        (f.token.split(".")[0], part({**f.claims, "role": "admin"}), f.signature)
    ),
    "signature of zeros": lambda f: f"{f.token.rpartition('.')[0]}.{part(bytes(64))}",
    "signature cut short": lambda f: f.token[:-10],
    "signature as DER": lambda f: f.unsigned(
        "ES256", part(f.stranger.signing_key.sign(b"x", ec.ECDSA(hashes.SHA256())))
    ),
    "five parts": lambda f: f"{f.token}.a.b",
    "no base64": lambda f: "!!!" + f.token,
    "claims no object": lambda f: f"{part(f.header)}.{part([1, 2])}.{f.signature}",
    "header no object": lambda f: f"{part([1])}.{part(f.claims)}.{f.signature}",
    "deep claims": lambda f: f"{part(f.header)}.{part(b'[' * 2000)}.{f.signature}",
    "deep header": lambda f: f"{part(b'[' * 2000)}.{part(f.claims)}.{f.signature}",
    "too long": lambda f: f.signed(scope="x" * 6000),
    "only dots": lambda f: "".join(sign for sign in f.token if sign == "."),
}


@pytest.fixture
def forgery(attacker, secrets_of_suite) -> Forgery:
    token = attacker.tokens["access_token"]
    return Forgery(
        token,
        jwt.get_unverified_header(token),
        jwt.decode(token, options={"verify_signature": False}),
        KeySet.from_json(secrets_of_suite["jwt.signing_keys"]),
        KeySet.generate(),
    )


async def send(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})


async def test_no_forged_token_is_accepted(attacker, planted, forgery, figure):
    # Without a change, a token of the tests is valid: each refusal is for its change.
    assert (await send(attacker.http, forgery.signed(jti=uuid.uuid4().hex))).status_code == 200
    accepted = []
    for name, forge in FORGERIES.items():
        token = forge(forgery)
        if token.strip("."):
            planted.add(token)
        response = await send(attacker.http, token)
        if response.status_code != 401:
            accepted.append(f"{name}: {response.status_code}")
            continue
        assert_problem(response, 401)
        challenge = response.headers["www-authenticate"]
        assert challenge.startswith("Bearer"), name
        assert 'error="invalid_token"' in challenge, name
        assert token not in response.text, name
    figure("forged access tokens", sent=len(FORGERIES), accepted=len(accepted))
    assert not accepted
    assert (await send(attacker.http, forgery.token)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Basic YTpi", "bearer", "Token x", "Bearer a b", "Bearer \xff"],
)
async def test_what_is_no_bearer_token_is_challenged(attacker, authorization):
    headers = {"Authorization": authorization.encode("latin-1")}
    async with httpx.AsyncClient(base_url=attacker.http.base_url) as client:
        response = await client.get("/api/v1/users/me", headers=headers)
    assert_problem(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_anywhere_but_in_its_header_is_not_looked_at(attacker):
    token = attacker.tokens["access_token"]
    async with httpx.AsyncClient(base_url=attacker.http.base_url) as client:
        by_query = await client.get("/api/v1/users/me", params={"access_token": token})
        by_cookie = await client.get(
            "/api/v1/users/me", headers={"Cookie": f"access_token={token}"}
        )
    for response in (by_query, by_cookie):
        assert_problem(response, 401)


async def test_a_token_of_a_deleted_account_is_refused(attacker):
    gone = await attacker.http.delete("/api/v1/users/me", headers=attacker.bearer)
    assert gone.status_code == 204
    assert_problem(await send(attacker.http, attacker.tokens["access_token"]), 401)
    assert (await attacker.refresh(attacker.tokens["refresh_token"])).status_code == 400
