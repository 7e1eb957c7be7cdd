"""The Grafana dashboards, built in typed Python and written as the JSON that the charts ship.

    python -m tests.observability.dashboards [--check]

By Grafana's own Foundation SDK, so that a field that Grafana does not know cannot be written.
"""

from __future__ import annotations

import sys

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Series
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import VariableRefresh
from tests.observability.panels import (
    ANY,
    EVERY,
    LATENCY,
    ONE,
    PUBLIC,
    REQUESTS,
    SOURCE,
    board,
    faults,
    filled,
    per_second,
    quantile,
    series,
    stat,
    used,
)
from tests.observability.rules import ROOT

FOLDER = ROOT / "charts/platform/files/dashboards"
WORKERS = 'job="worker"'
LATE = ((60, "orange"), (600, "red"))  # seconds that a job may be overdue
LAG = "event_loop_lag_seconds"
CALLS = "client_request_duration_seconds"


def overview() -> Dashboard:
    """What one looks at first: all services side by side."""
    failed = f'sum(rate({REQUESTS}{{{PUBLIC},status=~"5.."}}[{EVERY}]))'
    every = f"sum(rate({REQUESTS}{{{PUBLIC}}}[{EVERY}]))"
    lost = f"count(backing_service_up{{{ANY}}} == 0) or vector(0)"
    slow = ((0.25, "orange"), (1, "red"))
    bad = ((0.001, "orange"), (0.01, "red"))
    memory = f"max by (job) (process_resident_memory_bytes{{{ANY}}})"
    up = f"min by (job, name) (backing_service_up{{{ANY}}})"
    refused = per_second("dependency_refused_total", ANY, "name, reason")
    cache = per_second("cache_requests_total", ANY, "outcome")
    return filled(
        board("overview", "overview", "All services at a glance."),
        {
            "": [
                stat("Requests", every, transaction="reqps"),
                stat("Faults", f"{failed} / {every}", transaction="percentunit", limits=bad),
                stat(
                    "99th percentile", quantile(0.99, LATENCY, PUBLIC), transaction="s", limits=slow
                ),
                stat(
                    "Oldest job",
                    f"max(jobs_queue_age_seconds{{{ANY}}})",
                    transaction="s",
                    limits=LATE,
                ),
                stat("Dead jobs", f"max(jobs_dead{{{ANY}}})", limits=((1, "red"),)),
                stat("Backing services lost", lost, limits=((1, "red"),)),
            ],
            "Requests": [
                series("Rate", (per_second(REQUESTS, ANY, "job"), "{{job}}"), transaction="reqps"),
                series("Faults", (faults(ANY, "job"), "{{job}}"), transaction="percentunit"),
                series(
                    "99th percentile",
                    (quantile(0.99, LATENCY, ANY, "job"), "{{job}}"),
                    transaction="s",
                ),
            ],
            "Saturation": [
                series(
                    "Pools in use",
                    (used(ANY, "job, pool"), "{{job}} {{pool}}"),
                    transaction="percentunit",
                ),
                series(
                    "Event loop lag", (quantile(0.99, LAG, ANY, "job"), "{{job}}"), transaction="s"
                ),
                series("Memory of the largest process", (memory, "{{job}}"), transaction="bytes"),
            ],
            "What stands behind": [
                series("Backing services that answer", (up, "{{job}} {{name}}")),
                series("Cache by outcome", (cache, "{{outcome}}"), transaction="ops"),
                series("Calls not made", (refused, "{{name}} {{reason}}"), transaction="ops"),
            ],
        },
    )


def service() -> Dashboard:
    """One service in depth: rate, errors, duration, and what it uses up."""
    choice = (
        QueryVariable("service")
        .label("Service")
        .datasource(SOURCE)
        .query("label_values(twelvefold_build_info, job)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    failed = per_second(REQUESTS, ONE + ',status=~"5.."', "handler, status")
    shares = ((quantile(share, LATENCY, ONE), f"{share:.0%}") for share in (0.5, 0.95, 0.99))
    by_route = quantile(0.99, LATENCY, ONE, "handler")
    refused = per_second("http_requests_refused_total", ONE, "reason")
    limited = per_second("rate_limit_refused_total", ONE, "policy")
    local = f"sum(rate(rate_limit_local_total{{{ONE}}}[{EVERY}]))"
    waiting = f"sum by (pool) (pool_waiting{{{ONE}}})"
    none_left = per_second("pool_exhausted_total", ONE, "pool")
    age = f"time() - process_start_time_seconds{{{ONE}}}"
    sampled = "Until the answer begins. A dot is a sampled request: open its trace."
    return filled(
        board("service", "service", "One service: requests, and what it uses up.").with_variable(
            choice
        ),
        {
            "Requests": [
                series(
                    "By route",
                    (per_second(REQUESTS, ONE, "handler"), "{{handler}}"),
                    transaction="reqps",
                ),
                series("Faults by route", (failed, "{{status}} {{handler}}"), transaction="reqps"),
                series(
                    "By status",
                    (per_second(REQUESTS, ONE, "status"), "{{status}}"),
                    transaction="reqps",
                ),
                series("Duration", *shares, transaction="s", about=sampled),
                series("99th percentile by route", (by_route, "{{handler}}"), transaction="s"),
                series(
                    "Refused and limited",
                    (refused, "{{reason}}"),
                    (limited, "quota {{policy}}"),
                    (local, "counted locally"),
                    transaction="reqps",
                ),
            ],
            "Calls": [
                series(
                    "To other services",
                    (per_second(f"{CALLS}_count", ONE, "peer, outcome"), "{{peer}} {{outcome}}"),
                    transaction="reqps",
                ),
                series(
                    "Their 99th percentile",
                    (quantile(0.99, CALLS, ONE, "peer"), "{{peer}}"),
                    transaction="s",
                ),
                series(
                    "Cache by outcome",
                    (per_second("cache_requests_total", ONE, "outcome"), "{{outcome}}"),
                    transaction="ops",
                ),
            ],
            "Use": [
                series("Pools in use", (used(ONE, "pool"), "{{pool}}"), transaction="percentunit"),
                series("Waiting", (waiting, "{{pool}}"), (none_left, "none left: {{pool}}")),
                series(
                    "Waited, 99th percentile",
                    (quantile(0.99, "pool_wait_seconds", ONE, "pool"), "{{pool}}"),
                    transaction="s",
                ),
            ],
            "Processes": [
                series(
                    "Processor",
                    (f"rate(process_cpu_seconds_total{{{ONE}}}[{EVERY}])", "{{pod}}"),
                    transaction="percentunit",
                ),
                series(
                    "Memory",
                    (f"process_resident_memory_bytes{{{ONE}}}", "{{pod}}"),
                    transaction="bytes",
                ),
                series(
                    "Event loop lag", (quantile(0.99, LAG, ONE, "pod"), "{{pod}}"), transaction="s"
                ),
                series("Open file descriptors", (f"process_open_fds{{{ONE}}}", "{{pod}}")),
                series("Age", (age, "{{pod}}"), transaction="s"),
                series(
                    "Spans",
                    (per_second("telemetry_spans_total", ONE, "outcome"), "{{outcome}}"),
                    transaction="ops",
                ),
            ],
        },
    )


def jobs() -> Dashboard:
    """Durable jobs: how many, how late, how often they fail."""
    slots = f'{{{WORKERS},pool="jobs"}}'
    expired = f'sum(increase(jobs_leases_lost_total{{{WORKERS},cause="reaped"}}[$__range]))'
    ended = per_second("jobs_finished_total", WORKERS, "kind, status")
    still_open = f"max by (kind, status) (jobs_open{{{WORKERS}}})"
    oldest = f"jobs_queue_age_seconds{{{WORKERS}}}"
    attempts = per_second("job_attempts_sum", WORKERS, "kind")
    done = per_second("job_attempts_count", WORKERS, "kind")
    delay = quantile(0.95, "job_start_delay_seconds", WORKERS, "kind")
    outbox = "From the commit of a job to its start: the lag of the outbox."
    duration = quantile(0.95, "job_duration_seconds", WORKERS, "kind")
    mails = per_second("mails_sent_total", WORKERS, "outcome")
    busy = f"sum(pool_in_use{slots}) / sum(pool_size{slots})"
    return filled(
        board("jobs", "jobs", "Durable jobs: state, delay, failures, workers."),
        {
            "": [
                stat("Due", f"max(jobs_due{{{WORKERS}}})"),
                stat("Oldest due", f"max({oldest})", transaction="s", limits=LATE),
                stat("Running", f"sum(jobs_running{{{WORKERS}}})"),
                stat("Dead", f"max(jobs_dead{{{WORKERS}}})", limits=((1, "red"),)),
                stat("Slots in use", busy, transaction="percentunit", limits=((0.9, "orange"),)),
                stat("Leases expired", expired, limits=((1, "orange"),)),
            ],
            "Through the queue": [
                series(
                    "Inserted",
                    (per_second("jobs_enqueued_total", ANY, "kind"), "{{kind}}"),
                    transaction="ops",
                ),
                series("Ended", (ended, "{{kind}} {{status}}"), transaction="ops"),
                series("Open, by state", (still_open, "{{kind}} {{status}}")),
            ],
            "Time": [
                series(
                    "Start delay, 95th percentile",
                    (delay, "{{kind}}"),
                    transaction="s",
                    about=outbox,
                ),
                series("Duration, 95th percentile", (duration, "{{kind}}"), transaction="s"),
                series(
                    "Oldest due job", (f"max by (queue) ({oldest})", "{{queue}}"), transaction="s"
                ),
            ],
            "Trouble": [
                series("Attempts a job, average", (f"{attempts} / {done}", "{{kind}}")),
                series(
                    "Leases lost",
                    (per_second("jobs_leases_lost_total", WORKERS, "cause"), "{{cause}}"),
                    transaction="ops",
                ),
                series(
                    "Rings and mails",
                    (per_second("jobs_wakeups_total", ANY, "outcome"), "wake-up {{outcome}}"),
                    (mails, "mail {{outcome}}"),
                    transaction="ops",
                ),
            ],
        },
    )


def objectives() -> Dashboard:
    """The public API's objectives and what is left of their budgets."""
    rows: dict[str, list[Series | Stat]] = {}
    for name, metric, budget in (("errors", "api_errors", 0.001), ("latency", "api_slow", 0.01)):
        left = f"1 - avg_over_time(slo:{metric}:ratio_rate5m[30d]) / {budget}"
        windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
        burn = [(f"slo:{metric}:ratio_rate{window} / {budget}", window) for window in windows]
        rows[f"Objective: {name}"] = [
            stat(
                f"Budget left: {name}",
                left,
                transaction="percentunit",
                wide=6,
                below="red",
                limits=((0, "orange"), (0.25, "green")),
                about="Of 30 days; below zero the objective is missed.",
            ),
            stat(
                f"Burn rate of an hour: {name}",
                burn[2][0],
                wide=6,
                limits=((1, "orange"), (14.4, "red")),
                about="1 uses the budget up in exactly 30 days.",
            ),
            series(f"Burn rate: {name}", *burn, wide=12),
        ]
    about = "99.9 % without a fault, 99 % within 250 ms, over 30 days."
    return filled(board("slo", "objectives", about), rows)


BOARDS = {"overview": overview, "service": service, "jobs": jobs, "slo": objectives}


def rendered() -> dict[str, str]:
    """The JSON of each dashboard, by file name."""
    return {
        f"{name}.json": JSONEncoder(sort_keys=True, indent=2).encode(build().build()) + "\n"
        for name, build in BOARDS.items()
    }


def main(*, check: bool) -> int:
    stale = []
    for name, content in rendered().items():
        path = FOLDER / name
        if path.exists() and path.read_text() == content:
            continue
        stale.append(name)
        if not check:
            path.write_text(content)
    if check and stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}: run make docs\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main(check="--check" in sys.argv[1:]))
