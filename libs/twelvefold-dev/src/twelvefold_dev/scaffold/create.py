"""Creation of a service: its files, then everything that follows from them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from twelvefold.service.definition import Service
from twelvefold_dev.checkout import Checkout, write_private

from .errors import ListMissing, ScaffoldError
from .plan import ServicePlan
from .workspace import WITHOUT_DOCUMENTS, derive, format_code, install

ALERTS = Path("docs/reference/alerts.md")
_LAST_SECTION = "## Everywhere\n"  # sections of services stand before it


def create_service(
    checkout: Checkout, plan: ServicePlan, services: Mapping[str, Service]
) -> list[Path]:
    """Write the service into the checkout and return the new files, relative to it.

    Raises ScaffoldError, after which the checkout is as before.
    """
    root = checkout.root
    plan.check(root, services)
    files = plan.files()
    page = (root / ALERTS).read_text(encoding="utf-8")
    if _LAST_SECTION not in page:
        raise ListMissing(f"{ALERTS} has no section `{_LAST_SECTION.strip()}`")
    try:
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content, encoding="utf-8")
        _lock_charts(root, plan.name, services)
        added = page.replace(_LAST_SECTION, plan.runbook() + _LAST_SECTION)
        (root / ALERTS).write_text(added, encoding="utf-8")
        format_code(root, [root / path for path in files])
        install(root)
        derive(root, plan.name)
    except BaseException:
        (root / ALERTS).write_text(page, encoding="utf-8")
        for folder in plan.folders():
            delete(root / folder)
        with suppress(ScaffoldError):  # the first error is the one to report
            install(root, removed=plan.name)
            derive(root, plan.name, WITHOUT_DOCUMENTS)
        raise
    write_record(checkout, plan.name, {str(path): digest(root / path) for path in sorted(files)})
    return sorted(files)


def _lock_charts(root: Path, name: str, services: Mapping[str, Service]) -> None:
    """Copy the locks of another service's charts, which have the same dependencies."""
    other = next(iter(services))
    for kind in ("charts", "istio"):
        shutil.copyfile(root / kind / other / "Chart.lock", root / kind / name / "Chart.lock")


def delete(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def record_of(checkout: Checkout, name: str) -> Path:
    """Return where the digests of a service's files are kept, as commands have written them."""
    return checkout.state / "scaffold" / f"{name}.json"


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_record(checkout: Checkout, name: str, digests: Mapping[str, str]) -> None:
    """Record the digests of a service's files, by path, as commands have written them."""
    path = record_of(checkout, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, dict(digests))
