"""Cursors decode into their positions, and only the service can make them."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from twelvefold.errors import UnprocessableContent
from twelvefold.http.rest.pagination import CursorCodec, Page, derive_key, link_header

KEY = "a secret key of at least thirty-two characters"
AWARE = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))  # noqa: DTZ001 (made aware)


@given(AWARE.map(lambda moment: moment.replace(tzinfo=UTC)), st.uuids())
def test_a_position_is_decoded_to_the_microsecond(moment, identifier):
    codec = CursorCodec(KEY)
    assert codec.decode(codec.encode((moment, identifier))) == (moment, identifier)


def test_a_position_is_the_same_in_any_time_zone():
    codec = CursorCodec(KEY)
    moment = datetime(2026, 11, 23, 18, 0, tzinfo=timezone(timedelta(hours=2)))
    assert codec.decode(codec.encode((moment, UUID(int=1))))[0] == moment


@given(st.text(max_size=600))
def test_any_other_text_is_refused_with_a_pointer(text):
    with pytest.raises(UnprocessableContent) as refused:
        CursorCodec(KEY).decode(text)
    assert refused.value.errors[0].pointer == "/query/cursor"


def test_a_cursor_is_valid_for_one_list_and_one_key():
    cursor = CursorCodec(KEY, "images").encode((datetime.now(UTC), uuid4()))
    for other in (CursorCodec(KEY, "jobs"), CursorCodec(KEY + "x", "images"), CursorCodec(KEY)):
        with pytest.raises(UnprocessableContent):
            other.decode(cursor)


def test_a_changed_cursor_is_refused():
    codec = CursorCodec(KEY)
    cursor = codec.encode((datetime.now(UTC), uuid4()))
    changed = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    with pytest.raises(UnprocessableContent):
        codec.decode(changed)


def test_each_purpose_has_its_own_key():
    assert derive_key(KEY, "cursor") != derive_key(KEY, "fingerprint")
    assert len(derive_key(KEY, "cursor")) == 32


def test_the_link_keeps_the_other_parameters_and_replaces_the_cursor():
    request = Request(
        {
            "type": "http", "method": "GET", "scheme": "http", "server": ("x", 80),
            "path": "/api/v1/images", "query_string": b"limit=5&cursor=old", "headers": [],
        }
    )  # fmt: skip
    assert link_header(request, "new") == {
        "Link": '</api/v1/images?limit=5&cursor=new>; rel="next"'
    }
    assert link_header(request, None) == {}


def test_the_last_page_has_no_link():
    assert Page[int](items=[1]).model_dump() == {"items": [1], "next_cursor": None}
