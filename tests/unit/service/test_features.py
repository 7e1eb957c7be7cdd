"""A feature that is off: no routes, no job kinds, no bucket, in every service of the suite."""

from typing import Any

import pytest

from twelvefold.http.features import FeatureRouter
from twelvefold.jobs import PeriodicJob
from twelvefold.service.backing import BackingServices
from twelvefold.service.installed import handlers_of, installed_services, settings_of
from twelvefold.service.job_handlers import JobHost, register_handlers
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import ObjectStoreSettings, without_disabled
from twelvefold.settings.reference import example

SERVICES = installed_services()


def create(name: str, **flags: bool) -> ServiceProcess:
    service = SERVICES[name]
    settings = example(without_disabled(settings_of(service), **flags))
    process: ServiceProcess = service.create(settings)
    return process


def operations(process: ServiceProcess) -> set[str]:
    documents = [app.openapi() for app in (process.public, process.internal) if app is not None]
    return {
        f"{method.upper()} {path}"
        for document in documents
        for path, item in document["paths"].items()
        for method in item
    }


def kinds(name: str, **flags: bool) -> tuple[set[str], list[PeriodicJob]]:
    service = SERVICES[name]
    settings = example(without_disabled(settings_of(service), **flags))
    backing = BackingServices(settings, application_name="tests")
    registry, schedule = register_handlers(handlers_of(service), JobHost(name, settings, backing))
    return {kind.name for kind in registry.kinds}, schedule


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_without_images_no_service_has_a_route_for_them_or_a_bucket(name):
    process = create(name, enable_images=False)
    assert [path for path in operations(process) if "image" in path or "avatar" in path] == []
    assert [path for path in operations(process) if "/objects" in path] == []
    assert not isinstance(process.settings, ObjectStoreSettings)


def test_only_the_routes_of_the_feature_go():
    gone = operations(create("api")) - operations(create("api", enable_images=False))
    assert gone == {
        "POST /api/v1/images",
        "GET /api/v1/images",
        "GET /api/v1/images/{image_id}",
        "DELETE /api/v1/images/{image_id}",
        "GET /api/v1/images/{image_id}/{variant}",
        "PUT /api/v1/users/me/avatar",
        "GET /api/v1/users/{user_id}/avatar/{variant}",
        "PUT /internal/v1/images/{image_id}/variants",
        "PUT /internal/v1/objects/orphans",
        "PUT /internal/v1/objects/missing",
        "POST /internal/v1/images/mend",
    }


@pytest.mark.parametrize("name", ["api", "users"])
def test_without_analytics_their_route_is_gone(name):
    gone = operations(create(name)) - operations(create(name, enable_analytics=False))
    assert {path.rpartition("/v1")[2] for path in gone} == {"/analytics/daily"}


def test_without_images_the_worker_runs_none_of_their_kinds_and_no_sweep():
    every, schedule = kinds("worker")
    kept, reduced_schedule = kinds("worker", enable_images=False)
    assert every - kept == {"image.process", "objects.sweep"}
    assert {entry.kind for entry in schedule} - {entry.kind for entry in reduced_schedule} == {
        "objects.sweep"
    }


def test_every_feature_group_of_a_service_has_a_router_or_a_kind():
    """A flag that takes out settings and nothing else would leave dead routes."""
    groups: set[Any] = set()
    for service in SERVICES.values():
        groups |= {
            group
            for group in settings_of(service).__mro__
            if vars(group).get("feature") is not None
        }
    used = {handlers.settings for service in SERVICES.values() for handlers in service.jobs}
    used |= {router.settings for router in _feature_routers()}
    assert groups == used & groups


def _feature_routers() -> list[FeatureRouter]:
    from api.routes import INTERNAL, PUBLIC
    from users.routes import ROUTERS

    routers = (*PUBLIC, *INTERNAL, *ROUTERS)
    return [router for router in routers if isinstance(router, FeatureRouter)]
