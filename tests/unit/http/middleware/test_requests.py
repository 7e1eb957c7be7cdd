"""What the layer around every request does: ids, bounds, headers, the last word and the log."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.http.demo import SETTINGS, demo

from twelvefold.observability import metrics
from twelvefold.service.health import Health
from twelvefold.settings import Environment


def sample(name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for found in family.samples:
            if found.name == name and labels.items() <= found.labels.items():
                return found.value
    return 0.0


async def test_an_acceptable_request_id_is_kept_and_any_other_replaced():
    async with demo() as it:
        kept = await it.client.get("/api/v1/context", headers={"X-Request-ID": "abc-1.2_3"})
        assert kept.headers["x-request-id"] == kept.json()["request_id"] == "abc-1.2_3"
        for bad in ("", "a b", "x" * 129, "a\tb", "naïve"):
            headers = {b"X-Request-ID": bad.encode("latin-1")}
            response = await it.client.get("/api/v1/context", headers=headers)
            assert response.headers["x-request-id"] != bad
            assert len(response.headers["x-request-id"]) == 32


async def test_each_request_writes_one_line_with_its_route_and_not_its_path():
    async with demo() as it:
        response = await it.client.get("/api/v1/things/77")
        await it.client.get("/api/v1/context")
        await it.client.get("/nowhere/secret")
    first, second, third = it.lines
    assert first["event"] == "request"
    assert first["service"] == "demo"
    assert first["method"] == "GET"
    assert first["route"] == "/api/v1/things/{thing_id}"
    assert "path" not in first
    assert first["status"] == 200
    assert first["bytes"] == len(response.content)
    assert 0 < first["duration_ms"] < 5_000
    assert first["request_id"] == response.headers["x-request-id"]
    assert len(first["trace_id"]) == 32
    assert len(first["span_id"]) == 16
    assert second["principal"] == "0190f7a0-0000-7000-8000-00000000000a"
    assert third["route"] is None
    assert third["path"] == "/nowhere/secret"


async def test_requests_are_counted_by_route_template():
    labels = {"method": "GET", "handler": "/api/v1/things/{thing_id}"}
    before = sample("http_requests_total", status="200", **labels)
    counted = metrics.counts.requests
    async with demo() as it:
        for number in range(3):
            await it.client.get(f"/api/v1/things/{number}")
        await it.client.get("/nowhere")
        await it.client.request("BREW", "/api/v1/things/1")
    assert sample("http_requests_total", status="200", **labels) == before + 3
    assert sample("http_request_duration_seconds_count", **labels) >= before + 3
    assert sample("http_requests_total", handler="none", method="GET", status="404") >= 1
    assert sample("http_requests_total", method="OTHER", status="405") >= 1
    assert metrics.counts.requests == counted + 5
    assert sample("http_requests_inprogress") == 0


async def test_each_response_has_the_security_headers():
    async with demo() as it:
        for path in ("/api/v1/things/1", "/nowhere", "/api/v1/boom", "/health"):
            headers = (await it.client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in headers
            assert "server" not in headers


async def test_deployed_apps_send_hsts():
    settings = SETTINGS.model_copy(update={"environment": Environment.PRODUCTION})
    async with demo(settings) as it:
        headers = (await it.client.get("/api/v1/things/1")).headers
    assert headers["strict-transport-security"].startswith("max-age=63072000")


async def test_cache_control_of_a_route_is_kept():
    async with demo() as it:
        own = await it.client.get("/api/v1/cached?kind=own")
        tagged = await it.client.get("/api/v1/cached?kind=etag")
    assert own.headers.get_list("cache-control") == ["public, max-age=60"]
    assert tagged.headers.get_list("cache-control") == ["private, no-cache"]


@pytest.mark.parametrize("path", ["/api/v1/slow?seconds=60", "/api/v1/stubborn"])
async def test_a_request_that_takes_too_long_is_a_503(path):
    settings = SETTINGS.model_copy(update={"http_request_timeout": 0.05})
    async with demo(settings) as it:
        response = await it.client.get(path)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["type"] == "/problems/unavailable"
    assert it.line("request")["status"] == 503
    assert not [line for line in it.lines if line["event"] == "unhandled_error"]


async def test_a_cancellation_by_another_cause_is_passed_on():
    async with demo() as it:
        task = asyncio.create_task(it.client.get("/api/v1/slow?seconds=60"))
        while not metrics.counts.active:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert metrics.counts.active == 0
    assert it.line("request")["status"] == 499


async def test_an_error_after_the_start_of_the_response_cuts_it():
    async with demo() as it:
        with pytest.raises(AssertionError):  # as the transport says that the answer is not whole
            await it.client.get("/api/v1/half")
    assert it.line("unhandled_error")
    assert it.line("request")["status"] == 200


async def test_while_draining_each_response_closes_its_connection():
    health = Health()
    health.mark_ready()
    async with demo(health=health) as it:
        assert "connection" not in (await it.client.get("/api/v1/things/1")).headers
        health.mark_draining()
        assert (await it.client.get("/api/v1/things/1")).headers["connection"] == "close"


async def test_a_deadline_counts_on_an_internal_app_and_not_at_the_public_edge():
    headers = {"X-Request-Deadline": "1500", "canary": "always", "experiment": "b"}
    async with demo(public=False) as it:
        internal = (await it.client.get("/api/v1/context", headers=headers)).json()
    async with demo(public=True) as it:
        public = (await it.client.get("/api/v1/context", headers=headers)).json()
    assert 1 < internal["remaining"] <= 1.5
    assert 25 < public["remaining"] <= 30
    assert internal["routing"] == public["routing"] == {"canary": "always", "experiment": "b"}


async def test_cors_headers_are_sent_only_where_cors_is_configured():
    origin = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PATCH"}
    settings = SETTINGS.model_copy(update={"http_cors_origins": ["https://app.example.com"]})
    async with demo(settings) as it:
        asked = await it.client.options("/api/v1/things/1", headers=origin)
        assert asked.headers["access-control-allow-origin"] == "https://app.example.com"
    async with demo() as it:
        asked = await it.client.options("/api/v1/things/1", headers=origin)
        assert asked.status_code == 405
        assert "access-control-allow-origin" not in asked.headers


async def test_health_reports_the_status_only():
    health = Health()
    async with demo(health=health) as it:
        starting = await it.client.get("/ready")
        health.mark_ready()
        ready = await it.client.get("/ready")
        health.mark_draining()
        draining = await it.client.get("/health")
    assert (starting.status_code, starting.json()) == (503, {"status": "unavailable"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    assert (draining.status_code, draining.json()) == (503, {"status": "unavailable"})


async def test_docs_load_only_from_the_same_server():
    async with demo() as it:
        page = await it.client.get("/docs")
        assert page.status_code == 200
        assert "://" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
            assert (await it.client.get(f"/docs/{name}")).status_code == 200
        assert (await it.client.get("/docs/..%2fmain.py")).status_code == 404
