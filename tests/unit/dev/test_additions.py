"""What is added to a service has the form of the house, and a wrong request changes nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.dev.test_templates import PLANS

from twelvefold.database.revisions import Migrations
from twelvefold.service.definition import Listener, Service
from twelvefold.service.installed import installed_services
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import PostgresSettings, ServiceSettings
from twelvefold_dev.checkout import Checkout, read_json
from twelvefold_dev.scaffold.additions import addition
from twelvefold_dev.scaffold.additions.addition import Addition, apply_addition
from twelvefold_dev.scaffold.additions.endpoint import plan_endpoint
from twelvefold_dev.scaffold.additions.job import plan_job
from twelvefold_dev.scaffold.additions.setting import plan_setting
from twelvefold_dev.scaffold.create import digest, record_of, write_record
from twelvefold_dev.scaffold.errors import ScaffoldError
from twelvefold_dev.scaffold.plan import ServicePlan

ROOT = Path(__file__).parents[3]
WITH_JOBS = [plan for plan in PLANS if plan.jobs]


class AnySettings(ServiceSettings, PostgresSettings):
    """Those of a service of these tests."""


def never(_: object) -> ServiceProcess:
    raise AssertionError("no process is created here")


def service_of(plan: ServicePlan) -> Service:
    listener = Listener.PUBLIC if plan.public else Listener.INTERNAL
    return Service(
        plan.name,
        AnySettings,
        never,
        Migrations(plan.name, plan.name, f"{plan.name}.migrations", order=3, runs_jobs=plan.jobs),
        listeners=frozenset({listener}),
        queue=plan.name if plan.jobs else None,
    )


def write(root: Path, files: dict[Path, str]) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


@pytest.fixture(params=PLANS, ids=lambda plan: plan.name)
def created(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, ServicePlan]:
    """A folder with the files of a new service."""
    write(tmp_path, request.param.files())
    return tmp_path, request.param


def add(root: Path, planned: Addition) -> dict[str, str]:
    """Write the addition, formatted; return its sources by name, after ruff has found no fault."""
    written = planned.format(ROOT)
    write(root, dict(written.files))
    for path, source in written.files.items():
        if path.suffix == ".py":
            ruff(path, source)
    return {path.name: source for path, source in written.files.items()}


def ruff(path: Path, source: str) -> None:
    command = [
        str(Path(sys.executable).with_name("ruff")),
        "check",
        "--ignore=INP001",
        "--stdin-filename",
    ]
    done = subprocess.run(  # noqa: S603  (our own linter)
        [*command, str(path), "-"],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def methods(source: str, class_name: str) -> list[str]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return [one.name for one in node.body if isinstance(one, ast.AsyncFunctionDef)]
    raise AssertionError(f"no class {class_name}")


def functions(source: str) -> list[str]:
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.AsyncFunctionDef)]


def test_endpoints_are_added_one_after_the_other_to_every_kind_of_service(created) -> None:
    root, plan = created
    service = service_of(plan)
    item, table = plan.values()["Item"], plan.values()["Table"]
    add(root, plan_endpoint(root, service, "summary", writes=False))
    add(root, plan_endpoint(root, service, "rename", writes=True))
    sources = add(root, plan_endpoint(root, service, "last_week", writes=False))
    names = ["summary", "rename", "last_week"]
    assert methods(sources["service.py"], table)[-3:] == names
    assert methods(sources["repository.py"], f"{item}Repository")[-3:] == names
    assert f"class {item}LastWeek(BaseModel)" in sources["schemas.py"]
    assert "/last-week" in sources["routes.py"]
    assert sources[f"test_{plan.name}.py"].count("async def test_") > 10


def test_a_path_is_matched_before_that_of_a_row(created) -> None:
    root, plan = created
    sources = add(root, plan_endpoint(root, service_of(plan), "summary", writes=False))
    found = functions(sources["routes.py"])
    assert found.index(f"get_{plan.item}_summary") < found.index(f"get_{plan.item}")


@pytest.mark.parametrize("plan", WITH_JOBS, ids=lambda plan: plan.name)
@pytest.mark.parametrize(
    ("kind", "constant", "handler"),
    [("remind", "REMIND", "remind"), ("parcel.send_out", "PARCEL_SEND_OUT", "parcel_send_out")],
)
def test_a_kind_of_job_has_a_payload_a_handler_and_a_test(
    plan: ServicePlan, kind: str, constant: str, handler: str, tmp_path: Path
) -> None:
    write(tmp_path, plan.files())
    sources = add(tmp_path, plan_job(tmp_path, service_of(plan), kind))
    named = kind if "." in kind else f"{plan.name}.{kind}"
    assert f'{constant} = "{named}"' in sources["jobs.py"]
    assert handler in functions(sources["jobs.py"])
    registration = sources["jobs.py"].split("def register(")[1].split("return ()")[0]
    assert f"JobKind({constant}, " in registration
    assert f"enqueue(transaction, {constant}, payload)" in sources[f"test_{plan.name}.py"]


@pytest.mark.parametrize("plan", WITH_JOBS, ids=lambda plan: plan.name)
def test_the_first_kind_with_mail_brings_the_driver_the_settings_and_the_way_to_the_server(
    plan: ServicePlan, tmp_path: Path
) -> None:
    write(tmp_path, plan.files())
    first = plan_job(tmp_path, service_of(plan), "announce", mail=True)
    assert first.installs
    sources = add(tmp_path, first)
    second = plan_job(tmp_path, service_of(plan), "parcel.lose", mail=True)
    assert not second.installs
    sources |= add(tmp_path, second)
    name = plan.name
    assert "otel,mail]" in (tmp_path / f"services/{name}/pyproject.toml").read_text()
    assert sources["settings.py"].count("    MailSettings,\n") == 2  # import and base
    for handler in ("announce", "parcel_lose"):
        assert f"{name}_{handler}_to: str = Field(" in sources["settings.py"]
        assert f"${plan.item}" in sources[f"{handler}.txt"]

    def values(path: str) -> Any:
        return yaml.safe_load((tmp_path / path).read_text())

    pods, routing = values(f"charts/{name}/values.yaml"), values(f"istio/{name}/values.yaml")
    assert {"MAIL_FROM", f"{name.upper()}_ANNOUNCE_TO"} <= set(pods["config"])
    assert (pods["secret"]["keys"]["SMTP_URL"], pods["calls"]["mail"]) == (True, "emails of jobs")
    assert routing["calls"]["mail"] == "emails of jobs"
    for kind in ("charts", "istio"):
        development = values(f"{kind}/{name}/values-dev.yaml")
        worker = yaml.safe_load((ROOT / kind / "worker/values-dev.yaml").read_text())
        assert development["global"]["peers"]["mail"] == worker["global"]["peers"]["mail"]
    assert "SMTP_URL" in values(f"charts/{name}/values-dev.yaml")["secret"]["data"]


def test_the_payload_of_a_kind_of_worker_is_a_contract() -> None:
    worker = installed_services()["worker"]
    planned = plan_job(ROOT, worker, "report.send").format(ROOT)
    sources = {path.name: source for path, source in planned.files.items()}
    assert "CACHE_EVICT, REPORT_SEND)" in sources["jobs.py"]
    assert "class ReportSend(JobPayload)" in sources["jobs.py"]
    assert "registry.add(JobKind(REPORT_SEND, ReportSend), report_send)" in sources["job_kinds.py"]
    for path, source in planned.files.items():
        ruff(path, source)


@pytest.mark.parametrize("name", installed_services())
@pytest.mark.parametrize(
    ("default", "field", "value"),
    [
        ("20", "int = Field(20, ge=0, ", "20"),
        ("-1", "int = Field(-1, ", "-1"),
        ("0.5", "float = Field(0.5, ge=0, ", "0.5"),
        ("True", "bool = Field(True, ", "true"),
        ('a "b"', "str = Field('a \"b\"', ", 'a "b"'),
        ("nan", "str = Field('nan', ", "nan"),
    ],
)
def test_the_type_of_a_setting_is_that_of_its_default(
    name: str, default: str, field: str, value: str
) -> None:
    service = installed_services()[name]
    planned = plan_setting(ROOT, service, "probe_it", default=default, description="A probe.")
    source, chart = planned.files.values()
    assert f"probe_it: {field}" in source
    assert yaml.safe_load(chart)["config"]["PROBE_IT"] == value


@pytest.mark.parametrize("name", installed_services())
def test_a_secret_is_optional_and_comes_from_the_secret_of_the_chart(name: str) -> None:
    service = installed_services()[name]
    about = " ".join(["A secret"] * 20)
    planned = plan_setting(ROOT, service, "PROBE_KEY", default=None, description=about)
    (path, source), (_, chart) = planned.format(ROOT).files.items()
    ruff(path, source)
    assert "probe_key: SecretStr | None = Field(" in source
    assert yaml.safe_load(chart)["secret"]["keys"]["PROBE_KEY"] is False


def refused(message: str, plan: object, *arguments: object, **options: object) -> None:
    assert callable(plan)
    with pytest.raises(ScaffoldError, match=message) as error:
        plan(*arguments, **options)
    assert "\n" not in str(error.value)


def test_a_wrong_name_or_a_service_of_another_form_is_refused(tmp_path: Path) -> None:
    services = installed_services()
    plan = PLANS[0]
    write(tmp_path, plan.files())
    orders = service_of(plan)
    for name in ("Summary", "a-b", "class", "x" * 31, ""):
        refused("cannot be an endpoint's name", plan_endpoint, ROOT, orders, name, writes=False)
    for name in ("list", "get", "erase"):
        refused(f"has {name} already", plan_endpoint, tmp_path, orders, name, writes=False)
    refused("OrderPage already", plan_endpoint, tmp_path, orders, "page", writes=False)
    refused("there is no .*/routes.py", plan_endpoint, ROOT, services["api"], "x", writes=False)
    refused("has no table", plan_endpoint, ROOT, services["worker"], "x", writes=False)
    refused("runs no jobs", plan_job, tmp_path, orders, "remind")
    refused("worker has email.send", plan_job, ROOT, services["worker"], "a.b", mail=True)
    refused("cannot be a kind", plan_job, ROOT, services["worker"], "Email.send")
    refused("has EMAIL_SEND already", plan_job, ROOT, services["worker"], "email.send")
    options = {"default": "1", "description": "A probe."}
    refused("reads LOG_LEVEL already", plan_setting, ROOT, services["api"], "log_level", **options)
    refused("cannot be a setting's name", plan_setting, ROOT, services["api"], "A-B", **options)
    options["default"] = "{{ .Values.x }}"
    refused("which Helm would read", plan_setting, ROOT, services["api"], "A_B", **options)


def test_a_class_that_was_renamed_is_named_in_the_refusal(tmp_path: Path) -> None:
    plan = PLANS[0]
    write(tmp_path, plan.files())
    path = tmp_path / "services/orders/src/orders/repository.py"
    path.write_text(path.read_text().replace("OrderRepository", "Rows"))
    refused(
        "repository.py has no OrderRepository: add it by hand",
        plan_endpoint, tmp_path, service_of(plan), "summary", writes=False,
    )  # fmt: skip


def test_an_addition_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ScaffoldError("twelvefold openapi failed: no module")

    monkeypatch.setattr(addition, "derive", fail)
    write(tmp_path, {Path("a.py"): "before\n"})
    planned = Addition("orders", "x", {Path("a.py"): "after\n", Path("new/b.py"): "new\n"})
    with pytest.raises(ScaffoldError, match="openapi failed"):
        apply_addition(Checkout(tmp_path), planned)
    assert (tmp_path / "a.py").read_text() == "before\n"
    assert not (tmp_path / "new/b.py").exists()


def test_what_a_command_has_added_is_no_edit_and_what_was_edited_stays_one(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    write(tmp_path, {Path("created.py"): "created\n", Path("edited.py"): "by hand\n"})
    digests = {"created.py": digest(tmp_path / "created.py"), "edited.py": "?"}
    write_record(checkout, "orders", digests)
    files = {Path(name): "added\n" for name in ("created.py", "edited.py", "new.py")}
    apply_addition(checkout, replace(Addition("orders", "x", files), derived=frozenset()))
    record = read_json(record_of(checkout, "orders"))
    added = digest(tmp_path / "new.py")
    assert record == {"created.py": added, "edited.py": "?", "new.py": added}
