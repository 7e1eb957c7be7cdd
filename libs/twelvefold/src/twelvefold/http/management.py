"""The management app: probes, metrics and information on its own port, which is never public.

Owns /livez (checks no dependency), /readyz, /metrics, /info and /log-level. It is plain Starlette
without limits, since it must respond while the service apps are overloaded.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast, get_args

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from twelvefold.contracts.jobs import KINDS
from twelvefold.errors import FieldError, Forbidden, UnprocessableContent
from twelvefold.http.rest.exception_handlers import EXCEPTION_HANDLERS
from twelvefold.observability import metrics
from twelvefold.observability.log_level import LevelName, log_level
from twelvefold.observability.redaction import redact_settings
from twelvefold.service.health import Health
from twelvefold.settings import ServiceSettings

if TYPE_CHECKING:
    from twelvefold.jobs import PeriodicJob

_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_STARTED_AT = datetime.now(UTC)
_STARTED = time.monotonic()


def create_management_app(
    *,
    name: str,
    settings: ServiceSettings,
    health: Health,
    queue: str | None = None,
    schedule: Sequence[PeriodicJob] = (),
) -> ASGIApp:
    """Return the app of the management port of service `name`.

    `queue` and `schedule` are those of a process that runs jobs, for /info.
    """
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
                "queue": queue,
                "periodic_jobs": [
                    {
                        "kind": job.kind,
                        "every_seconds": job.every.total_seconds(),
                        "at_seconds": job.at.total_seconds(),
                    }
                    for job in schedule
                ],
                "settings": redact_settings(settings),
            }
        )

    async def level(request: Request) -> Response:
        if request.method != "GET":
            require_loopback(request)
        if request.method == "PUT":
            log_level.override(await _parse_level(request))
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
    """Raise Forbidden unless the client is on this machine (in this pod) and not a web page.

    Addresses are compared exactly: behind a sidecar, remote clients come from 127.0.0.6.
    """
    peer = request.client.host if request.client else ""
    name = request.url.hostname or ""
    if peer not in _LOOPBACK or name not in {*_LOOPBACK, "localhost"}:
        raise Forbidden("Only clients on this machine may do this, by a loopback address.")
    if "origin" in request.headers:
        raise Forbidden("Web pages may not do this.")


async def _parse_level(request: Request) -> LevelName:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    level = body.get("level") if isinstance(body, dict) else None
    if level not in get_args(LevelName):
        expected = ", ".join(get_args(LevelName))
        raise UnprocessableContent(
            'Send {"level": …}.', errors=[FieldError("/body/level", f"is none of {expected}")]
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
    """Return the resident memory in bytes: the present one on Linux, elsewhere the peak."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a hot, tiny read
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
