"""The TypeScript client, built, and programs that use it.

Owns the fixture `run_typescript`. It needs Node, and what `make client-ts` installs; without them
its tests are skipped, with the reason printed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "libs/twelvefold-client-ts"
CONFIGURATION = (
    '{"extends": "../../tsconfig.json", "include": ["program.ts"], "exclude": [],'
    ' "compilerOptions": {"rootDir": ".", "outDir": "."}}'
)


def _run(*command: str, timeout: float, **environment: str) -> str:
    done = subprocess.run(  # noqa: S603  (programs of the tests)
        command,
        env={**os.environ, **environment},
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def run_typescript() -> Callable[..., str]:
    """Compiles a program with `tsc --strict` beside the built client, runs it in Node, and returns
    its output.
    """
    if shutil.which("node") is None:
        pytest.skip("there is no Node")
    tsc = PACKAGE / "node_modules/.bin/tsc"
    if not tsc.exists():
        pytest.skip("the TypeScript client is not installed: make client-ts")
    _run(str(tsc), timeout=120)

    def run(name: str, program: str, *, timeout: float = 100, **environment: str) -> str:
        folder = PACKAGE / "dist" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "program.ts").write_text(program)
        (folder / "tsconfig.json").write_text(CONFIGURATION)
        _run(str(tsc), "-p", str(folder), timeout=120)
        return _run("node", str(folder / "program.js"), timeout=timeout, **environment)

    return run
