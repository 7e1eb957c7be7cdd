"""The Grafana dashboards, built in typed Python and written as the chart's JSON files.

Also writes the page of the docs that lists their panels.

    python -m tests.observability.dashboards [--check]

Built with Grafana's Foundation SDK, which admits no unknown fields.
"""

from __future__ import annotations

import sys

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Series
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import VariableRefresh
from tests.observability.dashboards_page import PAGE, render_page
from tests.observability.panels import (
    ALL_JOBS,
    INTERVAL,
    LATENCY,
    PUBLIC_ROUTES,
    REQUESTS,
    SELECTED,
    SOURCE,
    add_rows,
    board,
    error_ratio,
    per_second,
    quantile,
    series,
    stat,
    utilization,
)
from tests.observability.rules import ROOT

FOLDER = ROOT / "charts/platform/files/dashboards"
LATE = ((60, "orange"), (600, "red"))  # seconds that a job may be overdue
LAG = "event_loop_lag_seconds"
CALLS = "client_request_duration_seconds"


def overview() -> Dashboard:
    """All services side by side."""
    failed = f'sum(rate({REQUESTS}{{{PUBLIC_ROUTES},status=~"5.."}}[{INTERVAL}]))'
    every = f"sum(rate({REQUESTS}{{{PUBLIC_ROUTES}}}[{INTERVAL}]))"
    lost = f"count(backing_service_up{{{ALL_JOBS}}} == 0) or vector(0)"
    slow = ((0.25, "orange"), (1, "red"))
    bad = ((0.001, "orange"), (0.01, "red"))
    memory = f"max by (job) (process_resident_memory_bytes{{{ALL_JOBS}}})"
    up = f"min by (job, name) (backing_service_up{{{ALL_JOBS}}})"
    refused = per_second("dependency_refused_total", ALL_JOBS, "name, reason")
    cache = per_second("cache_requests_total", ALL_JOBS, "outcome")
    return add_rows(
        board("overview", "overview", "All services at a glance."),
        {
            "": [
                stat("Requests", every, unit="reqps"),
                stat("Errors", f"{failed} / {every}", unit="percentunit", limits=bad),
                stat(
                    "99th percentile", quantile(0.99, LATENCY, PUBLIC_ROUTES), unit="s", limits=slow
                ),
                stat(
                    "Oldest job",
                    f"max(jobs_queue_age_seconds{{{ALL_JOBS}}})",
                    unit="s",
                    limits=LATE,
                ),
                stat("Dead jobs", f"max(jobs_dead{{{ALL_JOBS}}})", limits=((1, "red"),)),
                stat("Backing services unavailable", lost, limits=((1, "red"),)),
            ],
            "Requests": [
                series("Rate", (per_second(REQUESTS, ALL_JOBS, "job"), "{{job}}"), unit="reqps"),
                series("Errors", (error_ratio(ALL_JOBS, "job"), "{{job}}"), unit="percentunit"),
                series(
                    "99th percentile",
                    (quantile(0.99, LATENCY, ALL_JOBS, "job"), "{{job}}"),
                    unit="s",
                ),
            ],
            "Saturation": [
                series(
                    "Pools in use",
                    (utilization(ALL_JOBS, "job, pool"), "{{job}} {{pool}}"),
                    unit="percentunit",
                ),
                series(
                    "Event loop lag", (quantile(0.99, LAG, ALL_JOBS, "job"), "{{job}}"), unit="s"
                ),
                series("Memory of the largest process", (memory, "{{job}}"), unit="bytes"),
            ],
            "Dependencies": [
                series("Backing services available", (up, "{{job}} {{name}}")),
                series("Cache by outcome", (cache, "{{outcome}}"), unit="ops"),
                series("Skipped calls", (refused, "{{name}} {{reason}}"), unit="ops"),
            ],
        },
    )


def service() -> Dashboard:
    """One service in depth: rate, errors, duration and utilization."""
    choice = (
        QueryVariable("service")
        .label("Service")
        .datasource(SOURCE)
        .query("label_values(twelvefold_build_info, job)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    failed = per_second(REQUESTS, SELECTED + ',status=~"5.."', "handler, status")
    shares = ((quantile(share, LATENCY, SELECTED), f"{share:.0%}") for share in (0.5, 0.95, 0.99))
    by_route = quantile(0.99, LATENCY, SELECTED, "handler")
    refused = per_second("http_requests_refused_total", SELECTED, "reason")
    limited = per_second("rate_limit_refused_total", SELECTED, "policy")
    local = f"sum(rate(rate_limit_local_total{{{SELECTED}}}[{INTERVAL}]))"
    waiting = f"sum by (pool) (pool_waiting{{{SELECTED}}})"
    timed_out = per_second("pool_exhausted_total", SELECTED, "pool")
    age = f"time() - process_start_time_seconds{{{SELECTED}}}"
    sampled = "Until the response begins. Each dot is a sampled request and links to its trace."
    return add_rows(
        board("service", "service", "One service: requests, calls and utilization.").with_variable(
            choice
        ),
        {
            "Requests": [
                series(
                    "By route",
                    (per_second(REQUESTS, SELECTED, "handler"), "{{handler}}"),
                    unit="reqps",
                ),
                series("Errors by route", (failed, "{{status}} {{handler}}"), unit="reqps"),
                series(
                    "By status",
                    (per_second(REQUESTS, SELECTED, "status"), "{{status}}"),
                    unit="reqps",
                ),
                series("Duration", *shares, unit="s", about=sampled),
                series("99th percentile by route", (by_route, "{{handler}}"), unit="s"),
                series(
                    "Refused and limited",
                    (refused, "{{reason}}"),
                    (limited, "quota {{policy}}"),
                    (local, "counted locally"),
                    unit="reqps",
                ),
            ],
            "Calls": [
                series(
                    "To other services",
                    (
                        per_second(f"{CALLS}_count", SELECTED, "peer, outcome"),
                        "{{peer}} {{outcome}}",
                    ),
                    unit="reqps",
                ),
                series(
                    "Their 99th percentile",
                    (quantile(0.99, CALLS, SELECTED, "peer"), "{{peer}}"),
                    unit="s",
                ),
                series(
                    "Cache by outcome",
                    (per_second("cache_requests_total", SELECTED, "outcome"), "{{outcome}}"),
                    unit="ops",
                ),
            ],
            "Pools": [
                series(
                    "Pools in use", (utilization(SELECTED, "pool"), "{{pool}}"), unit="percentunit"
                ),
                series("Waiting", (waiting, "{{pool}}"), (timed_out, "timed out: {{pool}}")),
                series(
                    "Wait, 99th percentile",
                    (quantile(0.99, "pool_wait_seconds", SELECTED, "pool"), "{{pool}}"),
                    unit="s",
                ),
            ],
            "Processes": [
                series(
                    "CPU",
                    (f"rate(process_cpu_seconds_total{{{SELECTED}}}[{INTERVAL}])", "{{pod}}"),
                    unit="percentunit",
                ),
                series(
                    "Memory",
                    (f"process_resident_memory_bytes{{{SELECTED}}}", "{{pod}}"),
                    unit="bytes",
                ),
                series(
                    "Event loop lag", (quantile(0.99, LAG, SELECTED, "pod"), "{{pod}}"), unit="s"
                ),
                series("Open file descriptors", (f"process_open_fds{{{SELECTED}}}", "{{pod}}")),
                series("Age", (age, "{{pod}}"), unit="s"),
                series(
                    "Spans",
                    (per_second("telemetry_spans_total", SELECTED, "outcome"), "{{outcome}}"),
                    unit="ops",
                ),
            ],
        },
    )


def jobs() -> Dashboard:
    """Durable jobs: how many, how late, how often they fail."""
    slots = f'{{{ALL_JOBS},pool="jobs"}}'
    expired = f'sum(increase(jobs_leases_lost_total{{{ALL_JOBS},cause="reaped"}}[$__range]))'
    ended = per_second("jobs_finished_total", ALL_JOBS, "kind, status")
    still_open = f"max by (kind, status) (jobs_open{{{ALL_JOBS}}})"
    oldest = f"jobs_queue_age_seconds{{{ALL_JOBS}}}"
    attempts = per_second("job_attempts_sum", ALL_JOBS, "kind")
    done = per_second("job_attempts_count", ALL_JOBS, "kind")
    delay = quantile(0.95, "job_start_delay_seconds", ALL_JOBS, "kind")
    outbox = "From the time when a job is due to its start: the delay of the outbox."
    duration = quantile(0.95, "job_duration_seconds", ALL_JOBS, "kind")
    mails = per_second("mails_sent_total", ALL_JOBS, "outcome")
    busy = f"sum(pool_in_use{slots}) / sum(pool_size{slots})"
    return add_rows(
        board("jobs", "jobs", "Durable jobs: state, delay, failures, workers."),
        {
            "": [
                stat("Due", f"max(jobs_due{{{ALL_JOBS}}})"),
                stat("Oldest due", f"max({oldest})", unit="s", limits=LATE),
                stat("Running", f"sum(jobs_running{{{ALL_JOBS}}})"),
                stat("Dead", f"max(jobs_dead{{{ALL_JOBS}}})", limits=((1, "red"),)),
                stat("Slots in use", busy, unit="percentunit", limits=((0.9, "orange"),)),
                stat("Leases expired", expired, limits=((1, "orange"),)),
            ],
            "Throughput": [
                series(
                    "Inserted",
                    (per_second("jobs_enqueued_total", ALL_JOBS, "kind"), "{{kind}}"),
                    unit="ops",
                ),
                series("Ended", (ended, "{{kind}} {{status}}"), unit="ops"),
                series("Open, by state", (still_open, "{{kind}} {{status}}")),
            ],
            "Time": [
                series(
                    "Start delay, 95th percentile",
                    (delay, "{{kind}}"),
                    unit="s",
                    about=outbox,
                ),
                series("Duration, 95th percentile", (duration, "{{kind}}"), unit="s"),
                series("Oldest due job", (f"max by (queue) ({oldest})", "{{queue}}"), unit="s"),
            ],
            "Failures": [
                series("Attempts per job, average", (f"{attempts} / {done}", "{{kind}}")),
                series(
                    "Leases lost",
                    (per_second("jobs_leases_lost_total", ALL_JOBS, "cause"), "{{cause}}"),
                    unit="ops",
                ),
                series(
                    "Wake-ups and emails",
                    (per_second("jobs_wakeups_total", ALL_JOBS, "outcome"), "wake-up {{outcome}}"),
                    (mails, "email {{outcome}}"),
                    unit="ops",
                ),
            ],
        },
    )


def objectives() -> Dashboard:
    """The public API's objectives and the rest of their budgets."""
    rows: dict[str, list[Series | Stat]] = {}
    for name, metric, budget in (("errors", "api_errors", 0.001), ("latency", "api_slow", 0.01)):
        left = f"1 - avg_over_time(slo:{metric}:ratio_rate5m[30d]) / {budget}"
        windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
        burn = [(f"slo:{metric}:ratio_rate{window} / {budget}", window) for window in windows]
        rows[f"Objective: {name}"] = [
            stat(
                f"Remaining budget: {name}",
                left,
                unit="percentunit",
                width=6,
                below="red",
                limits=((0, "orange"), (0.25, "green")),
                about="Over 30 days. Below zero the objective is missed.",
            ),
            stat(
                f"Burn rate of an hour: {name}",
                burn[2][0],
                width=6,
                limits=((1, "orange"), (14.4, "red")),
                about="A rate of 1 uses up the budget in exactly 30 days.",
            ),
            series(f"Burn rate: {name}", *burn, width=12),
        ]
    about = "99.9 % without an error and 99 % within 250 ms, over 30 days."
    return add_rows(board("slo", "objectives", about), rows)


BOARDS = {"overview": overview, "service": service, "jobs": jobs, "slo": objectives}


def render() -> dict[str, str]:
    """Return the JSON of each dashboard by its file name."""
    return {
        f"{name}.json": JSONEncoder(sort_keys=True, indent=2).encode(build().build()) + "\n"
        for name, build in BOARDS.items()
    }


def main(*, check: bool) -> int:
    stale = []
    dashboards = render()
    files = {FOLDER / name: content for name, content in dashboards.items()}
    for path, content in {**files, PAGE: render_page(dashboards)}.items():
        if path.exists() and path.read_text() == content:
            continue
        stale.append(path.name)
        if not check:
            path.write_text(content)
    if check and stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}: run make docs\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main(check="--check" in sys.argv[1:]))
