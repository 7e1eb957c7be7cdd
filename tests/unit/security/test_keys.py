"""Key sets: what is accepted as a signing key, and that faults are named without the value."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from twelvefold.security.keys import KeySet, MalformedKey, parse_public_keys, thumbprint


def private_jwk() -> dict[str, Any]:
    jwk: dict[str, Any] = json.loads(KeySet.generate().to_json())["keys"][0]
    return jwk


def test_a_key_set_survives_json_and_publishes_no_private_part():
    keys = KeySet.generate()
    again = KeySet.from_json(keys.to_json())
    assert again.signing_kid == keys.signing_kid
    assert again.public_jwks() == keys.public_jwks()
    assert set(keys.public_jwks()["keys"][0]) == {"kty", "crv", "x", "y", "alg", "use", "kid"}
    assert private_jwk()["d"] not in repr(again.keys)


def test_the_first_key_signs_and_every_key_is_published():
    first, second = private_jwk(), private_jwk()
    del second["d"]  # retired: it only verifies
    keys = KeySet.from_json(json.dumps({"keys": [first, second]}))
    assert keys.signing_kid == first["kid"]
    assert list(parse_public_keys(keys.public_jwks())) == [first["kid"], second["kid"]]


def test_the_default_kid_is_the_thumbprint():
    jwk = private_jwk()
    expected = jwk.pop("kid")
    assert KeySet.from_json(json.dumps(jwk)).signing_kid == expected


def test_the_thumbprint_is_that_of_rfc_7638():
    x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
    y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    key = parse_public_keys({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k"}]})[
        "k"
    ]
    # Computed by openssl over the canonical form, independently of this code.
    assert thumbprint(key) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


def create_jwk(**changes: object) -> dict[str, Any]:
    return {name: value for name, value in (private_jwk() | changes).items() if value is not None}


FAULTS = {
    "not JSON": ("-----BEGIN PRIVATE KEY-----", "is not JSON"),
    "empty set": ('{"keys": []}', "holds no key"),
    "a number": ("7", "holds no key"),
    "entry is a string": ('{"keys": ["secret-value"]}', "key 1 is not an object"),
    "RSA": (json.dumps(create_jwk(kty="RSA")), "key 1 is not an EC key"),
    "P-384": (json.dumps(create_jwk(crv="P-384")), "key 1 is not an EC key on P-256"),
    "for encryption": (json.dumps(create_jwk(use="enc")), "key 1 is not for ES256"),
    "no private part": (json.dumps(create_jwk(d=None)), "no private part"),
    "x missing": (json.dumps(create_jwk(x=None)), "key 1 has no x"),
    "x not base64url": (json.dumps(create_jwk(x="***")), "key 1 has x that is not base64url"),
    "d short": (json.dumps(create_jwk(d="AAAA")), "key 1 has d of 3 instead of 32 bytes"),
    "d of another key": (json.dumps(create_jwk(d=private_jwk()["d"])), "no key pair"),
    "point off the curve": (json.dumps(create_jwk(y="A" * 43)), "no key pair"),
    "kid no string": (json.dumps(create_jwk(kid=7)), "key 1 has a kid"),
    "one kid twice": (
        json.dumps({"keys": [create_jwk(kid="a"), create_jwk(kid="a")]}),
        "two keys have the same kid",
    ),
}


@pytest.mark.parametrize(("content", "fault"), FAULTS.values(), ids=FAULTS)
def test_an_unusable_key_set_is_refused_by_naming_the_fault(content, fault):
    with pytest.raises(MalformedKey, match=fault) as refused:
        KeySet.from_json(content)
    assert "secret-value" not in str(refused.value)


def test_keys_of_other_kinds_in_a_fetched_set_are_ignored():
    good = KeySet.generate().public_jwks()["keys"][0]
    strange = [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa"}, {"kty": "oct", "k": "AA"}, 5]
    found = parse_public_keys({"keys": [*strange, good]})
    assert list(found) == [good["kid"]]
    assert isinstance(found[good["kid"]], ec.EllipticCurvePublicKey)


def test_a_document_that_is_not_a_key_set_is_refused():
    with pytest.raises(MalformedKey):
        parse_public_keys({"error": "not found"})
