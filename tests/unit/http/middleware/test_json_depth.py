"""The depth of JSON, whatever the chunks that it comes in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.growth import is_linear

from twelvefold.http.middleware.json_depth import MAX_DEPTH, JsonDepthLimit


def crossed(text: bytes, size: int, limit: int = MAX_DEPTH) -> bool:
    depth = JsonDepthLimit(limit)
    chunks = [text[start : start + size] for start in range(0, len(text), size)] or [b""]
    return any(depth.is_exceeded_by(chunk, whole=len(chunks) == 1) for chunk in chunks)


@pytest.mark.parametrize("size", [1, 3, 7, 10_000])
@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a":', b"}"), (b' [ {"[":', b"}]")])
def test_the_limit_is_the_last_accepted_depth(size, start, end):
    step = start.count(b"[") + start.count(b"{") - start.count(b'"[')
    fits = MAX_DEPTH // step
    assert not crossed(start * fits + b"1" + end * fits, size)
    assert crossed(start * (fits + 1) + b"1" + end * (fits + 1), size)


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_brackets_in_strings_and_siblings_do_not_count(size):
    assert not crossed(json.dumps(["[" * 100, '\\"[[' * 50, [[]] * 100]).encode(), size, 3)


@pytest.mark.parametrize(
    ("before", "piece"), [(b"", b"["), (b'"', b"\\"), (b"", b'"\\'), (b"", b'"'), (b"", b"[]")]
)
def test_a_hostile_body_takes_no_longer_than_its_length(before, piece):
    def body(length):
        return before + piece * (length // len(piece))

    # Below the limit throughout: a crossed one ends the work early.
    assert is_linear(lambda text: crossed(text, 65_536, limit=len(text)), body)


_JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\ab', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('["\\', max_size=3), inner),
    max_leaves=12,
)


def depth_of(value) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(_JSON, st.integers(1, 9), st.integers(0, 6))
def test_the_depth_is_that_of_the_parsed_value(value, size, limit):
    assert crossed(json.dumps(value).encode(), size, limit) == (depth_of(value) > limit)
