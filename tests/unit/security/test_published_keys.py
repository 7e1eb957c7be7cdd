"""The key set that the edge publishes."""

import pytest
from tests.fakes.users_client import FakeUsersClient

from twelvefold.errors import DependencyUnavailable
from twelvefold.security.published_keys import KEYS_MAX_AGE, PublishedKeys


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_users_is_asked_once_in_five_minutes():
    users, clock = FakeUsersClient(), Clock()
    keys = PublishedKeys(users.key_set, clock=clock)
    first = await keys.current()
    clock.now = KEYS_MAX_AGE - 1
    assert await keys.current() == first
    assert users.calls == ["key_set"]
    clock.now = KEYS_MAX_AGE + 1
    await keys.current()
    assert users.calls == ["key_set"] * 2


async def test_the_last_known_keys_are_published_while_users_is_unavailable():
    users, clock = FakeUsersClient(), Clock()
    keys = PublishedKeys(users.key_set, clock=clock)
    known = await keys.current()
    users.unavailable = True
    clock.now = KEYS_MAX_AGE + 1
    assert await keys.current() == known
    asked = len(users.calls)
    assert await keys.current() == known
    assert len(users.calls) == asked, "every request asked again"


async def test_without_any_key_the_request_fails():
    users = FakeUsersClient()
    users.unavailable = True
    with pytest.raises(DependencyUnavailable):
        await PublishedKeys(users.key_set).current()


async def test_what_the_verifier_fetches_is_published_at_once():
    users = FakeUsersClient()
    keys = PublishedKeys(users.key_set)
    await keys.fetch()
    await keys.current()
    assert users.calls == ["key_set"]
