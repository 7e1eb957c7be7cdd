"""Generate `twelvefold_client/generated` from the committed OpenAPI document, or check it.

    python libs/twelvefold-client/generate.py [--check]

Owns how openapi-python-client is called; what it writes is never edited. `templates` replaces those
of its templates that write operations, so that the methods of a client return what a success holds.
A warning of the generator is an error here, since it means an operation that no client has.
"""

from __future__ import annotations

import filecmp
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGE = HERE / "src/twelvefold_client/generated"
TEMPLATES = HERE / "templates"
DOCUMENT = HERE.parents[1] / "docs/api/api.json"
BINARY = "application/octet-stream"
TIMEOUT = 60  # seconds


def _simplify(document: dict[str, Any]) -> dict[str, Any]:
    """Describe uploads in one media type: the generator knows no images, and the bytes decide."""
    for item in document["paths"].values():
        for operation in item.values():
            content = operation.get("requestBody", {}).get("content", {})
            if BINARY in content:
                operation["requestBody"]["content"] = {BINARY: content[BINARY]}
    return document


def generate(target: Path) -> None:
    """Write the package to `target`. Raises SystemExit with the generator's output."""
    binaries = Path(sys.executable).parent
    ruff = f"{binaries / 'ruff'} {{}} --isolated --no-cache --quiet --line-length 100 ."
    config = {
        "project_name_override": PACKAGE.name,
        "package_name_override": PACKAGE.name,
        "post_hooks": [ruff.format("check --fix-only --select I,F401"), ruff.format("format")],
    }
    with tempfile.TemporaryDirectory() as folder:
        document, settings = Path(folder, "api.json"), Path(folder, "config.json")
        document.write_text(json.dumps(_simplify(json.loads(DOCUMENT.read_text()))))
        settings.write_text(json.dumps(config))
        done = subprocess.run(  # noqa: S603  (our own environment's generator)
            [
                str(binaries / "openapi-python-client"),
                "generate",
                "--fail-on-warning",
                *("--path", str(document)),
                *("--config", str(settings)),
                *("--custom-template-path", str(TEMPLATES)),
                *("--meta", "none"),
                *("--output-path", str(target)),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}")


def find_differences(made: Path, present: Path) -> list[str]:
    """Return the names of files that differ, or are on one side only."""
    files = {
        path.relative_to(root)
        for root in (made, present)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(
        str(name)
        for name in files
        if not (made / name).exists()
        or not (present / name).exists()
        or not filecmp.cmp(made / name, present / name, shallow=False)
    )


def main(*, check: bool) -> None:
    """Write the package where it is out of date. Raises SystemExit instead where `check`."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, PACKAGE.name)
        generate(made)
        stale = find_differences(made, PACKAGE)
        if stale and check:
            raise SystemExit(f"the generated client is out of date ({stale[0]} …): run make client")
        if stale:
            shutil.rmtree(PACKAGE, ignore_errors=True)
            shutil.copytree(made, PACKAGE)
    sys.stdout.write(f"twelvefold_client: {'written' if stale else 'up to date'}\n")


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
