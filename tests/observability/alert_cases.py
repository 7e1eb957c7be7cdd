"""For every alert: samples for which it fires, its description then, and samples for which not.

The cases of a further service are in `cases/<service>.py`.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

from tests.observability.case import Case, down, requests


def _durations(fast: str, every: str) -> dict[str, str]:
    where = 'job="api",handler="/api/v1/users/me",method="GET"'
    return {
        f'http_request_duration_seconds_bucket{{{where},le="0.25"}}': fast,
        f"http_request_duration_seconds_count{{{where}}}": every,
    }


def _delays(fast: str, every: str) -> dict[str, str]:
    where = 'job="worker",kind="email.send"'
    return {
        f'job_start_delay_seconds_bucket{{{where},le="1"}}': fast,
        f'job_start_delay_seconds_bucket{{{where},le="60"}}': every,
        f'job_start_delay_seconds_bucket{{{where},le="+Inf"}}': every,
    }


def _pool(job: str, pool: str, *, size: int, used: int) -> dict[str, str]:
    where = f'job="{job}",pool="{pool}"'
    return {f"pool_size{{{where}}}": f"{size}x30", f"pool_in_use{{{where}}}": f"{used}x30"}


API = [
    down("api"),
    Case(
        "ApiErrorBudgetBurnsFast",
        at="70m",
        fires=requests("api", "0+98x80", "0+2x80"),
        text="2% of the requests fail. At this rate the error budget of 30 days is used up within "
        "days.",
        # As many failures, but long ago: the short window has none.
        quiet=requests("api", "0+98x80", "0+4x30 120x50"),
    ),
    Case(
        "ApiErrorBudgetBurnsSlowly",
        at="1500m",
        fires=requests("api", "0+996x1600", "0+4x1600"),
        text="0.4% of the requests fail. The error budget will not last for 30 days.",
        quiet=requests("api", "0+9995x1600", "0+5x1600"),
    ),
    Case(
        "ApiLatencyBudgetBurnsFast",
        at="70m",
        fires=_durations("0+80x80", "0+100x80"),
        text="20% of the requests take over 250 ms. At this rate the latency budget of 30 days is "
        "used up within days.",
        quiet=_durations("0+99x80", "0+100x80"),
    ),
    Case(
        "ApiLatencyBudgetBurnsSlowly",
        at="1500m",
        fires=_durations("0+95x1600", "0+100x1600"),
        text="5% of the requests take over 250 ms. The latency budget will not last for 30 days.",
        quiet=_durations("0+995x1600", "0+1000x1600"),
    ),
    Case(
        "UsersUnreachableFromApi",
        at="15m",
        fires={
            'client_request_duration_seconds_count{job="api",peer="users",outcome="2xx"}': (
                "0+50x20"
            ),
            'client_request_duration_seconds_count{job="api",peer="users",outcome="timeout"}': (
                "0+50x20"
            ),
        },
        text="50% of the calls to users fail or time out.",
        quiet={
            'client_request_duration_seconds_count{job="api",peer="users",outcome="2xx"}': (
                "0+95x20"
            ),
            'client_request_duration_seconds_count{job="api",peer="users",outcome="error"}': (
                "0+5x20"
            ),
        },
    ),
    Case(
        "RateLimitsRefuseMany",
        at="30m",
        fires={'rate_limit_refused_total{job="api",policy="credentials"}': "0+600x40"},
        text="Policy credentials refuses 10 requests a second. Either this is an attack or the "
        "quota is too small.",
        labels={"policy": "credentials"},
        quiet={'rate_limit_refused_total{job="api",policy="credentials"}': "0+60x40"},
    ),
    Case(
        "RevocationsForgotten",
        at="20m",
        fires={'pool_exhausted_total{job="api",pool="revocations"}': "0+60x30"},
        text="600 revocations were dropped from memory. If Redis fails now, their tokens stay "
        "valid for their remaining minutes.",
        quiet={
            'pool_exhausted_total{job="api",pool="revocations"}': "60x30",
            'pool_exhausted_total{job="api",pool="event_streams"}': "0+60x30",
        },
    ),
]

USERS = [
    down("users"),
    Case(
        "UsersErrorRatioHigh",
        at="15m",
        fires=requests("users", "0+90x20", "0+10x20"),
        text="10% of the requests to users fail.",
        quiet=requests("users", "0+99x20", "0+1x20"),
    ),
    Case(
        "PasswordHashingSaturated",
        at="10m",
        fires={
            'pool_waiting{job="users",pool="argon2"}': "20x20",
            'pool_size{job="users",pool="argon2"}': "4x20",
        },
        text="5 passwords wait for each hashing thread. Either users needs more replicas or "
        "logins are under attack.",
        quiet={
            'pool_waiting{job="users",pool="argon2"}': "8x20",
            'pool_size{job="users",pool="argon2"}': "4x20",
        },
    ),
    Case(
        "PasswordHashingRefuses",
        at="10m",
        fires={'pool_exhausted_total{job="users",pool="argon2"}': "0+4x20"},
        text="20 logins or registrations were refused within 5 minutes because the queue of "
        "password hashing was full.",
        quiet={'pool_exhausted_total{job="users",pool="argon2"}': "7x20"},
    ),
    Case(
        "SigningKeyOld",
        at="70m",
        fires={'signing_key_age_seconds{job="users"}': "8640000x80"},
        text="The key is 100d 0h 0m 0s old. Rotate it by `twelvefold keys rotate`.",
        quiet={'signing_key_age_seconds{job="users"}': "604800x80"},
    ),
]

WORKER = [
    down("worker"),
    Case(
        "QueueAgeHigh",
        at="10m",
        # Two workers see the same table.
        fires={
            'jobs_queue_age_seconds{job="worker",queue="default",pod="a"}': "120x20",
            'jobs_queue_age_seconds{job="worker",queue="default",pod="b"}': "90x20",
        },
        text="The oldest due job of queue default has waited for 2m 0s.",
        labels={"queue": "default"},
        quiet={'jobs_queue_age_seconds{job="worker",queue="default"}': "120 5x20"},
    ),
    Case(
        "QueueStandsStill",
        at="10m",
        fires={'jobs_queue_age_seconds{job="worker",queue="default"}': "900x20"},
        text="The oldest due job of queue default has waited for 15m 0s. No worker claims it.",
        labels={"queue": "default"},
        quiet={'jobs_queue_age_seconds{job="worker",queue="default"}': "120x20"},
    ),
    Case(
        "JobsDead",
        at="10m",
        fires={
            'jobs_dead{job="worker",pod="a"}': "3x20",
            'jobs_dead{job="worker",pod="b"}': "3x20",
        },
        text="3 jobs are dead. List them by `twelvefold jobs list --status dead`, then retry or "
        "discard them.",
        quiet={'jobs_dead{job="worker"}': "0x20"},
    ),
    Case(
        "JobsFailOften",
        at="40m",
        fires={
            'jobs_finished_total{job="worker",kind="image.process",status="succeeded"}': "0+5x50",
            'jobs_finished_total{job="worker",kind="image.process",status="failed"}': "0+5x50",
        },
        text="50% of the runs of image.process fail.",
        labels={"kind": "image.process"},
        # Rejected input does not count as a failure.
        quiet={
            'jobs_finished_total{job="worker",kind="image.process",status="succeeded"}': "0+5x50",
            'jobs_finished_total{job="worker",kind="image.process",status="rejected"}': "0+5x50",
        },
    ),
    Case(
        "LeasesExpire",
        at="20m",
        fires={'jobs_leases_lost_total{job="worker",cause="reaped"}': "0+1x30"},
        text="15 leases expired within 15 minutes. Workers were killed, or lacked memory or CPU.",
        quiet={
            'jobs_leases_lost_total{job="worker",cause="reaped"}': "0x10 1x20",
            'jobs_leases_lost_total{job="worker",cause="fenced"}': "0+1x30",
        },
    ),
    Case(
        "OutboxLagHigh",
        at="25m",
        fires=_delays("0+50x30", "0+100x30"),
        text="5 % of the jobs start over 54.1s after they were due.",
        quiet=_delays("0+99x30", "0+100x30"),
    ),
    Case(
        "WorkerSlotsBusy",
        at="20m",
        fires=_pool("worker", "jobs", size=10, used=10),
        text="100% of the worker slots are in use. Add replicas if the queue grows.",
        quiet=_pool("worker", "jobs", size=10, used=5),
    ),
    Case(
        "MailsFail",
        at="40m",
        fires={
            'mails_sent_total{job="worker",outcome="sent"}': "0+5x50",
            'mails_sent_total{job="worker",outcome="failed"}': "0+5x50",
        },
        text="50% of the attempts to send an email fail.",
        quiet={
            'mails_sent_total{job="worker",outcome="sent"}': "0+5x50",
            'mails_sent_total{job="worker",outcome="rejected"}': "0+5x50",
        },
    ),
]


def _of_the_suite(case: Case) -> Case:
    """Return a case whose series have the label by which the platform's rules select."""
    label = 'app_kubernetes_io_part_of="twelvefold",job='
    fires, quiet = (
        {name.replace("job=", label): values for name, values in samples.items()}
        for samples in (case.fires, case.quiet)
    )
    return replace(case, fires=fires, quiet=quiet)


PLATFORM = [
    Case(
        "BackingServiceLost",
        at="5m",
        fires={
            'backing_service_up{job="api",name="redis",pod="a"}': "1x10",
            'backing_service_up{job="api",name="redis",pod="b"}': "0x10",
        },
        text="api cannot reach redis.",
        labels={"job": "api", "name": "redis"},
        quiet={'backing_service_up{job="api",name="redis"}': "1 0 1x10"},
    ),
    Case(
        "DependencyRefused",
        at="15m",
        fires={
            'dependency_refused_total{job="worker",name="mail",reason="unavailable"}': "0+60x20"
        },
        text="worker skips 1 calls a second to mail (unavailable).",
        labels={"job": "worker", "name": "mail", "reason": "unavailable"},
        quiet={'dependency_refused_total{job="worker",name="mail",reason="unavailable"}': "9x20"},
    ),
    Case(
        "PoolSaturated",
        at="15m",
        fires=_pool("api", "postgres", size=10, used=10),
        text="100% of the pool postgres in api is in use.",
        labels={"job": "api", "pool": "postgres"},
        quiet=_pool("api", "postgres", size=10, used=6),
    ),
    Case(
        "PoolExhausted",
        at="10m",
        fires={'pool_exhausted_total{job="api",pool="postgres"}': "0+6x20"},
        text="30 callers got no slot of the pool postgres in api within 5 minutes.",
        labels={"job": "api", "pool": "postgres"},
        quiet={'pool_exhausted_total{job="api",pool="postgres"}': "0x5 1x20"},
    ),
    Case(
        "PoolWaitsLong",
        at="20m",
        fires={
            'pool_wait_seconds_bucket{job="api",pool="postgres",le="0.1"}': "0+90x30",
            'pool_wait_seconds_bucket{job="api",pool="postgres",le="1"}': "0+100x30",
            'pool_wait_seconds_bucket{job="api",pool="postgres",le="+Inf"}': "0+100x30",
        },
        text="1 % of the callers wait over 910ms for the pool postgres in api.",
        labels={"job": "api", "pool": "postgres"},
        quiet={
            'pool_wait_seconds_bucket{job="api",pool="postgres",le="0.1"}': "0+100x30",
            'pool_wait_seconds_bucket{job="api",pool="postgres",le="1"}': "0+100x30",
            'pool_wait_seconds_bucket{job="api",pool="postgres",le="+Inf"}': "0+100x30",
        },
    ),
    Case(
        "RequestsRefused",
        at="15m",
        fires={'http_requests_refused_total{job="api",reason="concurrency"}': "0+60x20"},
        text="api refuses 1 requests a second (concurrency).",
        labels={"job": "api", "reason": "concurrency"},
        # A client's own errors do not count.
        quiet={'http_requests_refused_total{job="api",reason="body"}': "0+60x20"},
    ),
    Case(
        "EventLoopLags",
        at="20m",
        fires={
            'event_loop_lag_seconds_bucket{job="users",le="0.1"}': "0+540x30",
            'event_loop_lag_seconds_bucket{job="users",le="0.5"}': "0+600x30",
            'event_loop_lag_seconds_bucket{job="users",le="+Inf"}': "0+600x30",
        },
        text="In 1 % of the measurements the event loop of users is over 460ms late. Either the "
        "CPU is used up or code blocks the loop.",
        labels={"job": "users"},
        quiet={
            'event_loop_lag_seconds_bucket{job="users",le="0.1"}': "0+600x30",
            'event_loop_lag_seconds_bucket{job="users",le="0.5"}': "0+600x30",
            'event_loop_lag_seconds_bucket{job="users",le="+Inf"}': "0+600x30",
        },
    ),
    Case(
        "ProcessesRestart",
        at="16m",
        fires={'process_start_time_seconds{job="worker",pod="a"}': "1000+120x20"},
        text="Processes of worker started 15 times within 15 minutes.",
        labels={"job": "worker"},
        quiet={'process_start_time_seconds{job="worker",pod="a"}': "1000x10 2000x20"},
    ),
    Case(
        "FileDescriptorsRunOut",
        at="15m",
        fires={
            'process_open_fds{job="api",pod="a"}': "900x20",
            'process_max_fds{job="api",pod="a"}': "1000x20",
        },
        text="90% of the file descriptors of a are open.",
        labels={"job": "api", "pod": "a"},
        quiet={
            'process_open_fds{job="api",pod="a"}': "300x20",
            'process_max_fds{job="api",pod="a"}': "1000x20",
        },
    ),
    Case(
        "CacheUnavailable",
        at="15m",
        fires={
            'cache_requests_total{job="users",outcome="hit"}': "0+50x20",
            'cache_requests_total{job="users",outcome="unavailable"}': "0+50x20",
        },
        text="50% of the cache calls of users fail. Reads are slower and load PostgreSQL more.",
        labels={"job": "users"},
        quiet={
            'cache_requests_total{job="users",outcome="hit"}': "0+50x20",
            'cache_requests_total{job="users",outcome="miss"}': "0+50x20",
        },
    ),
    Case(
        "RateLimitsCountedLocally",
        at="20m",
        fires={'rate_limit_local_total{job="api"}': "0+60x30"},
        text="Redis is unavailable, so a client can use its quota once in each process.",
        quiet={'rate_limit_local_total{job="api"}': "9x30"},
    ),
    Case(
        "SpansLost",
        at="30m",
        fires={
            'telemetry_spans_total{job="api",outcome="sent"}': "0+60x40",
            'telemetry_spans_total{job="api",outcome="failed"}': "0+60x40",
        },
        text="api loses 1 spans a second. The collector is unavailable, slow or refusing.",
        labels={"job": "api"},
        quiet={
            'telemetry_spans_total{job="api",outcome="sent"}': "0+60x40",
            'telemetry_spans_total{job="api",outcome="failed"}': "9x40",
        },
    ),
    Case(
        "CertificateExpires",
        at="70m",
        fires={
            'certmanager_certificate_expiration_timestamp_seconds{namespace="istio",name="edge"}': (
                "869400x80"
            )
        },
        text="istio/edge expires in 10d 0h 20m 0s. cert-manager should have renewed it.",
        labels={"namespace": "istio", "name": "edge"},
        quiet={
            'certmanager_certificate_expiration_timestamp_seconds{namespace="istio",name="edge"}': (
                "5184000x80"
            )
        },
    ),
]

CASES: dict[str, list[Case]] = {
    "api": API,
    "users": USERS,
    "worker": WORKER,
    "platform": [_of_the_suite(case) for case in PLATFORM],
    **{
        path.stem: importlib.import_module(f"tests.observability.cases.{path.stem}").CASES
        for path in sorted((Path(__file__).parent / "cases").glob("*.py"))
    },
}
