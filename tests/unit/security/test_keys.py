"""Key sets: what is accepted as a signing key, and that faults are named without the value."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from twelvefold.security.keys import KeySet, MalformedKey, public_keys, thumbprint


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
    del second["d"]  # retired: verifies what it signed, signs no more
    keys = KeySet.from_json(json.dumps({"keys": [first, second]}))
    assert keys.signing_kid == first["kid"]
    assert list(public_keys(keys.public_jwks())) == [first["kid"], second["kid"]]


def test_a_kid_that_is_not_given_follows_from_the_key():
    jwk = private_jwk()
    expected = jwk.pop("kid")
    assert KeySet.from_json(json.dumps(jwk)).signing_kid == expected


def test_the_thumbprint_is_that_of_rfc_7638():
    x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
    y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    key = public_keys({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k"}]})["k"]
    # Computed by openssl over the canonical form, independently of us.
    assert thumbprint(key) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


def changed(**changes: object) -> dict[str, Any]:
    return {name: value for name, value in (private_jwk() | changes).items() if value is not None}


FAULTS = {
    "not JSON": ("-----BEGIN PRIVATE KEY-----", "is not JSON"),
    "empty set": ('{"keys": []}', "holds no key"),
    "a number": ("7", "holds no key"),
    "entry is a string": ('{"keys": ["secret-value"]}', "key 1 is not an object"),
    "RSA": (json.dumps(changed(kty="RSA")), "key 1 is not an EC key"),
    "P-384": (json.dumps(changed(crv="P-384")), "key 1 is not an EC key on P-256"),
    "for encryption": (json.dumps(changed(use="enc")), "key 1 is not for ES256"),
    "no private part": (json.dumps(changed(d=None)), "no private part"),
    "x missing": (json.dumps(changed(x=None)), "key 1 has no x"),
    "x not base64url": (json.dumps(changed(x="***")), "key 1 has x in another form"),
    "d short": (json.dumps(changed(d="AAAA")), "key 1 has d of 3 instead of 32 bytes"),
    "d of another key": (json.dumps(changed(d=private_jwk()["d"])), "do not fit"),
    "point off the curve": (json.dumps(changed(y="A" * 43)), "do not fit"),
    "kid no string": (json.dumps(changed(kid=7)), "key 1 has a kid"),
    "one kid twice": (
        json.dumps({"keys": [changed(kid="a"), changed(kid="a")]}),
        "two keys have the same kid",
    ),
}


@pytest.mark.parametrize(("content", "fault"), FAULTS.values(), ids=FAULTS)
def test_an_unusable_key_set_is_refused_by_naming_the_fault(content, fault):
    with pytest.raises(MalformedKey, match=fault) as refused:
        KeySet.from_json(content)
    assert "secret-value" not in str(refused.value)


def test_keys_of_other_kinds_in_a_fetched_set_are_passed_over():
    good = KeySet.generate().public_jwks()["keys"][0]
    strange = [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa"}, {"kty": "oct", "k": "AA"}, 5]
    found = public_keys({"keys": [*strange, good]})
    assert list(found) == [good["kid"]]
    assert isinstance(found[good["kid"]], ec.EllipticCurvePublicKey)


def test_a_document_that_is_no_key_set_is_refused():
    with pytest.raises(MalformedKey):
        public_keys({"error": "not found"})
