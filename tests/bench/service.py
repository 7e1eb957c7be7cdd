"""What the bench of observability measures: one route that reads the cache, and the real api.

`python service.py VARIANT`. Its settings come from the environment like those of any service. The
product has no switch for metrics or logs: what a variant is to do without is taken out here.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from pydantic import SecretStr
from tests.fakes.users_client import FakeUsersClient

from api.app import create_app
from api.settings import ApiSettings
from twelvefold.http.app import create_service_app
from twelvefold.http.middleware import exchange, requests, tracing
from twelvefold.http.server.lifecycle import main, run
from twelvefold.observability import metrics
from twelvefold.security.keys import KeySet
from twelvefold.service.backing import BackingServices
from twelvefold.service.definition import Service
from twelvefold.service.health import Health
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import RedisSettings, ServiceSettings, load

KEY = "bench:hit"
router = APIRouter(prefix="/api/v1")


class Settings(ServiceSettings, RedisSettings):
    """What this service reads. `collector` is for the libraries; the suite has its own."""

    collector: str = ""


@router.get("/hits/{name}")
async def hit(name: str, request: Request) -> Response:
    entry = await request.app.state.container.get(KEY)
    return Response(entry.body, media_type="application/json")


def without(*parts: str) -> None:
    """Takes out `metrics`, `logs` or `traces`."""

    def nothing(*_: Any, **__: Any) -> None: ...

    if "metrics" in parts:
        metrics.observe_request = nothing
    if "logs" in parts:
        requests.request_log = lambda: nothing  # type: ignore[attr-defined]  # as imported there
    if "traces" in parts:
        tracing.RequestTracer.begin = nothing  # type: ignore[method-assign]
    if {"metrics", "logs", "traces"} <= set(parts):
        exchange.Exchange.report = nothing  # type: ignore[method-assign]


def create(settings: Settings) -> ServiceProcess:
    backing = BackingServices(settings, application_name="bench")
    health = Health(backing)
    public: FastAPI = create_service_app(
        title="bench",
        settings=settings,
        routers=[router],
        state=backing.cache,
        public=True,
        health=health,
    )
    return ServiceProcess("bench", settings, health, backing, public=public)


def create_usual(settings: Settings, *, libraries: bool) -> ServiceProcess:
    """The same route on plain FastAPI, alone or with everything that people add by default."""
    backing = BackingServices(settings, application_name="bench")
    health = Health(backing)
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    app.state.container = backing.cache
    app.include_router(router)
    if libraries:
        instrument(app, settings.collector)
    return ServiceProcess("bench", settings, health, backing, public=app)


def instrument(app: FastAPI, collector: str) -> None:
    """As the first pages of these libraries say."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.instrumentation.redis import RedisInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from prometheus_fastapi_instrumentator import Instrumentator

    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{collector}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    Instrumentator().instrument(app)
    FastAPIInstrumentor.instrument_app(app)
    RedisInstrumentor().instrument()
    _with_access_log()


def _with_access_log() -> None:
    """Uvicorn's own line for each request, which our server switches off."""
    config = uvicorn.Config

    def logging_config(*args: Any, **kwargs: Any) -> Any:
        return config(*args, **{**kwargs, "access_log": True})

    uvicorn.Config = logging_config  # type: ignore[misc,assignment]
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)


class EdgeSettings(ApiSettings):
    """Those of api, and the keys of the users that it believes in."""

    bench_keys: SecretStr


def create_edge(settings: EdgeSettings) -> ServiceProcess:
    """The api service as it is, before users that are not there."""
    users = FakeUsersClient()
    users.keys = KeySet.from_json(settings.bench_keys.get_secret_value())
    process = create_app(settings, users=users)
    process.schema_ready = None  # a hit of the cache needs no PostgreSQL
    return process


if __name__ == "__main__":
    variant = sys.argv[1]
    if variant.startswith("usual"):
        usual = create_usual(load(Settings), libraries=variant == "usual,libraries")
        raise SystemExit(run(usual))
    without(*variant.split(",")[1:])
    if variant.startswith("api"):
        raise SystemExit(main(Service("api", EdgeSettings, create_edge)))
    raise SystemExit(main(Service("bench", Settings, create)))
