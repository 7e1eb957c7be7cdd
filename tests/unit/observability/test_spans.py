"""Manual spans and decorators: their attributes, and that unrecorded ones are not made."""

import pytest
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from twelvefold.observability import telemetry
from twelvefold.observability.export import EntrySpanSampler
from twelvefold.observability.spans import (
    is_recording,
    rows_affected,
    span,
    trace_database_operation,
    trace_function,
)
from twelvefold.observability.sql_summary import summarize_statement
from twelvefold.settings import ServiceSettings

SAMPLED = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


@pytest.fixture
def kept(monkeypatch):
    telemetry.configure_telemetry(ServiceSettings(environment="testing"), service="demo")
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=EntrySpanSampler(0.0))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_providers", [provider])
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("twelvefold"))
    return exporter


@pytest.fixture
def request_span(kept):
    parent = propagate.extract(SAMPLED)
    with telemetry.tracer().start_as_current_span("request", context=parent) as recorded:
        yield recorded


@trace_function("price")
async def price(article: str, *, token: str = "", currency: str = "EUR") -> str:
    """What it costs."""
    if article == "nothing":
        raise LookupError("no such article")
    return f"{article} in {currency}"


@trace_function()
def sync_price(article: str) -> str:
    return article


@trace_database_operation("shop.orders", "delete")
async def delete_orders(count: int) -> list[int]:
    return list(range(count))


@trace_database_operation("shop.orders", "insert")
def insert_order() -> str:
    return "INSERT 0 1"


async def test_a_traced_function_records_its_arguments_names_but_never_their_values(
    kept, request_span
):
    assert await price("book", token="planted", currency="CHF") == "book in CHF"
    (recorded,) = kept.get_finished_spans()
    assert recorded.name == "price"
    assert recorded.parent.span_id == request_span.get_span_context().span_id
    assert recorded.attributes["function.module"] == __name__
    assert recorded.attributes["function.name"] == "price"
    assert recorded.attributes["code.function.name"] == f"{__name__}.price"
    assert recorded.attributes["function.args.count"] == 1
    assert recorded.attributes["function.kwargs.count"] == 2
    assert recorded.attributes["function.kwargs.names"] == ("[redacted]", "currency")
    assert recorded.attributes["duration_ms"] >= 0
    assert "planted" not in recorded.to_json()
    assert "book" not in recorded.to_json()


async def test_a_traced_functions_exception_is_recorded_and_passes_on(kept, request_span):
    with pytest.raises(LookupError):
        await price("nothing")
    (recorded,) = kept.get_finished_spans()
    assert recorded.status.status_code is trace.StatusCode.ERROR
    assert recorded.events[0].attributes["exception.type"] == "LookupError"
    assert "duration_ms" in recorded.attributes


async def test_sync_and_async_functions_are_traced_and_keep_their_metadata(kept, request_span):
    assert sync_price("book") == "book"
    assert kept.get_finished_spans()[0].name == f"{__name__}.sync_price"
    assert price.__doc__ == "What it costs."


async def test_a_database_operation_records_table_operation_and_rows(kept, request_span):
    await delete_orders(3)
    insert_order()
    deleted, inserted = kept.get_finished_spans()
    assert deleted.name == "delete shop.orders"
    assert deleted.attributes["db.system.name"] == "postgresql"
    assert deleted.attributes["db.collection.name"] == "shop.orders"
    assert deleted.attributes["db.operation.name"] == "delete"
    assert deleted.attributes["db.rows_affected"] == 3
    assert inserted.attributes["db.rows_affected"] == 1


async def test_outside_a_recorded_trace_nothing_is_made(kept):
    assert not is_recording()
    assert await price("book") == "book in EUR"
    assert await delete_orders(2) == [0, 1]
    with span("block") as recorded:
        recorded.set_attribute("ignored", 1)
    assert kept.get_finished_spans() == ()


class Cursor:
    rowcount = 7


@pytest.mark.parametrize(
    ("result", "rows"),
    [
        (None, 0),
        (False, 0),
        (True, 1),
        (4, 4),
        ("UPDATE 3", 3),
        ("INSERT 0 1", 1),
        ("text", 1),
        ([1, 2], 2),
        ({}, 0),
        (b"abc", 1),
        (Cursor(), 7),
        (object(), 1),
    ],
)
def test_rows_are_counted_by_what_a_function_returned(result, rows):
    assert rows_affected(result) == rows


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("SELECT a.id FROM users.accounts AS a WHERE a.id = $1", ("SELECT", "users.accounts")),
        ('SELECT 1 FROM "api"."images"', ("SELECT", "api.images")),
        ("\nINSERT INTO jobs.jobs (id) VALUES ($1)", ("INSERT", "jobs.jobs")),
        ("UPDATE jobs.jobs AS j SET x = 1", ("UPDATE", "jobs.jobs")),
        ("DELETE FROM users.sessions WHERE id = $1", ("DELETE", "users.sessions")),
        ("WITH due AS (SELECT id FROM a.b FOR UPDATE) UPDATE c.d SET x = 1", ("UPDATE", "c.d")),
        ("SELECT pg_try_advisory_xact_lock($1)", ("SELECT", "pg_try_advisory_xact_lock")),
        ("/* why */ SELECT * FROM jobs.cancel_job($1)", ("SELECT", "jobs.cancel_job")),
        ("BEGIN;", ("BEGIN", "")),
        ("COMMIT;", ("COMMIT", "")),
        (";", ("ping", "")),
        ("SELECT 1", ("SELECT", "")),
    ],
)
def test_a_statements_span_is_named_by_operation_and_table(statement, named):
    assert summarize_statement(statement) == named
