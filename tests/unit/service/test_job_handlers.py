"""Kinds of a service are run by a worker that has it installed, or by its own process."""

from typing import Any

import pytest

from twelvefold.contracts.jobs import JobPayload
from twelvefold.database.revisions import Migrations
from twelvefold.jobs import JobKind
from twelvefold.service import installed
from twelvefold.service.backing import BackingServices
from twelvefold.service.definition import SHARED_QUEUE, Service
from twelvefold.service.installed import handlers_of, settings_of
from twelvefold.service.job_handlers import JobHandlers, JobHost, register_handlers
from twelvefold.settings import EnvironmentSettings, ServiceSettings

NO_BACKING = BackingServices(ServiceSettings(environment="testing"), application_name="tests")


class ParcelSettings(EnvironmentSettings):
    parcel_depot: str = "north"


class LetterSettings(EnvironmentSettings):
    letter_colour: str = "white"


async def _handle(job: Any, payload: JobPayload) -> None: ...


def handlers(settings: type[EnvironmentSettings], kind: str) -> JobHandlers:
    def register(registry: Any, host: JobHost) -> tuple[()]:
        registry.add(JobKind(kind, JobPayload), _handle)
        return ()

    return JobHandlers(settings, register)


def service(name: str, **options: Any) -> Service:
    return Service(name, ServiceSettings, lambda _: pytest.fail("not created"), **options)


PARCELS = handlers(ParcelSettings, "parcels.send")
LETTERS = handlers(LetterSettings, "letters.send")
OWN = handlers(ServiceSettings, "worker.clean")
SHOP = service("shop", jobs=(PARCELS,))
POST = service(
    "post",
    jobs=(LETTERS,),
    queue="post",
    migrations=Migrations("post", "post", "post.migrations", runs_jobs=True),
)
WORKER = service("worker", jobs=(OWN,), queue=SHARED_QUEUE)


@pytest.fixture(autouse=True)
def suite(monkeypatch):
    services = {entry.name: entry for entry in (WORKER, SHOP, POST)}
    monkeypatch.setattr(installed, "installed_services", lambda: services)


def test_a_worker_runs_the_kinds_of_installed_services_without_a_queue():
    assert handlers_of(WORKER) == [OWN, PARCELS]


def test_a_service_with_a_queue_runs_its_own_kinds_and_one_without_runs_none():
    assert handlers_of(POST) == [LETTERS]
    assert handlers_of(SHOP) == []


def test_the_settings_of_a_worker_include_the_groups_of_all_its_handlers():
    assert issubclass(settings_of(WORKER), ParcelSettings)
    assert not issubclass(settings_of(WORKER), LetterSettings)
    assert settings_of(SHOP) is ServiceSettings


def test_kinds_whose_settings_the_process_lacks_are_left_out():
    host = JobHost("worker", settings_of(WORKER)(environment="testing"), backing=NO_BACKING)
    registry, _ = register_handlers([OWN, PARCELS, LETTERS], host)
    assert [kind.name for kind in registry.kinds] == ["worker.clean", "parcels.send"]


def test_handlers_of_one_process_share_a_client():
    host = JobHost("worker", None, backing=NO_BACKING)
    first = host.share("client", object)
    assert host.share("client", object) is first


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"queue": "other"}, "has the service's name"),
        ({"queue": "post"}, r"runs_jobs=True"),
        (
            {"queue": "post", "migrations": Migrations("post", "post", "post.migrations")},
            r"runs_jobs=True",
        ),
    ],
)
def test_a_queue_that_its_role_could_not_work_on_is_refused(options, fault):
    with pytest.raises(ValueError, match=fault):
        service("post", **options)
