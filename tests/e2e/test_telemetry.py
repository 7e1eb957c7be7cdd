"""One request, one trace, every hop, and no secret in any of it: over requests of every kind.

`make trace-audit` sends 5,000 requests instead of 300.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count

import httpx
import pytest
from tests.collector import Collector, Received
from tests.e2e.console_visits import EDGES, UNAVAILABLE, Sent, Visitor
from tests.e2e.planted_secrets import PlantedSecrets, logged, plant_secrets
from tests.running_suite import Suite, running_suite

REQUESTS = int(os.environ.get("AUDITED_REQUESTS", "300"))
AT_ONCE = 4
WELL_TRACED = 0.999
MAY_FAIL = 0.01  # on a machine that is busy with others
WITHIN = 120.0  # seconds for the last jobs and spans to arrive


class Audit:
    """What was sent, what arrived, and what of it does not fit."""

    def __init__(self, sent: Sequence[Sent], spans: Sequence[Received]) -> None:
        self.sent = sent
        self.traces: dict[str, list[Received]] = defaultdict(list)
        self.roots: dict[str, list[Received]] = defaultdict(list)
        for span in spans:
            self.traces[span.trace_id].append(span)
            if span.kind == "server" and span.service == "api" and not span.parent:
                self.roots[span.attributes["request_id"]].append(span)

    def fault(self, request: Sent) -> str | None:
        """Why the request's trace is not as the table says; None where it is."""
        roots = self.roots.get(request.request_id, [])
        if len(roots) != 1:
            return f"{len(roots)} server spans at the edge"
        (root,) = roots
        if root.name != request.operation:
            return f"is named {root.name}"
        trace = self.traces[root.trace_id]
        by_id = {span.span_id: span for span in trace}
        beginnings = [span for span in trace if not span.parent]
        if beginnings != [root]:
            return f"begins {len(beginnings)} times"
        if lost := [span.name for span in trace if span.parent and span.parent not in by_id]:
            return f"not connected: {lost}"
        if request.status >= UNAVAILABLE:
            return None  # one trace, of what did not come about
        found = {
            (_named(by_id[span.parent]), _named(span)) for span in trace if span.parent in by_id
        }
        missing = [edge for edge in EDGES[request.operation] if edge not in found]
        if missing:
            return f"lacks {missing}"
        return _fault_of_jobs(trace, by_id)

    def faults(self) -> list[tuple[Sent, str]]:
        return [(one, why) for one in self.sent if (why := self.fault(one)) is not None]


def _named(span: Received) -> str:
    return f"{span.service} {span.name}"


def _fault_of_jobs(trace: Sequence[Received], by_id: dict[str, Received]) -> str | None:
    """A job is a child of the span that enqueued it, and links to it."""
    for job in trace:
        if job.kind != "consumer":
            continue
        enqueued = by_id[job.parent]
        if enqueued.kind != "producer" or job.links != ((job.trace_id, enqueued.span_id),):
            return f"{job.name} does not link to what enqueued it"
    return None


@dataclass(frozen=True, slots=True)
class Audited:
    """The requests to a suite, what it reported, and the suite, which still runs."""

    audit: Audit
    suite: Suite
    planted: PlantedSecrets
    collector: Collector


@pytest.fixture(scope="module")
async def audited(tmp_path_factory):
    async with Collector() as collector:
        with ExitStack() as stack:
            running = running_suite(
                tmp_path_factory.mktemp("audited"),
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
                OTEL_TRACES_SAMPLER_ARG="1",
                # On a busy machine everything is slow, not away.
                REDIS_TIMEOUT="5",
                INTERNAL_TIMEOUT="20",
            )
            suite = await asyncio.to_thread(stack.enter_context, running)
            planted = await plant_secrets(suite)
            sent = await _visited(suite)
            with suppress(TimeoutError):  # the tests report what is missing
                await collector.until(lambda _: not _worst(sent, collector), within=WITHIN)
            yield Audited(Audit(sent, collector.spans), suite, planted, collector)


def _worst(sent: Sequence[Sent], collector: Collector) -> list[tuple[Sent, str]]:
    # Asked at every batch: the last requests, whose spans come last, are looked at first.
    audit = Audit(sent[-50:], collector.spans)
    return audit.faults() or Audit(sent, collector.spans).faults()


async def _visited(suite: Suite) -> list[Sent]:
    sent: list[Sent] = []
    numbers = count()

    async def visitors() -> None:
        while len(sent) < REQUESTS:
            async with httpx.AsyncClient(base_url=suite.url, timeout=60) as client:
                uploads = next(numbers) % 5 == 0
                await Visitor(client, sent, lambda: len(sent) >= REQUESTS, uploads).visit()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(visitors())
    return sent


@pytest.mark.timeout(3600)
async def test_every_request_is_one_connected_trace_with_the_expected_edges(audited):
    audit = audited.audit
    assert len(audit.sent) >= REQUESTS
    assert {one.operation for one in audit.sent} == set(EDGES), "an operation was not requested"
    refused = [one for one in audit.sent if one.status >= 500]
    assert len(refused) <= len(audit.sent) * MAY_FAIL, refused[:10]
    faults = audit.faults()
    output = "\n".join(f"{one.operation} {one.request_id}: {why}" for one, why in faults[:20])
    assert len(faults) <= len(audit.sent) * (1 - WELL_TRACED), f"{len(faults)} faults\n{output}"


async def test_every_log_line_within_a_request_carries_its_trace(audited):
    audit = audited.audit
    trace_of = {
        one.request_id: audit.roots[one.request_id][0].trace_id
        for one in audit.sent
        if audit.roots.get(one.request_id)
    }
    seen: set[str] = set()
    for raw in logged(audited.suite).splitlines():
        line = json.loads(raw) if raw.startswith(b"{") else {}
        request = str(line.get("request_id"))
        if request in trace_of:
            assert line.get("trace_id") == trace_of[request], line
            assert len(line["span_id"]) == 16, line
            seen.add(request)
    assert seen == set(trace_of)


async def test_no_span_was_lost_on_the_way(audited):
    async with httpx.AsyncClient() as client:
        for service, url in audited.suite.management.items():
            exposed = (await client.get(f"{url}/metrics")).text
            assert 'telemetry_spans_total{outcome="sent"}' in exposed, service
            for outcome in ("failed", "dropped"):
                assert f'telemetry_spans_total{{outcome="{outcome}"}} 0.0' in exposed, service


async def _shown_by_the_console(client: httpx.AsyncClient, audited: Audited) -> dict[str, bytes]:
    """Everything that the console shows but for the caught mail, once it has the same spans."""
    console, _, token = audited.suite.command("console").strip().partition("/#token=")
    for batch in audited.collector.raw:
        sent = {"content-type": "application/x-protobuf"}
        response = await client.post(f"{console}/v1/traces", content=batch, headers=sent)
        assert response.status_code == 200, response.text
    pages = ["", "/api/stack", "/api/overview", "/api/routes", "/api/jobs", "/api/logs"]
    pages += ["/api/requests", "/api/metrics"]
    for request in audited.audit.sent[-3:]:
        pages.append(f"/api/traces/{audited.audit.roots[request.request_id][0].trace_id}")
    shown = {}
    for page in pages:
        found = await client.get(console + page, headers={"X-Console-Token": token})
        assert found.status_code == 200, (page, found.text)
        shown[f"console {page}"] = found.content
    return shown


async def test_no_secret_is_in_a_span_a_log_line_a_metric_an_error_or_the_console(audited):
    planted = audited.planted
    assert len(planted.secrets) > 15
    outputs = {
        "spans": b"".join(audited.collector.raw),
        "logs": logged(audited.suite),
        "answers": b"\n".join(planted.answers),
    }
    async with httpx.AsyncClient() as client:
        for service, url in audited.suite.management.items():
            for page in ("/metrics", "/info", "/readyz"):
                outputs[f"{service}{page}"] = (await client.get(url + page)).content
        outputs |= await _shown_by_the_console(client, audited)
    assert planted.request_id.encode() in outputs["spans"], "the planted requests were not recorded"
    assert planted.request_id.encode() in outputs["logs"]
    assert planted.found_in(outputs) == []


async def test_the_log_level_of_a_running_process_changes_from_its_own_machine(audited):
    url = audited.suite.management["users"]
    output = audited.suite.command("log-level", "warning", "--url", url)
    assert output.startswith("WARNING until ")
    assert output.strip().endswith(", then INFO")
    assert audited.suite.command("log-level", "--url", url).startswith("WARNING until ")
    assert audited.suite.command("log-level", "--restore", "--url", url).strip() == "INFO"


def test_a_secret_that_is_told_would_be_found():
    planted = PlantedSecrets(secrets={"a password": "hunter2 is long"})
    assert planted.found_in({"logs": b"x hunter2 is long y"}) == [("a password", "logs")]
    assert planted.found_in({"logs": b'{"p":"hunter2%20is%20long"}'}) == [("a password", "logs")]
    assert planted.found_in({"logs": b"nothing"}) == []
