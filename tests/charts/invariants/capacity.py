"""What pods may take: memory, processors, connections, and how many of them there may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tests.charts.rendering import Values, Workload, World, is_hook, merged, read, title

from .lifecycle import defaults
from .registry import COMMON, Fault, invariant

_MIB = 2**20
BASE_MEMORY = 160 * _MIB  # a process with its libraries, some connections and buffers
_UNITS = {"Ki": 2**10, "Mi": _MIB, "Gi": 2**30}


def size(quantity: str) -> int:
    """Bytes of a Kubernetes quantity."""
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


@invariant(
    Fault(
        "charts/common/values.yaml",
        "    # A pod that exceeds it is killed.\n    memory: 512Mi\n",
        "",
    ),
    Fault(
        "charts/common/values.yaml",
        "    # CPU reserved for a pod.\n    cpu: 250m\n",
        "",
    ),
    Fault(f"{COMMON}/_migration.tpl", "limits: {memory: 256Mi,", "limits: {cpu: 1, memory: 256Mi,"),
)
def every_container_asks_for_what_it_needs_and_only_memory_is_limited(
    world: World,
) -> Iterator[str]:
    for workload in world.workloads():
        for container in workload.containers:
            resources = container.get("resources", {})
            requests, limits = resources.get("requests", {}), resources.get("limits", {})
            if missing := {"cpu", "memory", "ephemeral-storage"} - set(requests):
                yield f"{workload} {container['name']} asks for no {sorted(missing)}"
            if "memory" not in limits or "cpu" in limits:
                yield f"{workload} {container['name']} is limited to {limits}"


@invariant(
    Fault("charts/worker/values.yaml", "memory: 1280Mi", "memory: 512Mi"),
    Fault("charts/users/values.yaml", "'{{ add 320", "'{{ add 64"),
)
def the_memory_limit_holds_what_the_settings_let_a_process_take(world: World) -> Iterator[str]:
    for workload in world.services():
        yield from _short_of_memory(workload, world.variables(workload))


def _short_of_memory(workload: Workload, variables: Mapping[str, str]) -> Iterator[str]:
    settings = defaults(workload.service)
    value = {
        name: int(variables.get(name.upper(), getattr(settings, name, 0)))
        for name in (
            "argon2_memory",
            "argon2_threads",
            "image_memory_bytes",
            "worker_image_concurrency",
        )
    }
    needed = (
        BASE_MEMORY
        + value["argon2_memory"] * 1024 * value["argon2_threads"]
        + value["image_memory_bytes"] * value["worker_image_concurrency"]
    )
    limit = size(workload.containers[0]["resources"]["limits"]["memory"])
    if limit < needed:
        yield f"{workload} may need {needed // _MIB} MiB and has {limit // _MIB}"


@invariant(
    Fault(
        "charts/users/values.yaml",
        "'{{ add 320 (div (mul (int .Values.config.ARGON2_THREADS) "
        "(int .Values.config.ARGON2_MEMORY)) 1024) }}Mi'",
        "576Mi",
    ),
    Fault(
        f"{COMMON}/_deployment.tpl", "tpl (toYaml .Values.resources) .", "toYaml .Values.resources"
    ),
)
def the_memory_limit_follows_the_number_of_password_hashes(world: World) -> Iterator[str]:
    more = {"ARGON2_THREADS": "16", "ARGON2_MEMORY": 131_072}
    for release, _ in world.rendered:
        if release.chart == "charts/users":
            raised = replace(release, values=merged(release.values, {"config": more}))
            for one in raised.render(world.root):
                if one["kind"] == "Deployment":
                    workload = Workload(one, one["spec"]["template"])
                    if "{{" in workload.containers[0]["resources"]["limits"]["memory"]:
                        yield f"{workload} is limited to a template"
                    else:
                        yield from _short_of_memory(
                            workload, {name: str(value) for name, value in more.items()}
                        )


def connections(world: World) -> int:
    """What all pods of both releases of each service may open to PostgreSQL at a time."""
    pools = 0
    for workload in world.services():
        variables, settings = world.variables(workload), defaults(workload.service)
        size_of_pool = int(variables.get("DATABASE_POOL_SIZE", settings.database_pool_size))
        pools += world.most(workload) * size_of_pool
    # A migration has one connection, and no pool.
    return pools + len(world.of("Job"))


@invariant(
    Fault("charts/api/values.yaml", 'DATABASE_POOL_SIZE: "6"', 'DATABASE_POOL_SIZE: "20"'),
    Fault("charts/worker/values-production.yaml", "maxReplicas: 20", "maxReplicas: 60"),
    Fault("charts/api/values.yaml", '  DATABASE_POOL_SIZE: "6"\n', ""),
)
def all_pods_together_stay_within_the_stated_budget_of_connections(world: World) -> Iterator[str]:
    budget = _platform(world)["database"]["connections"]
    if (needed := connections(world)) > budget:
        yield f"pods may open {needed} connections, the budget is {budget}"


def _platform(world: World) -> Values:
    """The values of charts/platform: the budget is in no object."""
    (release,) = [one for one, _ in world.rendered if one.chart == "charts/platform"]
    return merged(read(world.root / "charts/platform/values.yaml"), release.in_force(world.root))


@invariant(
    Fault("charts/platform/values.yaml", "    pods: ", "    pods: 60 # "),
    Fault("charts/platform/values.yaml", "    requests.memory: ", "    requests.memory: 9Gi # "),
)
def the_quota_of_the_namespace_holds_every_pod_at_its_most(world: World) -> Iterator[str]:
    (quota,) = world.of("ResourceQuota")
    hard = quota["spec"]["hard"]
    sidecar = 128 * _MIB  # what Istio asks for by default
    pods = memory = 0
    for workload in world.workloads():
        if workload.namespace != quota["metadata"]["namespace"]:
            continue
        count = 1 if is_hook(workload.owner) else world.most(workload)
        requested = size(workload.containers[0]["resources"]["requests"]["memory"])
        pods += count
        memory += count * (requested + (0 if is_hook(workload.owner) else sidecar))
    if pods > int(hard["pods"]):
        yield f"{title(quota)} admits {hard['pods']} pods of {pods}"
    if memory > size(hard["requests.memory"]):
        yield f"{title(quota)} grants {hard['requests.memory']} of {memory >> 30} GiB"
