"""No group of clients takes all of a process's event streams."""

from contextlib import ExitStack
from uuid import UUID, uuid4

import pytest

from api.stream_places import MAX_PER_ACCOUNT, StreamPlaces
from twelvefold.errors import Overloaded, TooManyRequests

MOST = 200  # EVENTS_MAX_STREAMS


@pytest.fixture
def held():
    """Places that are held for the whole test."""
    with ExitStack() as stack:
        yield stack


def address(number: int) -> str:
    return f"2001:db8:0:{number:x}::"


def grab(places: StreamPlaces, held: ExitStack, account: UUID, client: str) -> int:
    """Takes as many as are given; how many that were."""
    taken = 0
    while taken < 1000:
        try:
            held.enter_context(places.hold(account, client))
        except (TooManyRequests, Overloaded):
            return taken
        taken += 1
    return taken


def fits(places: StreamPlaces, client: str) -> bool:
    with places.hold(uuid4(), client):
        return True


def test_one_account_has_its_twenty_and_no_more(held):
    places = StreamPlaces(MOST)
    assert grab(places, held, uuid4(), address(1)) == MAX_PER_ACCOUNT


@pytest.mark.parametrize("accounts", [10, 20])
def test_greedy_accounts_leave_places_for_an_innocent_one(held, accounts):
    """Each account from an address of its own, in rounds until no more places are granted."""
    places = StreamPlaces(MOST)
    greedy = [uuid4() for _ in range(accounts)]
    while sum(grab(places, held, who, address(n)) for n, who in enumerate(greedy)):
        pass
    assert places.taken < MOST
    assert fits(places, address(10_000))


@pytest.mark.parametrize("addresses", [1, 10])
def test_however_many_accounts_an_address_has_it_leaves_places_for_others(held, addresses):
    places = StreamPlaces(MOST)
    for number in range(1000):
        grab(places, held, uuid4(), address(number % addresses))
    assert places.taken <= (MOST * 0.95 if addresses > 1 else MOST / 4)
    assert fits(places, address(10_000))
    with pytest.raises(TooManyRequests, match="address"):
        fits(places, address(0))


def test_a_full_process_says_so(held):
    places = StreamPlaces(3)
    for number in range(3):
        held.enter_context(places.hold(uuid4(), address(number)))
    with pytest.raises(Overloaded) as refusal:
        fits(places, address(9))
    assert refusal.value.headers["Retry-After"] == "5"


def test_a_place_is_given_back(held):
    places, account = StreamPlaces(1), uuid4()
    for _ in range(3):
        with places.hold(account, address(1)):
            assert places.taken == 1
    assert places.taken == 0


def test_an_account_may_hold_one_even_where_its_share_is_less(held):
    places = StreamPlaces(4)
    held.enter_context(places.hold(uuid4(), address(1)))
    assert fits(places, address(2))
