"""Another kind of job of a service that runs jobs: payload, handler, registration, test."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from twelvefold.service.definition import SHARED_QUEUE, Service
from twelvefold_dev.scaffold.errors import ScaffoldError
from twelvefold_dev.scaffold.plan import camel
from twelvefold_dev.scaffold.templating import render

from .addition import Addition
from .email_job import add_mail
from .python_source import PythonSource
from .resource import find_resource, sources_of, tests_of

_KIND = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\.[a-z][a-z0-9]*(_[a-z0-9]+)*")
_MAX_LENGTH = 50
_CONTRACTS = Path("libs/twelvefold/src/twelvefold/contracts/jobs.py")


def plan_job(root: Path, service: Service, kind: str, *, mail: bool = False) -> Addition:
    """Return a kind named `noun.verb`; a verb alone is of the service's own noun.

    With `mail` its handler sends an email to the address of a setting. Raises ScaffoldError where
    the name is taken or the service runs no jobs.
    """
    kind = kind if "." in kind else f"{service.name}.{kind}"
    if not _KIND.fullmatch(kind) or len(kind) > _MAX_LENGTH:
        raise ScaffoldError(
            f"{kind!r} cannot be a kind: noun.verb in at most {_MAX_LENGTH} lower-case letters, "
            "digits and _"
        )
    noun, verb = kind.split(".")
    name = verb if noun == service.name else f"{noun}_{verb}"
    values: dict[str, Any] = {
        "kind": kind,
        "constant": name.upper(),
        "Payload": camel(name),
        "handler": name,
        "mail": mail,
        "recipient": f"{service.name}_{name}_to",
    }
    if service.queue == SHARED_QUEUE:
        if mail:
            raise ScaffoldError(f"{service.name} has email.send: --mail is for other services")
        return _of_the_shared_queue(root, service, values)
    if service.queue == service.name:
        return _of_its_own_queue(root, service, values)
    raise ScaffoldError(
        f"{service.name} runs no jobs: add the kind to worker, or create a service with --jobs"
    )


def _of_its_own_queue(root: Path, service: Service, values: dict[str, Any]) -> Addition:
    values = find_resource(root, service).values() | values | {"is_contract": False}
    jobs = PythonSource(root, sources_of(service.name) / "jobs.py")
    tests = PythonSource(root, tests_of(service.name))
    jobs.require_free(values["constant"], values["Payload"], values["handler"])
    jobs.add_before("register", f"{render('job/payload.py', **values)}\n\n")
    jobs.add_before_return("register", render("job/registration.py", **values))
    jobs.add_before("HANDLERS", f"{render('job/handler.py', **values)}\n\n")
    names = f"{values['constant']}, {values['Payload']}"
    tests.add_import(f"from {service.name}.jobs import {names}")
    tests.add_import("from twelvefold.jobs import JobStatus")
    tests.add_at_end(render("job/test.py", **values))
    addition = Addition(service.name, values["kind"], {}, frozenset())
    if values["mail"]:
        addition = add_mail(root, jobs, tests, values)
    sources = {source.path: source.text for source in (jobs, tests)}
    return replace(addition, files={**sources, **addition.files})


def _of_the_shared_queue(root: Path, service: Service, values: dict[str, Any]) -> Addition:
    """Its payload is a contract, because the producer is another service."""
    contracts = PythonSource(root, _CONTRACTS)
    kinds = PythonSource(root, sources_of(service.name) / "job_kinds.py")
    handler = values["handler"]
    module = sources_of(service.name) / "service" / f"{handler}.py"
    tests = Path(f"tests/integration/{service.name}/test_{handler}.py")
    for path in (module, tests):
        if (root / path).exists():
            raise ScaffoldError(f"there is {path} already: choose another name")
    contracts.require_free(values["constant"], values["Payload"])
    contracts.add_before("KINDS", f'{values["constant"]} = "{values["kind"]}"\n')
    contracts.add_to_tuple("KINDS", values["constant"])
    values |= {"item": "user", "is_contract": True}
    contracts.add_at_end(render("job/payload.py", **values))
    kinds.add_at_end(render("job/registration.py", **values), of="register_core")
    names = f"{values['constant']}, {values['Payload']}"
    kinds.add_import(f"from twelvefold.contracts.jobs import {names}")
    kinds.add_import(f"from {service.name}.service.{handler} import {handler}")
    files = {source.path: source.text for source in (contracts, kinds)}
    files[module] = render("job/worker_handler.py", **values)
    files[tests] = render("job/worker_test.py", **values)
    return Addition(service.name, values["kind"], files, frozenset())
