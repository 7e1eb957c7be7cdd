"""A span as the console stores it, and the kind of work that it represents.

Owns the attribute names of OpenTelemetry's semantic conventions that the console interprets, each
with the stable name before the older one (opentelemetry.io/docs/specs/semconv). The page shows
other attributes unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Attributes = Mapping[str, Any]

SERVER, CLIENT, PRODUCER, CONSUMER, INTERNAL = (
    "server",
    "client",
    "producer",
    "consumer",
    "internal",
)
_METHOD = ("http.request.method", "http.method")
_STATUS = ("http.response.status_code", "http.status_code")
_PATH = ("url.path", "http.target")
_URL = ("url.full", "http.url")
_DATABASE = ("db.system.name", "db.system")
STATEMENT = ("db.query.text", "db.statement")
_MAX_SUMMARY = 200  # characters


@dataclass(frozen=True, slots=True)
class Event:
    """An event within a span. `time` is in nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to a related span that is not the parent."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Times are in nanoseconds since the epoch, ids in hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str | None
    service: str
    instance: str
    name: str
    kind: str
    start: int
    end: int
    failed: bool = False
    message: str = ""
    scope: str = ""
    attributes: Attributes = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def duration(self) -> int:
        return self.end - self.start

    def to_dict(self) -> dict[str, Any]:
        """Return the span as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Span:
        """Create a span from the result of `to_dict`."""
        return cls(
            **{
                **values,
                "events": tuple(Event(**event) for event in values["events"]),
                "links": tuple(Link(**link) for link in values["links"]),
            }
        )


def first(attributes: Attributes, names: tuple[str, ...]) -> Any:
    """Return the value of the first of these attributes that exists, or None."""
    return next((attributes[name] for name in names if name in attributes), None)


def category(span: Span) -> str:
    """Return the kind: request, call, sql, redis, database, s3, mail, job, enqueue or code."""
    attributes = span.attributes
    if span.kind == SERVER:
        return "request"
    if span.kind == CONSUMER:
        return "job"
    if span.kind == PRODUCER:
        return "enqueue"
    if system := first(attributes, _DATABASE):
        return {"postgresql": "sql", "redis": "redis"}.get(str(system), "database")
    if span.kind == CLIENT:
        if "aws.s3.bucket" in attributes or span.name.startswith("S3."):
            return "s3"
        if "mail.system" in attributes:
            return "mail"
        return "call"
    return "code"


def method(span: Span) -> str | None:
    """Return the HTTP method, or None."""
    value = first(span.attributes, _METHOD)
    return None if value is None else str(value)


def status(span: Span) -> int | None:
    """Return the HTTP status of the response, or None."""
    value = first(span.attributes, _STATUS)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def route(span: Span) -> str:
    """Return the template of the route, without one the path or URL, otherwise the span's name."""
    value = span.attributes.get("http.route") or first(span.attributes, (*_PATH, *_URL))
    if value is not None:
        return str(value)
    return span.name.removeprefix(f"{method(span)} ")


def is_matched(span: Span) -> bool:
    """Return whether a route matched; True for spans that are no request."""
    return span.kind != SERVER or bool(span.attributes.get("http.route"))


def path(span: Span) -> str | None:
    """Return the path of the request, or None."""
    value = first(span.attributes, _PATH)
    return None if value is None else str(value)


def summary(span: Span) -> str:
    """Return a line that describes the span beside its name, empty where the name suffices."""
    attributes = span.attributes
    if statement := first(attributes, STATEMENT):
        text = " ".join(str(statement).split())
        return text if len(text) <= _MAX_SUMMARY else text[:_MAX_SUMMARY] + "…"
    address = (_PATH, _URL) if span.kind == SERVER else (_URL, _PATH)
    for names in (*address, ("cache.key",), ("job.id",), ("messaging.message.id",)):
        if value := first(attributes, names):
            return str(value)[:_MAX_SUMMARY]
    return ""


def exception(span: Span) -> str | None:
    """Return type and message of the recorded exception, or None."""
    for event in span.events:
        if event.name == "exception":
            kind = str(event.attributes.get("exception.type", "exception")).rpartition(".")[2]
            message = str(event.attributes.get("exception.message", ""))
            return f"{kind}: {message}" if message else kind
    return None
