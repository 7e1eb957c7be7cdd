"""Rotation of the signing key: each step waits for its time, and no token is refused meanwhile."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from twelvefold.contracts.accounts import Role
from twelvefold.errors import Unauthenticated
from twelvefold.security.keys import KeySet, MalformedKey
from twelvefold.security.rotation import PUBLICATION_DELAY, RETIREMENT_DELAY, generate, rotate
from twelvefold.security.tokens import TokenIssuer, TokenVerifier

START = datetime(2026, 1, 1, tzinfo=UTC)


def kids(content):
    return [key["kid"] for key in json.loads(content)["keys"]]


def test_each_step_waits_for_its_time_and_a_rotation_ends_with_one_key():
    content, now = generate(START).to_json(), START
    (old,) = kids(content)
    published = rotate(content, now)
    assert (kids(published.to_json())[0], published.due) == (old, now + PUBLICATION_DELAY)
    new = kids(published.to_json())[1]
    early = rotate(published.to_json(), now + PUBLICATION_DELAY - timedelta(seconds=1))
    assert (early.changed, early.due) == (False, now + PUBLICATION_DELAY)
    now += PUBLICATION_DELAY
    promoted = rotate(published.to_json(), now)
    assert (kids(promoted.to_json()), promoted.due) == ([new, old], now + RETIREMENT_DELAY)
    early = rotate(promoted.to_json(), now + RETIREMENT_DELAY - timedelta(seconds=1))
    assert (early.changed, kids(early.to_json())) == (False, [new, old])
    dropped = rotate(promoted.to_json(), now + RETIREMENT_DELAY)
    assert (kids(dropped.to_json()), dropped.due) == ([new], None)
    assert len(kids(rotate(dropped.to_json(), now + RETIREMENT_DELAY).to_json())) == 2


def test_a_key_of_unknown_age_counts_as_new():
    two = [json.loads(KeySet.generate().to_json())["keys"][0] for _ in range(2)]
    waiting = rotate(json.dumps({"keys": two}), START)
    assert (waiting.changed, waiting.due) == (True, START + PUBLICATION_DELAY)
    del two[1]["d"]
    retired = rotate(json.dumps({"keys": two}), START)
    assert (retired.changed, retired.due) == (True, START + RETIREMENT_DELAY)


def test_a_single_key_becomes_a_set_and_other_documents_are_refused():
    (key,) = json.loads(KeySet.generate().to_json())["keys"]
    assert len(kids(rotate(json.dumps(key), START).to_json())) == 2
    with pytest.raises(MalformedKey):
        rotate("{}", START)


class Deployment:
    """Two issuers, replaced one after the other, and three verifiers with a cache."""

    def __init__(self) -> None:
        self.now = START
        self.deployed = generate(START).to_json()
        self.issuers = [self.deployed, self.deployed]
        self.verifiers = [TokenVerifier(self.published, issuer="i", audience="a") for _ in "abc"]
        for verifier in self.verifiers:
            verifier._keys._clock = self.seconds
        self.accepted = 0
        self.refused: list[str] = []

    def seconds(self) -> float:
        return (self.now - START).total_seconds()

    async def published(self) -> dict[str, Any]:
        return {**KeySet.from_json(self.deployed).public_jwks()}

    async def load(self, count: int) -> None:
        await asyncio.gather(
            *(self.check(content) for content in self.issuers for _ in range(count))
        )

    async def check(self, content: str) -> None:
        issuer = TokenIssuer(KeySet.from_json(content), "i", "a")
        token = issuer.issue(uuid4(), Role.USER, "users:read", uuid4())
        for verifier in self.verifiers:
            try:
                await verifier.verify(token)
                self.accepted += 1
            except Unauthenticated as error:
                self.refused.append(error.detail)


async def test_a_rotation_under_load_refuses_no_token():
    suite = Deployment()
    for _ in range(9):  # three whole rotations
        step = rotate(suite.deployed, suite.now)
        assert step.changed
        for number in range(2):  # the new release and the old one side by side
            suite.issuers[number] = suite.deployed = step.to_json()
            await suite.load(5)
        for _ in range(8):
            suite.now += timedelta(minutes=10)
            await suite.load(2)
    for verifier in suite.verifiers:
        await verifier.aclose()
    assert (suite.refused, suite.accepted) == ([], 9 * (2 * 5 + 8 * 2) * 2 * 3)
