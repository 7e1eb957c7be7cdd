"""The management app: probes, metrics, information. Its own port, never public.

Owns /livez (touches nothing), /readyz, /metrics, /info and /log-level, and reads only what the
process already knows. Plain Starlette: it must answer while the service apps are overloaded.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast, get_args

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from twelvefold.contracts.jobs import KINDS
from twelvefold.errors import FieldError, Forbidden, UnprocessableContent
from twelvefold.http.rest.problems import EXCEPTION_HANDLERS
from twelvefold.observability import metrics
from twelvefold.observability.log_level import LevelName, log_level
from twelvefold.observability.redaction import redact_settings
from twelvefold.service.health import Health
from twelvefold.settings import ServiceSettings

_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_STARTED_AT = datetime.now(UTC)
_STARTED = time.monotonic()


def create_management_app(*, name: str, settings: ServiceSettings, health: Health) -> ASGIApp:
    """The app of the management port of service `name`."""
    metrics.build_info.labels(name, settings.service_version).set(1)

    async def livez(_: Request) -> Response:
        return Response("ok", media_type="text/plain")

    async def readyz(_: Request) -> Response:
        report = await health.report()
        status = report.status if report.ready else str(report.state)
        return _json(
            {"status": status, "checks": dict(report.checks)}, 200 if report.ready else 503
        )

    async def exposition(request: Request) -> Response:
        body, content_type = metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    async def info(_: Request) -> Response:
        return _json(
            {
                "service": name,
                "instance_id": settings.instance_id,
                "version": settings.service_version,
                "process_id": os.getpid(),
                "started_at": _STARTED_AT.isoformat(),
                "uptime_seconds": round(time.monotonic() - _STARTED, 1),
                "requests": metrics.counts.requests,
                "errors": metrics.counts.errors,
                "rss_bytes": rss_bytes(),
                "job_kinds": KINDS,
                "settings": redact_settings(settings),
            }
        )

    async def level(request: Request) -> Response:
        if request.method != "GET":
            require_loopback(request)
        if request.method == "PUT":
            log_level.override(await _asked_level(request))
        elif request.method == "DELETE":
            log_level.restore()
        return _json(log_level.state)

    routes: Sequence[Route] = [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", exposition),
        Route("/info", info),
        Route("/log-level", level, methods=["GET", "PUT", "DELETE"]),
    ]
    return Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)


def require_loopback(request: Request) -> None:
    """Admits who is on this machine (in this pod) and no page of a browser. Raises Forbidden.

    By exact address: behind a sidecar everybody else comes from 127.0.0.6.
    """
    peer = request.client.host if request.client else ""
    name = request.url.hostname or ""
    if peer not in _LOOPBACK or name not in {*_LOOPBACK, "localhost"}:
        raise Forbidden("only from this machine itself, by a loopback address")
    if "origin" in request.headers:
        raise Forbidden("not from a web page")


async def _asked_level(request: Request) -> LevelName:
    try:
        asked = json.loads(await request.body())
    except ValueError:
        asked = None
    level = asked.get("level") if isinstance(asked, dict) else None
    if level not in get_args(LevelName):
        expected = ", ".join(get_args(LevelName))
        raise UnprocessableContent(
            'send {"level": …}', errors=[FieldError("/body/level", f"is none of {expected}")]
        )
    return cast("LevelName", level)


def _json(value: Any, status: int = 200) -> Response:
    return Response(
        json.dumps(value, default=str),
        status,
        headers={"Cache-Control": "no-store"},
        media_type="application/json",
    )


def rss_bytes() -> int:
    """Resident memory now where /proc tells it, else the peak."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a hot, tiny read
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
