"""Every list of services in the tree: where it is, how it is read, and how one would forget it.

Owns no list. `test_new_service` reads each in a copy of the tree that has a further service, and
then undoes in turn what made each list hear of it.
"""

from __future__ import annotations

from dataclasses import dataclass

NAME = "orders"  # the public service of the tutorial, with one table and jobs of its own
# What the expressions below may use; they run in the copy's root, in the copy's environment.
PRELUDE = f"""
import json, subprocess, sys, tomllib
from pathlib import Path
import yaml
sys.path.insert(0, ".")
NAME = {NAME!r}

def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout

def text(path):
    return Path(path).read_text()

def values(path):
    return yaml.safe_load(text(path))

def tables():
    return tomllib.loads(text("pyproject.toml"))["tool"]

def contract(name, key):
    (found,) = [one for one in tables()["importlinter"]["contracts"] if one["name"] == name]
    return found[key]

def made(variable):
    lines = output("make", "--silent", "matrix").splitlines()
    return json.loads(dict(line.split("=", 1) for line in lines)[variable])

def matrix(workflow):
    for job in values(f".github/workflows/{{workflow}}.yml")["jobs"].values():
        entries = job.get("strategy", {{}}).get("matrix", {{}}).get("image")
        if entries is not None:
            return made(entries.partition("outputs.")[2].partition(")")[0]) if (
                "fromJSON" in entries
            ) else entries

def services():
    from twelvefold.service.installed import installed_services
    return installed_services()

def environments():
    from twelvefold_dev.environment.composition import Addresses, Environments
    from twelvefold_dev.environment.secret_store import SecretStore
    names = [name for name, one in services().items() if one.is_internal]
    internal = {{name: f"http://{{name}}:8001" for name in names}}
    urls = ("postgresql://p@h/d", "redis://h", {{}}, "smtp://h", "http://h")
    addresses = Addresses(*urls, internal=internal)
    return Environments(services(), SecretStore(Path(".venv/probe.json")), addresses, {{}})

def wiring():
    from twelvefold_dev.checkout import Checkout
    from twelvefold_dev.supervisor.wiring import Wiring
    checkout = Checkout(Path.cwd())
    checkout.create()
    return Wiring(checkout, services(), {{}})

def before(path):
    return yaml.safe_load(output("git", "show", f"HEAD:{{path}}"))
"""
_ENTRIES = 'services = [entry.load() for entry in entry_points(group="twelvefold.services")]'
_THREE = '("worker", "users", "api")'


@dataclass(frozen=True, slots=True)
class ServiceList:
    """One list. `read` is true where it has the service, as an expression.

    `forget` turns text of a file into another, first after `after`: a list of the three services.
    """

    name: str
    read: str
    file: str
    old: str
    new: str = ""
    after: str = ""


def _array(name: str, read: str, after: str, entry: str = f', "{NAME}"') -> ServiceList:
    return ServiceList(name, read, "pyproject.toml", entry, after=after)


def _contract(name: str, key: str, entry: str = NAME) -> ServiceList:
    return _array(
        f"import-linter: {name}",
        f"{entry!r} in contract({name!r}, {key!r})",
        f'name = "{name}"',
        f', "{entry}"',
    )


def _values(
    name: str, read: str, file: str, old: str, new: str = "", after: str = ""
) -> ServiceList:
    return ServiceList(f"charts: {name}", read, file, old, new, after)


_INSTALLED = "libs/twelvefold/src/twelvefold/service/installed.py"
_DEV = "libs/twelvefold-dev/src/twelvefold_dev"
LISTS = [
    # What make, CI and images read.
    ServiceList(
        "Makefile: SERVICES",
        "NAME in made('services')",
        "Makefile",
        "$(patsubst services/%/pyproject.toml,%,$(sort $(wildcard services/*/pyproject.toml)))",
        "api users worker",
    ),
    ServiceList(
        "Makefile: IMAGES",
        "NAME in made('images')",
        ".ci/delivery.mk",
        "IMAGES ?= $(SERVICES) backing",
        "IMAGES ?= api users worker backing",
    ),
    *(
        ServiceList(
            f"workflow {workflow}: matrix",
            f"NAME in matrix({workflow!r})",
            f".github/workflows/{workflow}.yml",
            "image: ${{ fromJSON(needs.list.outputs.images) }}",
            "image: [api, users, worker, backing]",
        )
        for workflow in ("build", "publish", "scan")
    ),
    ServiceList(
        ".ci/deploy: order",
        "NAME in output('bash', '-c', 'declared=$(.venv/bin/twelvefold services); ' + next("
        "line for line in text('.ci/deploy').splitlines() if line.startswith('for service in')"
        ") + ' echo $service; done').split()",
        ".ci/deploy",
        '${SERVICES:-$(cut -f 1 <<<"$declared")}',
        "${SERVICES:-worker users api}",
    ),
    ServiceList(
        "libs/Dockerfile: packages that resolve the image",
        "'--all-packages' in text('libs/Dockerfile')",
        "libs/Dockerfile",
        "--all-packages",
        "--package twelvefold-api",
    ),
    ServiceList(
        "libs/Dockerfile: packages of the bootstrap",
        "'./services/*/pyproject.toml' in text('libs/Dockerfile')",
        "libs/Dockerfile",
        "./services/*/pyproject.toml",
        "./services/api/pyproject.toml",
    ),
    # The workspace and its tools.
    ServiceList(
        "uv: the lock file",
        "f'name = \"twelvefold-{NAME}\"' in text('uv.lock')",
        "uv.lock",
        f'name = "twelvefold-{NAME}"',
        'name = "twelvefold-other"',
    ),
    ServiceList(
        "uv: members",
        "'services/*' in tables()['uv']['workspace']['members']",
        "pyproject.toml",
        '"services/*"]',
        '"services/api", "services/users", "services/worker"]',
    ),
    _array(
        "mypy: paths",
        "f'services/{NAME}/src' in tables()['mypy']['mypy_path']",
        "[tool.mypy]",
        f', "services/{NAME}/src"',
    ),
    ServiceList(
        "mypy: files",
        "'services/*/src' in tables()['mypy']['files']",
        "pyproject.toml",
        '"services/*/src"',
        '"services/api/src"',
        "[tool.mypy]",
    ),
    _array(
        "coverage: packages",
        "NAME in tables()['coverage']['run']['source_pkgs']",
        "[tool.coverage.run]",
    ),
    _array(
        "import-linter: packages",
        "NAME in tables()['importlinter']['root_packages']",
        "[tool.importlinter]",
    ),
    _contract("Services never import each other", "modules"),
    _contract("The shared package imports no service", "forbidden_modules"),
    _contract("Use cases know no framework and no vendor", "source_modules", f"{NAME}.service"),
    _contract("routes -> service -> repository -> models, in every service", "containers"),
    _contract("Only one module knows arq", "source_modules"),
    _contract(
        "What an image holds never imports the laptop stack or the operators' commands",
        "source_modules",
    ),
    ServiceList(
        "CODEOWNERS",
        "f'/services/{NAME}/' in text('.github/CODEOWNERS')",
        ".github/CODEOWNERS",
        f"/services/{NAME}/",
        "/services/other/",
    ),
    ServiceList(
        "skaffold: modules",
        "NAME in [one['metadata']['name'] for one in yaml.safe_load_all(text('skaffold.yaml'))]",
        "skaffold.yaml",
        f"  name: {NAME}\n",
        "  name: other\n",
    ),
    *(
        ServiceList(
            f"examples: releases for {controller}",
            f"all(text({file!r}).count(f'releaseName: {{one}}\\n') == 1"
            " for one in (NAME, f'{NAME}-routing'))",
            file,
            f"releaseName: {NAME}\n",
            "releaseName: other\n",
        )
        for controller, file in (
            ("Argo CD", "docs/examples/argo-cd/applications.yaml"),
            ("Flux", "docs/examples/flux/releases.yaml"),
        )
    ),
    # The laptop.
    ServiceList(
        "up: services in the order of their migrations",
        "NAME in services()",
        _INSTALLED,
        _ENTRIES,
        f"{_ENTRIES[:-1]} if entry.name in {_THREE}]",
    ),
    ServiceList(
        "up: migrations, and database roles of the bootstrap",
        "NAME in __import__('twelvefold.database.revisions', fromlist=['x'])"
        ".migrations_by_service()",
        "libs/twelvefold/src/twelvefold/database/revisions.py",
        _ENTRIES,
        f"{_ENTRIES[:-1]} if entry.name in {_THREE}]",
    ),
    ServiceList(
        "up: public and internal listeners",
        "set(wiring().sockets[NAME].shared) == {'HTTP_FD', 'INTERNAL_FD'}",
        f"{_DEV}/supervisor/service_process.py",
        "for listener in service.listeners",
        "for listener in service.listeners if service.name in " + _THREE,
    ),
    ServiceList(
        "up: public URLs, of endpoints.json",
        "NAME in wiring().endpoints({})['public']",
        f"{_DEV}/supervisor/wiring.py",
        '"public": dict(self.addresses.public),',
        '"public": {"api": self.addresses.edge},',
    ),
    ServiceList(
        "up: internal URLs",
        "NAME in wiring().endpoints({})['internal']",
        f"{_DEV}/supervisor/wiring.py",
        "internal=self._urls(INTERNAL),",
        "internal={k: v for k, v in self._urls(INTERNAL).items() if k in " + _THREE + "},",
    ),
    ServiceList(
        "up: secrets of callers",
        "environments().of_service(NAME, {})['INTERNAL_SECRETS_API']",
        f"{_DEV}/environment/composition.py",
        "for caller in self._services\n",
        'for caller in ("users",)\n',
    ),
    ServiceList(
        "up: passwords of database roles",
        "f'{NAME}_owner' in environments().role_passwords()",
        f"{_DEV}/environment/composition.py",
        "if service.migrations is not None:",
        f"if service.migrations is not None and service.name in {_THREE}:",
    ),
    ServiceList(
        "up: scopes of tokens",
        "f'{NAME}:read' in environments().of_service('users', {})['JWT_SCOPES'].split(',')",
        f"{_DEV}/environment/composition.py",
        '"JWT_SCOPES": ",".join(further_scopes(self._services.values())),',
        '"JWT_SCOPES": "",',
    ),
    ServiceList(
        "up: services that keep data of accounts",
        "NAME in environments().of_service('worker', {})['ACCOUNT_DATA_URLS']",
        f"{_DEV}/environment/composition.py",
        "if callee in account_data_hooks(self._services.values())",
        "if callee in " + _THREE,
    ),
    ServiceList(
        "up: order of the stop",
        "NAME in __import__('twelvefold.service.definition', fromlist=['x'])"
        ".order_by_calls(services())",
        "libs/twelvefold/src/twelvefold/service/definition.py",
        "for name in reversed(list(services)):",
        f"for name in {_THREE}:",
    ),
    ServiceList(
        "console: services and links",
        "wiring()._configure_console(3, 'u').links[NAME]",
        f"{_DEV}/supervisor/wiring.py",
        "links={name: dict(service.links) for name, service in self.services.items()},",
        'links={"api": {}, NAME_: {}},'.replace("NAME_", repr(NAME)),
    ),
    # Charts.
    _values(
        "peers",
        "NAME in values('charts/common/values.yaml')['global']['peers']",
        "charts/common/values.yaml",
        f"    {NAME}: {{app: {NAME}, port: 8001, public: true}}\n",
    ),
    _values(
        "public services, whose tokens the mesh checks",
        "values('charts/common/values.yaml')['global']['peers'][NAME]['public']",
        "charts/common/values.yaml",
        f"    {NAME}: {{app: {NAME}, port: 8001, public: true}}",
        f"    {NAME}: {{app: {NAME}, port: 8001}}",
    ),
    *(
        _values(
            f"callers of {server} in development",
            f"NAME in values('charts/backing/values.yaml')['servers'][{server!r}]['callers']",
            "charts/backing/values.yaml",
            f", {NAME},",
            ",",
            f"  {server}:\n",
        )
        for server in ("postgres", "redis")
    ),
    _values(
        "roles of PostgreSQL in development",
        "f'{NAME}_app' in json.loads(values('charts/backing/values.yaml')['servers']['postgres']"
        "['settings']['BOOTSTRAP_ROLE_PASSWORDS'])",
        "charts/backing/values.yaml",
        f'"{NAME}_app"',
        '"other_app"',
    ),
    _values(
        "callers of users, as the network admits them",
        "NAME in values('charts/users/values.yaml')['callers']['internal']",
        "charts/users/values.yaml",
        f"    {NAME}: ",
        "    other: ",
    ),
    _values(
        "callers of users, as the mesh admits them",
        "NAME in values('istio/users/values.yaml')['callers']['internal']",
        "istio/users/values.yaml",
        f", {NAME},",
        ",",
    ),
    _values(
        "scopes of tokens",
        "f'{NAME}:read' in values('charts/users/values.yaml')['config']['JWT_SCOPES'].split(',')",
        "charts/users/values.yaml",
        f"{NAME}:read,",
    ),
    *(
        entry
        for caller in ("api", "worker")
        for entry in (
            _values(
                f"calls of {caller}, for data of accounts",
                f"NAME in values('charts/{caller}/values.yaml')['calls']",
                f"charts/{caller}/values.yaml",
                f"  {NAME}: what it keeps",
                "  other: what it keeps",
            ),
            _values(
                f"services that {caller} asks for data of accounts",
                f"f'{{NAME}}=' in values('charts/{caller}/values.yaml')['config']"
                "['ACCOUNT_DATA_URLS']",
                f"charts/{caller}/values.yaml",
                f"{NAME}=",
                "other=",
            ),
        )
    ),
    *(
        _values(
            f"budget of {what}",
            "__import__('tests.charts.budgets', fromlist=['x']).budget(Path.cwd(), 'production')"
            f".{figure} > before('charts/platform/values.yaml'){stated}",
            "tests/charts/budgets.py",
            "for name, service in DECLARED.items():",
            f"for name, service in ((n, DECLARED[n]) for n in {_THREE}):",
        )
        for what, figure, stated in (
            ("connections", "connections", "['database']['connections']"),
            ("pods", "pods", "['quota']['hard']['pods']"),
            ("CPUs", "cpu", "['quota']['hard']['requests.cpu']"),
        )
    ),
    # Operators.
    ServiceList(
        "rollout: services",
        "NAME in __import__('twelvefold_ops.rollout.services', fromlist=['x'])"
        ".find_services(Path.cwd())",
        "libs/twelvefold-ops/src/twelvefold_ops/rollout/services.py",
        "return sorted(pods & routing)",
        f"return sorted({_THREE})",
    ),
    # Dashboards, alerts, pages.
    ServiceList(
        "dashboards: the selector of all services",
        "'app_kubernetes_io_part_of' in __import__('tests.observability.panels', fromlist=['x'])"
        ".ALL_JOBS",
        "tests/observability/panels.py",
        "ALL_JOBS = 'app_kubernetes_io_part_of=\"twelvefold\"'",
        "ALL_JOBS = 'job=~\"api|users|worker\"'",
    ),
    ServiceList(
        "rules of every service: the selector",
        "'api|' not in text('charts/platform/files/rules/platform.yaml')",
        "charts/platform/files/rules/platform.yaml",
        'app_kubernetes_io_part_of="twelvefold"',
        'job=~"api|users|worker"',
    ),
    ServiceList(
        "alerts: charts whose rules are tested",
        "NAME in __import__('tests.observability.rules', fromlist=['x']).CHARTS",
        "tests/observability/rules.py",
        'ROOT.glob("charts/*/files/rules")',
        'ROOT.glob("charts/[aupw]*[!e]/files/rules")',
    ),
    ServiceList(
        "alerts: cases",
        "NAME in __import__('tests.observability.alert_cases', fromlist=['x']).CASES",
        "tests/observability/alert_cases.py",
        '.glob("*.py")',
        '.glob("none.py")',
    ),
    ServiceList(
        "alerts: runbooks",
        "f'### {NAME.capitalize()}Down' in text('docs/reference/alerts.md')",
        "docs/reference/alerts.md",
        f"### {NAME.capitalize()}Down",
        "### OtherDown",
    ),
    # The tests' own lists.
    ServiceList(
        "tests: services",
        "NAME in __import__('tests.suite', fromlist=['x']).SERVICES",
        "tests/suite.py",
        "SERVICES = tuple(DECLARED)",
        f"SERVICES = {_THREE}",
    ),
    ServiceList(
        "tests: public services",
        "NAME in __import__('tests.suite', fromlist=['x']).PUBLIC",
        "tests/suite.py",
        "if service.is_public)",
        "if name == 'api')",
    ),
    ServiceList(
        "tests: services with an internal port",
        "NAME in __import__('tests.suite', fromlist=['x']).INTERNAL",
        "tests/suite.py",
        "if service.is_internal)",
        "if name in ('api', 'users'))",
    ),
    ServiceList(
        "tests: services that receive requests",
        "NAME in __import__('tests.suite', fromlist=['x']).ROUTED",
        "tests/suite.py",
        "if service.listeners)",
        "if name in ('api', 'users'))",
    ),
    ServiceList(
        "tests: edges of the mesh",
        "(NAME, 'users') in __import__('tests.suite', fromlist=['x']).CALLS",
        "tests/suite.py",
        "for callee in calls_of(service, DECLARED)",
        "for callee in calls_of(service, DECLARED) if name in ('api', 'worker')",
    ),
]
