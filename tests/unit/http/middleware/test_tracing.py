"""Which requests are traced, and what travels for those that are not."""

import pytest
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from tests.unit.http.demo import SETTINGS, demo

from twelvefold.http.middleware import tracing
from twelvefold.observability import telemetry
from twelvefold.observability.export import EntrySpanSampler, redact_span

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01", "baggage": "tenant=a"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
B3 = {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"}


@pytest.fixture(scope="module")
def exporter():
    """A provider as in production, but that keeps its spans."""
    telemetry.configure_telemetry(SETTINGS, service="demo")
    kept = InMemorySpanExporter()
    provider = TracerProvider(sampler=EntrySpanSampler(0.0))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)
    telemetry._providers.append(provider)
    yield kept
    telemetry._providers.clear()


@pytest.fixture
def spans(exporter):
    exporter.clear()
    return exporter.get_finished_spans


def sampling(ratio: float):
    return SETTINGS.model_copy(update={"otel_traces_sampler_arg": ratio})


async def test_a_sampled_request_makes_exactly_one_server_span(spans):
    async with demo(sampling(1.0)) as it:
        response = await it.client.get("/api/v1/things/1")
    (span,) = spans()
    line = it.line("request")
    assert span.kind is SpanKind.SERVER
    assert span.name == "GET /api/v1/things/{thing_id}"
    assert line["trace_id"] == f"{span.context.trace_id:032x}"
    assert line["span_id"] == f"{span.context.span_id:016x}"
    assert line["route"] == "/api/v1/things/{thing_id}"
    assert span.attributes["request_id"] == response.headers["x-request-id"]


# What every request has, but for `server.port`: the transport of these tests has none.
# By https://opentelemetry.io/docs/specs/semconv/http/http-spans/, and `request_id` and `user.id`.
ATTRIBUTES = {
    "client.address",
    "client.port",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "network.protocol.version",
    "request_id",
    "server.address",
    "url.path",
    "url.scheme",
    "user_agent.original",
}


async def test_the_span_is_the_instrumentation_s_with_stable_attributes_and_nothing_of_the_query(
    spans,
):
    headers = {"User-Agent": "x" * 500, "Authorization": "Bearer planted", "Cookie": "a=planted"}
    async with demo(sampling(1.0)) as it:
        url = "/api/v1/search?limit=7&token=planted&x=%ff"
        response = await it.client.get(url, headers=headers)
    assert response.status_code == 200
    (span,) = spans()
    assert span.instrumentation_scope.name == "opentelemetry.instrumentation.fastapi"
    assert set(span.attributes) == ATTRIBUTES
    assert len(span.attributes["user_agent.original"]) == 200
    assert span.attributes["http.response.status_code"] == 200
    assert ":" not in span.attributes["server.address"]
    assert "planted" not in span.to_json()


async def test_an_unsampled_request_does_not_enter_the_instrumentation(spans, monkeypatch):
    entered = []
    serve = tracing._Sampled.serve

    def noted(*arguments):
        entered.append(1)
        return serve(*arguments)

    monkeypatch.setattr(tracing._Sampled, "serve", noted)
    for ratio in (0.0, 1.0):
        async with demo(sampling(ratio)) as it:
            await it.client.get("/api/v1/things/1")
        assert len(entered) == ratio


async def test_an_early_error_has_a_span(spans):
    settings = sampling(1.0).model_copy(update={"http_max_concurrency": 0, "http_queue": 0})
    async with demo(settings) as it:
        assert (await it.client.get("/api/v1/things/1")).status_code == 503
    (span,) = spans()
    assert span.name == "GET"
    assert span.attributes["http.response.status_code"] == 503
    assert span.attributes["error.type"] == "503"
    assert span.status.status_code is trace.StatusCode.ERROR


async def test_an_unsampled_request_has_ids_and_no_span(spans):
    async with demo(sampling(0.0)) as it:
        seen = (await it.client.get("/api/v1/context")).json()
    line = it.line("request")
    assert spans() == ()
    assert seen["traceparent"] == f"00-{line['trace_id']}-{line['span_id']}-00"


async def test_at_the_public_edge_a_clients_decision_does_not_count(spans):
    async with demo(sampling(0.0)) as it:
        for headers in (SAMPLED, B3, {**SAMPLED, **B3}):
            seen = (await it.client.get("/api/v1/context", headers=headers)).json()
            assert TRACE not in seen["traceparent"]
    assert spans() == ()


@pytest.mark.parametrize("headers", [SAMPLED, UNSAMPLED, B3])
async def test_at_the_public_edge_a_clients_span_becomes_a_link(spans, headers):
    async with demo(sampling(1.0)) as it:
        await it.client.get("/api/v1/things/1", headers=headers)
    (span,) = spans()
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE]
    assert f"{span.context.trace_id:032x}" != TRACE


@pytest.mark.parametrize("headers", [SAMPLED, B3, {**B3, "X-B3-Sampled": "0", **SAMPLED}])
async def test_an_internal_app_follows_a_sampled_parent(spans, headers):
    async with demo(sampling(0.0), public=False) as it:
        await it.client.get("/api/v1/things/1", headers=headers)
    (span,) = spans()
    assert f"{span.context.trace_id:032x}" == it.line("request")["trace_id"] == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN


async def test_an_internal_app_follows_an_unsampled_parent(spans):
    async with demo(sampling(1.0), public=False) as it:
        seen = (await it.client.get("/api/v1/context", headers=UNSAMPLED)).json()
    assert spans() == ()
    assert seen["traceparent"].startswith(f"00-{TRACE}-")
    assert seen["traceparent"].endswith("-00")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"00-{'0' * 32}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        "x" * 500,
    ],
)
async def test_an_invalid_parent_is_ignored(spans, value):
    async with demo(sampling(0.0), public=False) as it:
        response = await it.client.get("/api/v1/things/1", headers={"traceparent": value})
    assert response.status_code == 200
    assert TRACE not in it.line("request")["trace_id"]


async def test_an_error_is_on_the_span_and_a_problem_to_the_client(spans):
    async with demo(sampling(1.0)) as it:
        response = await it.client.get("/api/v1/boom")
        refused = await it.client.post("/api/v1/anything", content=b"x" * 1_001)
    assert response.json()["type"] == "/problems/internal"
    assert refused.status_code == 413
    boom, _ = spans()
    assert boom.status.status_code is trace.StatusCode.ERROR
    assert boom.events[0].name == "exception"
    assert [line["event"] for line in it.lines if line["level"] == "error"] == ["unhandled_error"]


async def test_later_work_is_in_the_trace_of_its_request_and_links_to_it(spans):
    with trace.get_tracer("t").start_as_current_span(
        "request", context=propagate.extract(SAMPLED)
    ) as request:
        carrier = telemetry.current_carrier()
    assert set(carrier) == {"traceparent"}
    with telemetry.resume_trace("job", carrier, attributes={"kind": "email.send"}) as span:
        assert span.is_recording()
    job = spans()[-1]
    asked = request.get_span_context()
    assert job.kind is SpanKind.CONSUMER
    assert job.parent.span_id == asked.span_id
    assert job.context.trace_id == asked.trace_id
    assert [link.context.span_id for link in job.links] == [asked.span_id]
    assert telemetry.current_carrier() == {}


async def test_later_work_of_an_unsampled_request_is_not_recorded(spans):
    with telemetry.resume_trace("job", UNSAMPLED) as span:
        assert not span.is_recording()
        assert f"{span.get_span_context().trace_id:032x}" == TRACE
        assert f"{span.get_span_context().span_id:016x}" != SPAN
    with telemetry.resume_trace("job", {"traceparent": "nonsense"}) as span:
        assert span.get_span_context().is_valid
    assert spans() == ()


async def test_background_work_starts_no_trace(spans):
    with trace.get_tracer("t").start_as_current_span("SELECT", kind=SpanKind.CLIENT):
        pass
    assert spans() == ()


async def test_every_format_is_injected():
    with trace.use_span(
        trace.NonRecordingSpan(trace.SpanContext(int(TRACE, 16), int(SPAN, 16), is_remote=False))
    ):
        headers: dict[str, str] = {}
        telemetry.inject(headers)
    assert headers["traceparent"] == UNSAMPLED["traceparent"]
    assert headers["x-b3-traceid"] == TRACE
    assert headers["x-b3-sampled"] == "0"


def test_a_span_has_no_secrets(spans):
    error = RuntimeError("postgresql://users_app:hunter2@db/app is away")
    with trace.get_tracer("t").start_as_current_span(
        "call", context=propagate.extract(SAMPLED), attributes={"refresh_token": "abc"}
    ) as span:
        span.set_attribute("url.full", "https://x.test/confirm?token=s3cr3tvalue&a=1")
        span.record_exception(error)
        span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))
    told = redact_span(spans()[-1]).to_json()
    assert "hunter2" not in told
    assert "s3cr3tvalue" not in told
    assert '"refresh_token": "[redacted]"' in told
    assert "is away" in told
