"""KEDA adds pods with the load and takes them away again, and nothing is lost for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.cluster import prometheus
from tests.cluster.clients import ClientPool
from tests.cluster.cluster import until
from tests.cluster.deployment import Deployment
from tests.cluster.load import Load
from tests.cluster.scaling import QUICK, missing_keda, scaler_figures, values

MOST = 3  # pods
BUSY, IDLE = 24, 3  # requests a second
PER_POD = 8  # requests a second
BACKLOG = 3000  # due jobs while there is a load
AGE = 5  # seconds that the oldest due job may wait
_TIMEOUT = 420.0  # seconds until Prometheus has found the pods, and KEDA has acted on their figures

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def controllers(deployment: Deployment) -> Deployment:
    if reason := missing_keda() or prometheus.missing():
        pytest.skip(reason)
    return deployment


def _scale(deployment: Deployment, service: str, **more: object) -> None:
    """One pod of the service, which may become three by KEDA."""
    given = {
        "monitoring.enabled": True,
        "keda.enabled": True,
        "keda.serverAddress": prometheus.server_address(),
        "autoscaling.minReplicas": 1,
        "autoscaling.maxReplicas": MOST,
        "autoscaling.behavior": QUICK,
        **more,
    }
    deployment.service(service, *values(**given))
    until(lambda: deployment.ready(service) == 1, "it begins with one pod", _TIMEOUT)


@pytest.fixture
def api(controllers: Deployment) -> Iterator[Deployment]:
    # By the processor too, at so much that requests decide.
    _scale(
        controllers,
        "api",
        **{"keda.requestsPerSecond": PER_POD, "resources.requests.cpu": "250m"},
    )
    yield controllers
    controllers.service("api")


@pytest.fixture
def worker(controllers: Deployment) -> Iterator[Deployment]:
    # By the age of the queue alone: short jobs on a busy node take any processor that there is.
    _scale(
        controllers,
        "worker",
        **{"autoscaling.cpu": 0, "keda.queueAge": AGE, "config.WORKER_CONCURRENCY": "1"},
    )
    yield controllers
    controllers.service("worker")


def test_pods_of_api_follow_its_requests_and_no_request_fails(
    api: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    with Load(clients, rate=BUSY) as busy:
        began = time.monotonic()
        until(lambda: api.ready("api") == MOST, f"{MOST} pods are ready", _TIMEOUT)
        up, figures = time.monotonic() - began, scaler_figures("api")
        busy.run(seconds=15)
    with Load(clients, rate=IDLE) as idle:
        began = time.monotonic()
        until(lambda: len(api.pods("api")) == 1, "one pod is left", _TIMEOUT)
        down = time.monotonic() - began
        idle.run(seconds=10)
    note(f"KEDA api 1 -> {MOST} in {up:.0f} s ({figures}): {busy.result}")
    note(f"KEDA api {MOST} -> 1 in {down:.0f} s: {idle.result}")

    assert busy.result.failures == [], busy.result.summary()
    assert idle.result.failures == [], idle.result.summary()


def test_pods_of_worker_follow_the_age_of_the_queue_and_every_job_succeeds(
    worker: Deployment, note: Callable[[str], None]
) -> None:
    began = time.monotonic()

    def scaled_up() -> bool:
        _keep_due(worker, BACKLOG)
        return worker.ready("worker") == MOST

    until(scaled_up, f"{MOST} pods are ready", _TIMEOUT)
    up, figures = time.monotonic() - began, scaler_figures("worker")
    began = time.monotonic()
    until(lambda: len(worker.pods("worker")) == 1, "one pod is left", _TIMEOUT)
    down = time.monotonic() - began
    until(lambda: _jobs(worker, "status IN ('queued', 'running', 'failed')") == 0, "all ended", 120)
    done, crashes = _jobs(worker, "status = 'succeeded'"), _jobs(worker, "crashes > 0")
    note(f"KEDA worker 1 -> {MOST} in {up:.0f} s ({figures}), {MOST} -> 1 in {down:.0f} s")
    note(f"KEDA worker: {done} of {_jobs(worker, 'true')} jobs succeeded, {crashes} taken over")

    assert done == _jobs(worker, "true")
    assert crashes == 0


_OURS = "unique_key LIKE 'scaling %' AND created_at > now() - interval '20 minutes'"


def _jobs(deployment: Deployment, condition: str) -> int:
    return int(deployment.sql(f"SELECT count(*) FROM jobs.jobs WHERE {_OURS} AND {condition}"))


def _keep_due(deployment: Deployment, count: int) -> None:
    """Adds jobs until so many are due; each evicts an entry that the cache does not have."""
    deployment.sql(
        "INSERT INTO jobs.jobs (id, kind, payload, unique_key)"
        " SELECT gen_random_uuid(), 'cache.evict',"
        " jsonb_build_object('key', 'scaling', 'version', 1),"
        f" 'scaling ' || gen_random_uuid() FROM generate_series(1, {count}"
        " - (SELECT count(*) FROM jobs.jobs WHERE status = 'queued'))"
    )
