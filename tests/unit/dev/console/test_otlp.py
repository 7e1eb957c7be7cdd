"""What exporters send is read, and bounded, whatever it is."""

from __future__ import annotations

import gzip
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from tests.spans import message, span, wire

from twelvefold_dev.console.traces import otlp
from twelvefold_dev.console.traces.otlp import MAX_BODY, IngestError, decompressed, read


def read_one(sent):
    (found,) = read(message(sent).SerializeToString()).spans
    return found


def refusal_of(work) -> IngestError | None:
    """Whatever else is raised is the test's failure."""
    try:
        work()
    except IngestError as refusal:
        return refusal
    return None


def test_a_span_is_kept_as_it_was_sent() -> None:
    sent = span("SELECT users.accounts", parent=span(), db__system__name="postgresql", error="A: b")
    found = read_one(sent)
    assert (found.trace_id, found.span_id, found.parent_id) == (
        sent.trace_id, sent.span_id, sent.parent_id,
    )  # fmt: skip
    assert (found.name, found.kind, found.service) == ("SELECT users.accounts", "client", "api")
    assert (found.start, found.end, found.failed) == (sent.start, sent.end, True)
    assert found.attributes == {"db.system.name": "postgresql"}
    assert found.events[0].attributes["exception.message"] == "b"


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(IngestError) as refusal:
        read(b"\xff\xff this is no protobuf")
    assert refusal.value.status == 400


@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_read_or_refused(body) -> None:
    found = refusal_of(lambda: read(body))
    assert found is None or found.status == 400


@given(st.binary(max_size=400), st.sampled_from(["gzip", "", "identity", "br", "GZIP"]))
def test_a_body_of_any_encoding_is_inflated_or_refused(body, encoding) -> None:
    found = refusal_of(lambda: decompressed(body, encoding))
    assert found is None or found.status in (400, 413, 415)


def test_gzip_is_understood() -> None:
    body = message(span()).SerializeToString()
    assert decompressed(gzip.compress(body), "gzip") == body


def test_a_bomb_is_refused_before_it_grows() -> None:
    with pytest.raises(IngestError) as refusal:
        decompressed(gzip.compress(bytes(MAX_BODY * 20)), "gzip")
    assert refusal.value.status == 413


def test_half_a_gzip_is_refused() -> None:
    with pytest.raises(IngestError) as refusal:
        decompressed(gzip.compress(b"x" * 1000)[:-9], "gzip")
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one.ClearField("trace_id"),
        lambda one: setattr(one, "trace_id", bytes(16)),
        lambda one: setattr(one, "trace_id", b"short"),
        lambda one: setattr(one, "span_id", bytes(8)),
        lambda one: setattr(one, "span_id", b"much too long"),
        lambda one: one.ClearField("start_time_unix_nano"),
        lambda one: setattr(one, "start_time_unix_nano", 2**63),
        lambda one: setattr(one, "end_time_unix_nano", time.time_ns() * 2),
    ],
)
def test_an_invalid_span_costs_itself_and_no_other(spoil) -> None:
    spoilt, good = wire(span()), span()
    spoil(spoilt)
    batch = read(message(spoilt, good).SerializeToString())
    assert [one.span_id for one in batch.spans] == [good.span_id]
    assert batch.rejected == 1
    assert b"invalid" in batch.answer()


def test_a_span_that_ends_before_it_began_took_no_time() -> None:
    sent = wire(span())
    sent.end_time_unix_nano = sent.start_time_unix_nano - 5
    assert read_one(sent).duration == 0


def test_one_span_is_bounded_whatever_it_carries() -> None:
    sent = wire(span("x" * 100_000))
    for number in range(500):
        sent.attributes.add(key=f"key-{number}" * 200).value.string_value = "v" * 20_000
        sent.events.add(name="e" * 2_000, time_unix_nano=1)
        sent.links.add(trace_id=bytes(15) + b"1", span_id=bytes(7) + b"1")
    found = read_one(sent)
    assert len(json.dumps(found.to_dict())) < 400_000
    assert len(found.attributes) == 64
    assert len(found.name) < 300


def test_of_a_long_traceback_the_end_is_kept() -> None:
    sent = wire(span(error="ValueError: no"))
    stack = sent.events[0].attributes.add(key="exception.stacktrace")
    stack.value.string_value = "first\n" + "frame\n" * 20_000 + "last"
    kept = read_one(sent).events[0].attributes["exception.stacktrace"]
    assert kept.endswith("last")
    assert len(kept) < 20_000


def test_a_deep_value_is_cut_off() -> None:
    value = AnyValue(string_value="bottom")
    for _ in range(40):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    sent = wire(span())
    sent.attributes.append(KeyValue(key="deep", value=value))
    assert "bottom" not in json.dumps(read_one(sent).attributes)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**62, -(2**62)])
def test_every_number_can_be_told_to_a_browser(number) -> None:
    found = read_one(span(value=number)).attributes["value"]
    assert json.loads(json.dumps(found, allow_nan=False)) == str(number)


def test_a_message_of_too_many_spans_is_kept_in_part(monkeypatch) -> None:
    monkeypatch.setattr(otlp, "_MAX_SPANS", 3)
    batch = read(message(*(span() for _ in range(5))).SerializeToString())
    assert (len(batch.spans), batch.rejected) == (3, 2)


def test_a_secret_is_no_part_of_what_is_kept() -> None:
    sent = span(
        "POST https://user:hunter2@example.com/",
        http__request__header__authorization="Bearer hunter2hunter2",
        password="hunter2",
        url__full="https://a.example/?token=hunter2",
        error="ValueError: password=hunter2",
    )
    assert "hunter2" not in json.dumps(read_one(sent).to_dict())
