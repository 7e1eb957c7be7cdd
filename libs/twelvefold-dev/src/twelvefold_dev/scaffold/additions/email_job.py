"""What a kind of job needs to send mail: template, settings, driver, and the way to the server.

The first such kind of a service brings all of it, a further one its template and its recipient.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from twelvefold_dev.scaffold.errors import ListMissing
from twelvefold_dev.scaffold.templating import render
from twelvefold_dev.scaffold.workspace import Derived

from .addition import Addition
from .chart_values import add_entry
from .python_source import PythonSource
from .resource import sources_of
from .setting import field_of

_EXTRAS = re.compile(r'("twelvefold\[[a-z0-9,]+)(\])')
_GROUPS = ("MailSettings", "BrandSettings")
_FROM = '"{{ .Values.global.suiteName }} <no-reply@{{ .Values.global.host }}>"'
_RECIPIENT = "team@example.com"
_Entries = dict[Path, dict[tuple[str, ...], str]]


def add_mail(
    root: Path, jobs: PythonSource, tests: PythonSource, values: dict[str, Any]
) -> Addition:
    """Complete the two modules; return the other files that change.

    Raises ScaffoldError where a file has no place for what it gets.
    """
    name, recipient = values["name"], values["recipient"]
    settings = PythonSource(root, sources_of(name) / "settings.py")
    every = f"{values['Name']}Settings"
    is_first = _GROUPS[0] not in settings.text
    about = f"Address that gets the emails of {values['kind']}."
    settings.add_field(every, field_of(recipient, _RECIPIENT, about))
    jobs.add_typing_import(f"from {name}.settings import {every}")
    jobs.add_typing_import("from twelvefold.mail import Mailer")
    address = f"{values['constant']}_TO"
    tests.add_before("MAX_PER_OWNER", f'{address} = f"{{uuid4().hex}}@example.com"\n')
    given = {recipient: address}
    value = f"{recipient.upper()}: {_RECIPIENT}"
    entries: _Entries = {Path(f"charts/{name}/values.yaml"): {("config",): value}}
    template = sources_of(name) / "templates" / f"{values['handler']}.txt"
    files = {template: render("job/mail.txt", **values)}
    if is_first:
        for group in _GROUPS:
            settings.add_base(every, group)
        settings.add_import(f"from twelvefold.settings import {', '.join(_GROUPS)}")
        given |= {"mail_from": '"Tests <no-reply@mail.example>"', "smtp_url": "servers.smtp"}
        files |= _with_driver(root, name)
        entries = _way_to_the_server(name, value, values)
    lines = "".join(f'        "{key}": {value},\n' for key, value in given.items())
    tests.add_after_line('        "environment": "testing",', lines)
    files[settings.path] = settings.text
    for path, added in entries.items():
        content = (root / path).read_text(encoding="utf-8")
        for keys, entry in added.items():
            content = add_entry(content, keys, entry, path)
        files[path] = content
    derived = frozenset({Derived.PAGES, Derived.CHARTS})
    return Addition(name, values["kind"], files, derived, installs=is_first)


def _with_driver(root: Path, name: str) -> dict[Path, str]:
    path = Path("services") / name / "pyproject.toml"
    text, count = _EXTRAS.subn(r"\1,mail\2", (root / path).read_text(encoding="utf-8"), count=1)
    if not count:
        raise ListMissing(f"{path} has no dependency twelvefold[…]")
    return {path: text}


def _way_to_the_server(name: str, config: str, values: dict[str, Any]) -> _Entries:
    """Return what the charts of pods and of routing know of the mail server, and `config`."""
    calls: dict[tuple[str, ...], str] = {("calls",): "mail: emails of jobs"}
    peers: dict[tuple[str, ...], str] = {("global", "peers"): _snippet("peer", values)}
    pods, routing = Path(f"charts/{name}"), Path(f"istio/{name}")
    return {
        pods / "values.yaml": {
            ("config",): f"MAIL_FROM: {_FROM}\n{config}",
            ("secret", "keys"): "SMTP_URL: true\nSENDGRID_API_KEY: false",
            **calls,
        },
        pods / "values-dev.yaml": {**peers, ("secret", "data"): _snippet("secret", values)},
        routing / "values.yaml": calls,
        routing / "values-dev.yaml": peers,
    }


def _snippet(name: str, values: dict[str, Any]) -> str:
    return textwrap.dedent(render(f"job/mail_{name}.yaml", **values)).rstrip("\n")
