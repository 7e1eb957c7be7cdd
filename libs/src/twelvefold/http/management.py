"""The management app: probes, metrics, information. Its own port, never public.

Owns /livez (touches nothing), /readyz, /metrics and /info, and reads only what the process
already knows. Plain Starlette: it must answer while the service apps are overloaded.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from twelvefold import metrics
from twelvefold.health import Health
from twelvefold.redaction import redacted_settings
from twelvefold.settings import ServiceSettings

from .problems import EXCEPTION_HANDLERS

_STARTED_AT = datetime.now(UTC)
_STARTED = time.monotonic()


def create_management_app(*, name: str, settings: ServiceSettings, health: Health) -> ASGIApp:
    """The app of the management port of service `name`."""

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
                "settings": redacted_settings(settings),
            }
        )

    routes: Sequence[Route] = [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", exposition),
        Route("/info", info),
    ]
    return Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)


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
