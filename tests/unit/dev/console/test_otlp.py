"""Messages of exporters are decoded within bounds, whatever their content."""

from __future__ import annotations

import gzip
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from tests.spans import message, span, wire

from twelvefold_dev.console.traces.otlp import MAX_BODY, IngestError, decompress, read


def read_one(sent):
    (found,) = read(message(sent).SerializeToString()).spans
    return found


def refusal_of(work) -> IngestError | None:
    """Return the IngestError that `work` raises; another exception fails the test."""
    try:
        work()
    except IngestError as refusal:
        return refusal
    return None


def test_a_span_is_decoded_as_it_was_sent() -> None:
    sent = span("SELECT users.accounts", parent=span(), db__system__name="postgresql", error="A: b")
    found = read_one(sent)
    assert (found.trace_id, found.span_id, found.parent_id) == (
        sent.trace_id, sent.span_id, sent.parent_id,
    )  # fmt: skip
    assert (found.name, found.kind, found.service) == ("SELECT users.accounts", "client", "api")
    assert (found.start, found.end, found.failed) == (sent.start, sent.end, True)
    assert found.attributes == {"db.system.name": "postgresql"}
    assert found.events[0].attributes["exception.message"] == "b"


def test_an_invalid_message_is_refused() -> None:
    with pytest.raises(IngestError) as refusal:
        read(b"\xff\xff this is no protobuf")
    assert refusal.value.status == 400


@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_read_or_refused(body) -> None:
    found = refusal_of(lambda: read(body))
    assert found is None or found.status == 400


@given(st.binary(max_size=400), st.sampled_from(["gzip", "", "identity", "br", "GZIP"]))
def test_a_body_of_any_encoding_is_inflated_or_refused(body, encoding) -> None:
    found = refusal_of(lambda: decompress(body, encoding))
    assert found is None or found.status in (400, 413, 415)


def test_gzip_is_decompressed() -> None:
    body = message(span()).SerializeToString()
    assert decompress(gzip.compress(body), "gzip") == body


def test_a_decompression_bomb_is_refused_within_the_limit() -> None:
    with pytest.raises(IngestError) as refusal:
        decompress(gzip.compress(bytes(MAX_BODY * 20)), "gzip")
    assert refusal.value.status == 413


def test_incomplete_gzip_is_refused() -> None:
    with pytest.raises(IngestError) as refusal:
        decompress(gzip.compress(b"x" * 1000)[:-9], "gzip")
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
def test_an_invalid_span_is_rejected_alone(spoil) -> None:
    spoilt, good = wire(span()), span()
    spoil(spoilt)
    batch = read(message(spoilt, good).SerializeToString())
    assert [one.span_id for one in batch.spans] == [good.span_id]
    assert batch.rejected == 1
    assert b"invalid" in batch.response_body()


def test_a_span_that_ends_before_its_start_has_no_duration() -> None:
    sent = wire(span())
    sent.end_time_unix_nano = sent.start_time_unix_nano - 5
    assert read_one(sent).duration == 0


def test_the_size_of_a_span_is_bounded() -> None:
    sent = wire(span("x" * 100_000))
    for number in range(500):
        sent.attributes.add(key=f"key-{number}" * 200).value.string_value = "v" * 20_000
        sent.events.add(name="e" * 2_000, time_unix_nano=1)
        sent.links.add(trace_id=bytes(15) + b"1", span_id=bytes(7) + b"1")
    found = read_one(sent)
    assert len(json.dumps(found.to_dict())) < 400_000
    assert len(found.attributes) == 64
    assert len(found.name) < 300


def test_the_end_of_a_long_traceback_is_kept() -> None:
    sent = wire(span(error="ValueError: no"))
    stack = sent.events[0].attributes.add(key="exception.stacktrace")
    stack.value.string_value = "first\n" + "frame\n" * 20_000 + "last"
    kept = read_one(sent).events[0].attributes["exception.stacktrace"]
    assert kept.endswith("last")
    assert len(kept) < 20_000


def test_a_deeply_nested_value_is_cut() -> None:
    value = AnyValue(string_value="bottom")
    for _ in range(40):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    sent = wire(span())
    sent.attributes.append(KeyValue(key="deep", value=value))
    assert "bottom" not in json.dumps(read_one(sent).attributes)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**62, -(2**62)])
def test_every_number_can_be_encoded_as_json(number) -> None:
    found = read_one(span(value=number)).attributes["value"]
    assert json.loads(json.dumps(found, allow_nan=False)) == str(number)


def test_a_message_of_too_many_spans_is_read_in_part() -> None:
    batch = read(message(*(span() for _ in range(5))).SerializeToString(), max_spans=3)
    assert (len(batch.spans), batch.rejected) == (3, 2)


def test_secrets_are_redacted() -> None:
    sent = span(
        "POST https://user:hunter2@example.com/",
        http__request__header__authorization="Bearer hunter2hunter2",
        password="hunter2",
        url__full="https://a.example/?token=hunter2",
        error="ValueError: password=hunter2",
    )
    assert "hunter2" not in json.dumps(read_one(sent).to_dict())
