"""Makes `twelvefold_client` from the committed OpenAPI document, or says whether it is current.

    python -m tests.client.generate [--check]

Owns how openapi-python-client is called; what it makes is never edited. A warning of the
generator is an error here, since it means an operation that no client has.
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
PACKAGE = HERE / "twelvefold_client"
DOCUMENT = HERE.parents[1] / "docs/api/api.json"
BINARY = "application/octet-stream"
TIMEOUT = 60  # seconds


def _simplified(document: dict[str, Any]) -> dict[str, Any]:
    """Uploads in one media type: the generator knows no images, and the bytes decide anyway."""
    for item in document["paths"].values():
        for operation in item.values():
            content = operation.get("requestBody", {}).get("content", {})
            if BINARY in content:
                operation["requestBody"]["content"] = {BINARY: content[BINARY]}
    return document


def generate(target: Path) -> None:
    """Writes the package to `target`. Raises SystemExit with what the generator has to say."""
    binaries = Path(sys.executable).parent
    ruff = f"{binaries / 'ruff'} {{}} --isolated --no-cache --quiet --line-length 100 ."
    config = {
        "project_name_override": PACKAGE.name,
        "package_name_override": PACKAGE.name,
        "post_hooks": [ruff.format("check --fix-only --select I,F401"), ruff.format("format")],
    }
    with tempfile.TemporaryDirectory() as folder:
        document, settings = Path(folder, "api.json"), Path(folder, "config.json")
        document.write_text(json.dumps(_simplified(json.loads(DOCUMENT.read_text()))))
        settings.write_text(json.dumps(config))
        done = subprocess.run(  # noqa: S603  (our own environment's generator)
            [
                str(binaries / "openapi-python-client"),
                "generate",
                "--fail-on-warning",
                *("--path", str(document)),
                *("--config", str(settings)),
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


def differences(made: Path, present: Path) -> list[str]:
    """Names of files that differ, or are on one side only."""
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
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, PACKAGE.name)
        generate(made)
        stale = differences(made, PACKAGE)
        if stale and check:
            raise SystemExit(f"the generated client is out of date ({stale[0]} …): run make client")
        if stale:
            shutil.rmtree(PACKAGE, ignore_errors=True)
            shutil.copytree(made, PACKAGE)
    sys.stdout.write(f"{PACKAGE.name}: {'written' if stale else 'up to date'}\n")


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
