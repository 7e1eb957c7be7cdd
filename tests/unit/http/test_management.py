"""The management port: probes, metrics and information without secrets."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import SecretStr

from twelvefold.context import RequestContext, request_context
from twelvefold.http.management import create_management_app
from twelvefold.observability import metrics
from twelvefold.service.health import Health
from twelvefold.settings import RedisSettings, ServiceSettings


class Settings(ServiceSettings, RedisSettings):
    secrets: list[SecretStr] = []


class Backing:
    def __init__(self) -> None:
        self.states = {"postgres": "ok", "redis": "ok"}

    async def ping(self) -> Mapping[str, str]:
        return self.states


@asynccontextmanager
async def managed(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        environment="testing",
        redis_url="redis://:hunter2@cache:6379/0",
        secrets=["hunter3", "hunter4"],
        otel_exporter_otlp_endpoint="https://user:hunter5@collector",
    )
    app = create_management_app(name="demo", settings=settings, health=health)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://management"
    ) as client:
        yield client


async def test_liveness_checks_no_dependency():
    class Untouchable:
        async def ping(self) -> Mapping[str, str]:
            raise AssertionError

    async with managed(Health(Untouchable())) as client:
        assert (await client.get("/livez")).status_code == 200


async def test_readiness_follows_the_state_and_names_every_backing_service():
    backing = Backing()
    health = Health(backing)
    async with managed(health) as client:
        starting = await client.get("/readyz")
        health.mark_ready()
        ready = await client.get("/readyz")
        backing.states["redis"] = "unavailable"
        degraded = await client.get("/readyz")
        health.mark_draining()
        health.mark_ready()
        draining = await client.get("/readyz")
    assert (starting.status_code, starting.json()["status"]) == (503, "starting")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ok", "checks": {"postgres": "ok", "redis": "ok"}}
    assert degraded.status_code == 200
    assert degraded.json() == {
        "status": "degraded",
        "checks": {"postgres": "ok", "redis": "unavailable"},
    }
    assert (draining.status_code, draining.json()["status"]) == (503, "draining")


async def test_information_has_no_secret():
    async with managed(Health()) as client:
        response = await client.get("/info")
    info = response.json()
    assert "hunter" not in response.text
    assert info["settings"]["REDIS_URL"] == "(set)"
    assert info["settings"]["SECRETS"] == ["(set)", "(set)"]
    assert info["settings"]["ENVIRONMENT"] == "testing"
    assert info["rss_bytes"] > 1_000_000
    assert info["uptime_seconds"] >= 0
    assert info["service"] == "demo"
    for member in ("process_id", "started_at", "requests", "errors", "version", "instance_id"):
        assert member in info


async def test_metrics_are_sent_in_the_accepted_format_with_exemplars_in_openmetrics():
    sampled = RequestContext("r", trace_id="a" * 32, span_id="b" * 16, sampled=True)
    with request_context(sampled):
        metrics.observe_request(
            {"type": "http"}, method="GET", handler="/exemplary", status=200, seconds=0.02,
            seconds_to_response=0.02,
        )  # fmt: skip
    async with managed(Health()) as client:
        text = await client.get("/metrics")
        openmetrics = await client.get(
            "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
        )
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "process_resident_memory_bytes" in text.text
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    exemplars = [
        sample.exemplar.labels
        for family in text_string_to_metric_families(openmetrics.text)
        for sample in family.samples
        if sample.exemplar
    ]
    assert {"trace_id": "a" * 32} in exemplars


async def test_every_other_path_is_a_problem():
    async with managed(Health()) as client:
        for path in ("/", "/docs", "/api/v1/users"):
            response = await client.get(path)
            assert response.status_code == 404
            assert response.headers["content-type"] == "application/problem+json"
