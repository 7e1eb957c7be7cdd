"""Environment variables: those of the charts are those that the settings classes read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from unittest import mock

from tests.charts.rendering import NAMESPACE, Workload, World, title

from twelvefold.security.keys import KeySet
from twelvefold.service.installed import installed_services
from twelvefold.settings import (
    EnvironmentSettings,
    HttpSettings,
    MigrationSettings,
    SettingsError,
    TelemetrySettings,
    load,
)

from .registry import COMMON, Fault, invariant

_KEYS = KeySet.generate().to_json()
_STRONG = "c0ffee1234567890abcdefghijklmnop-of-the-test"
_POSTGRES = f"postgresql://role:{_STRONG}@db.example.internal/twelvefold?sslmode=verify-full"
# What a Secret may hold, by setting; strong enough for production.
SECRETS: Mapping[str, str] = {
    "DATABASE_URL": _POSTGRES,
    "MIGRATION_DATABASE_URL": _POSTGRES,
    "REDIS_URL": f"rediss://:{_STRONG}@redis.example.internal:6379/0",
    "JWT_SIGNING_KEYS": _KEYS,
    "SMTP_URL": "smtp+starttls://smtp.example.internal:587",
    "STRIPE_API_KEY": "sk_live_" + _STRONG,
}


def environment(world: World, workload: Workload) -> dict[str, str]:
    """Return the variables of the first container, with a value for each secret's file."""
    variables = world.variables(workload)
    for entry in workload.containers[0].get("env", []):
        name = entry["name"]
        if name.endswith("_FILE"):
            secret = name.removesuffix("_FILE")
            variables[secret] = SECRETS.get(secret, _STRONG)
        else:
            variables[name] = entry.get("value", "from the pod")
    return variables


def problems(settings: type[EnvironmentSettings], environment: Mapping[str, str]) -> list[str]:
    """What a process with exactly this environment would complain about at its start."""
    with mock.patch.dict(os.environ, environment, clear=True):
        try:
            load(settings)
        except SettingsError as error:
            return [str(problem) for problem in error.problems]
    return []


@invariant(
    Fault(f"{COMMON}/_configmap.tpl", '"INTERNAL_PORT"', '"INTERNAL_PROT"'),
    Fault("charts/api/values.yaml", "    SECRET_KEY: true", "    SECRET_KEY: false"),
    Fault("charts/users/values.yaml", "  WEB_URL: https", "  WEB_URL: http"),
    Fault(f"{COMMON}/_pod.tpl", "- name: INSTANCE_ID", "- name: INSTANCE"),
    Fault("charts/platform/values.yaml", "  LOG_FORMAT: json", "  HTTP_LOG: json"),
    Fault("charts/worker/values.yaml", "    SMTP_URL: true", "    SMTP_URL: false"),
)
def every_variable_is_a_setting_of_its_service_and_every_required_one_is_there(
    world: World,
) -> Iterator[str]:
    for workload in world.services():
        settings = installed_services()[workload.service].settings
        given = environment(world, workload)
        known = {name.upper() for name in settings.model_fields}
        if unknown := set(given) - known:
            yield f"{workload} has {sorted(unknown)}, which no setting is"
        required = {
            name.upper() for name, found in settings.model_fields.items() if found.is_required()
        }
        if missing := required - set(given):
            yield f"{workload} lacks {sorted(missing)}"
        for problem in problems(settings, given):
            yield f"{workload}: {problem}"


@invariant(
    Fault(
        f"{COMMON}/_migration.tpl", "- name: MIGRATION_DATABASE_URL_FILE", "- name: OWNER_URL_FILE"
    ),
    Fault(f"{COMMON}/_migration.tpl", '"SERVICE_VERSION" }}', '"SERVICE_VERSION" "HTTP_HOST" }}'),
)
def a_migration_reads_its_own_settings_and_no_more(world: World) -> Iterator[str]:
    shared = {name.upper() for group in (TelemetrySettings,) for name in group.model_fields}
    known = {name.upper() for name in MigrationSettings.model_fields} | shared
    for workload in world.workloads():
        if workload.owner["kind"] != "Job":
            continue
        given = environment(world, workload)
        if unknown := set(given) - known:
            yield f"{workload} has {sorted(unknown)}, which no setting is"
        for problem in problems(MigrationSettings, given):
            yield f"{workload}: {problem}"


@invariant(
    Fault("charts/platform/values.yaml", "  LOG_FORMAT: json", "  S3_BUCKET: images"),
    Fault("charts/platform/values.yaml", '"{{ .Values.global.environment }}"', "staging"),
)
def the_shared_configmap_holds_what_every_service_reads_and_the_environment(
    world: World,
) -> Iterator[str]:
    shared = world.named("ConfigMap", "twelvefold-shared")
    if shared is None or shared["metadata"]["namespace"] != NAMESPACE:
        yield "there is no shared ConfigMap"
        return
    for name in shared["data"]:
        for service, found in installed_services().items():
            if name.lower() not in found.settings.model_fields:
                yield f"{title(shared)}: {service} does not read {name}"
    wanted = {"dev": "development"}.get(world.environment, world.environment)
    if shared["data"].get("ENVIRONMENT") != wanted:
        yield f"{title(shared)} says {shared['data'].get('ENVIRONMENT')} in {wanted}"


@invariant(
    Fault("charts/api/values.yaml", "USERS_URL: http://users:", "USERS_URL: http://accounts:"),
    Fault("charts/worker/values.yaml", ".peers.api.port }}", ".peers.postgres.port }}"),
)
def services_call_each_other_by_a_service_and_a_port_that_there_are(world: World) -> Iterator[str]:
    there = {
        f"http://{one['metadata']['name']}:{port['port']}"
        for one in world.of("Service")
        for port in one["spec"]["ports"]
        if one["metadata"]["namespace"] == NAMESPACE
    }
    for workload in world.services():
        for name, value in world.variables(workload).items():
            if name in ("API_URL", "USERS_URL") and value not in there:
                yield f"{workload} calls {value}"


@invariant(
    Fault(f"{COMMON}/_configmap.tpl", "(get $ports $port)", '(get $ports "management")'),
)
def processes_listen_where_the_chart_says(world: World) -> Iterator[str]:
    names = {"http": "PORT", "internal": "INTERNAL_PORT", "management": "MANAGEMENT_PORT"}
    defaults = {name.upper(): found.default for name, found in HttpSettings.model_fields.items()}
    for workload in world.services():
        variables = world.variables(workload)
        for port in workload.containers[0]["ports"]:
            setting = names[port["name"]]
            if int(variables.get(setting, defaults[setting])) != port["containerPort"]:
                yield f"{workload} listens for {port['name']} on {variables.get(setting)}"
