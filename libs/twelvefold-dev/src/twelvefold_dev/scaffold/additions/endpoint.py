"""Another endpoint of a service's resource: route, schema, use case, statement, test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from twelvefold.service.definition import Service
from twelvefold_dev.scaffold.errors import ScaffoldError
from twelvefold_dev.scaffold.plan import camel
from twelvefold_dev.scaffold.templating import render
from twelvefold_dev.scaffold.workspace import Derived

from .addition import Addition
from .python_source import PythonSource
from .resource import find_resource, sources_of, tests_of

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_MAX_LENGTH = 30


def plan_endpoint(root: Path, service: Service, name: str, *, writes: bool) -> Addition:
    """Return `GET …/NAME`, or with `writes` `POST …/{id}/NAME`.

    Raises ScaffoldError where the name is taken or the service is not of the house's style.
    """
    if not _NAME.fullmatch(name) or len(name) > _MAX_LENGTH or keyword.iskeyword(name):
        raise ScaffoldError(
            f"{name!r} cannot be an endpoint's name: at most {_MAX_LENGTH} lower-case letters, "
            "digits and _"
        )
    resource = find_resource(root, service)
    sources = sources_of(service.name)
    modules = {
        part: PythonSource(root, sources / f"{part}.py")
        for part in ("routes", "schemas", "service", "repository")
    }
    tests = PythonSource(root, tests_of(service.name))
    values = resource.values() | {
        "endpoint": name,
        "Endpoint": camel(name),
        "route": name.replace("_", "-"),
        "words": name.replace("_", " "),
        "writes": writes,
    }
    item, table = values["Item"], values["Table"]
    schema = f"{item}{camel(name)}"
    function = f"{name}_{values['item']}" if writes else f"get_{values['item']}_{name}"
    modules["schemas"].require_free(schema)
    modules["routes"].require_free(function)
    for part in ("service", "repository"):
        modules[part].require_free(name)

    def text(part: str) -> str:
        return render(f"endpoint/{part}.py", **values)

    modules["schemas"].add_at_end(text("schemas"))
    modules["repository"].add_at_end(text("repository"), of=f"{item}Repository")
    modules["service"].add_at_end(text("service"), of=table)
    # Before the path with the id, which would take the name for one.
    modules["routes"].add_before(f"get_{values['item']}", f"{text('routes')}\n\n")
    tests.add_at_end(text("test"))
    modules["routes"].add_import(f"from {service.name}.schemas import {schema}")
    modules["routes"].add_import("from twelvefold.http.edge.responses import json_response")
    modules["repository"].add_import("from sqlalchemy import update")
    modules["service"].add_import("from datetime import datetime")
    sourced = {source.path: source.text for source in (*modules.values(), tests)}
    path = values["full_path"]
    shown = f"POST {path}/{{id}}/{values['route']}" if writes else f"GET {path}/{values['route']}"
    return Addition(service.name, shown, sourced, frozenset({Derived.DOCUMENTS}))
