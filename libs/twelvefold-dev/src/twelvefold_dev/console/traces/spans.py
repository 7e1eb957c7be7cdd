"""A span as the console keeps it, and what kind of work it stands for.

Owns the names of OpenTelemetry's semantic conventions that are looked at, the stable ones first
and those before them after (opentelemetry.io/docs/specs/semconv). Whatever else a span carries is
shown, not understood.
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
_SUMMARY_LENGTH = 200  # characters


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened within a span; `time` in nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """Another span that this one came from, without being its child."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Span:
    """Times in nanoseconds since the epoch; ids in hexadecimal."""

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
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Span:
        return cls(
            **{
                **found,
                "events": tuple(Event(**event) for event in found["events"]),
                "links": tuple(Link(**link) for link in found["links"]),
            }
        )


def first(attributes: Attributes, names: tuple[str, ...]) -> Any:
    """The first of these attributes that there is, or None."""
    return next((attributes[name] for name in names if name in attributes), None)


def category(span: Span) -> str:
    """The kind of work: request, call, sql, redis, database, s3, mail, job, enqueue or code."""
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
    found = first(span.attributes, _METHOD)
    return None if found is None else str(found)


def status(span: Span) -> int | None:
    """The HTTP status that was answered, if the span is of HTTP."""
    found = first(span.attributes, _STATUS)
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    return int(found) if isinstance(found, str) and found.isdecimal() else None


def route(span: Span) -> str:
    """The route's template; without one the path or URL, at last the span's name."""
    found = span.attributes.get("http.route") or first(span.attributes, (*_PATH, *_URL))
    if found is not None:
        return str(found)
    return span.name.removeprefix(f"{method(span)} ")


def path(span: Span) -> str | None:
    found = first(span.attributes, _PATH)
    return None if found is None else str(found)


def summary(span: Span) -> str:
    """What the span did, in a line beside its name; empty where the name says it."""
    attributes = span.attributes
    if statement := first(attributes, STATEMENT):
        text = " ".join(str(statement).split())
        return text if len(text) <= _SUMMARY_LENGTH else text[:_SUMMARY_LENGTH] + "…"
    address = (_PATH, _URL) if span.kind == SERVER else (_URL, _PATH)
    for names in (*address, ("cache.key",), ("job.id",), ("messaging.message.id",)):
        if found := first(attributes, names):
            return str(found)[:_SUMMARY_LENGTH]
    return ""


def exception(span: Span) -> str | None:
    """Type and message of the exception that passed through, if one did."""
    for event in span.events:
        if event.name == "exception":
            kind = str(event.attributes.get("exception.type", "exception")).rpartition(".")[2]
            output = str(event.attributes.get("exception.message", ""))
            return f"{kind}: {output}" if output else kind
    return None
