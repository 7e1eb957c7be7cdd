"""Spans of Redis: hits and misses, times to live, commands, and no secret of a key."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from twelvefold.cache.cache import CacheEntry, RedisCache
from twelvefold.cache.multiplexed import create_multiplexed_redis
from twelvefold.cache.redis_client import create_redis
from twelvefold.observability import telemetry
from twelvefold.observability.export import EntrySpanSampler
from twelvefold.settings import RedisSettings


@pytest.fixture
def settings(redis_url):
    return RedisSettings(environment="testing", redis_url=redis_url, redis_timeout=5.0)


@pytest.fixture
async def redis(settings):
    async with create_multiplexed_redis(settings) as client:
        yield client


@pytest.fixture
def kept(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=EntrySpanSampler(0.0))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_providers", [provider])
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("twelvefold"))
    return exporter


@pytest.fixture
def recorded(kept):
    with telemetry.tracer().start_as_current_span("request", kind=trace.SpanKind.SERVER):
        yield


async def test_a_read_is_one_span_with_hit_miss_or_negative(redis, kept, recorded):
    cache = RedisCache(redis, timeout=5.0)
    await cache.get("user:1")
    await cache.set("user:1", CacheEntry(1, b"{}"), ttl=60)
    await cache.get("user:1")
    await cache.set("user:1", CacheEntry(2, None), ttl=60)
    await cache.get("user:1")
    attributes = [
        (span.name, span.attributes["cache.outcome"], span.attributes["cache.hit"])
        for span in kept.get_finished_spans()
    ]
    assert attributes == [
        ("cache.get", "miss", False),
        ("cache.set", "set", False),
        ("cache.get", "hit", True),
        ("cache.set", "set", False),
        ("cache.get", "negative", False),
    ]
    stored = kept.get_finished_spans()[1]
    assert stored.kind is trace.SpanKind.CLIENT
    assert stored.attributes["db.system.name"] == "redis"
    assert stored.attributes["cache.key"] == "user:1"
    assert 54 <= stored.attributes["cache.ttl_seconds"] <= 66


@pytest.mark.parametrize("create", [create_redis, create_multiplexed_redis])
async def test_another_command_is_a_span_by_its_name_alone(settings, create, kept, recorded):
    async with create(settings) as client:
        execute = getattr(client, "execute", None) or client.execute_command
        await execute("SET", "planted-key", "planted-value")
        assert await execute("GET", "planted-key") == b"planted-value"
    spans = kept.get_finished_spans()
    assert [(span.name, span.kind) for span in spans] == [
        ("SET", trace.SpanKind.CLIENT),
        ("GET", trace.SpanKind.CLIENT),
    ]
    assert "planted" not in "".join(span.to_json() for span in spans)


async def test_outside_a_recorded_trace_there_are_none(redis, kept):
    await RedisCache(redis, timeout=5.0).get("user:1")
    await redis.ping()
    assert kept.get_finished_spans() == ()
