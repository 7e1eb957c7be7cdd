"""Logs, metrics and traces, and the redaction of secrets in them.

Owns what a process reports about itself. The endpoints that expose it are in `http.management`.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .logs import configure_logs as configure_logs
    from .redaction import redact as redact
    from .spans import span as span
    from .telemetry import resume_trace as resume_trace
    from .telemetry import tracer as tracer

_HOMES = {
    "configure_logs": "logs",
    "redact": "redaction",
    "resume_trace": "telemetry",
    "span": "spans",
    "tracer": "telemetry",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
