"""The TypeScript client, built, and programs that use it.

Owns the fixture `run_typescript`. It needs Node, and what `make client-ts` installs; without them
its tests are skipped, with the reason printed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pages import run_program

PACKAGE = Path(__file__).parents[1] / "libs/twelvefold-client-ts"
CONFIGURATION = (
    '{"extends": "../../tsconfig.json", "include": ["program.ts"], "exclude": [],'
    ' "compilerOptions": {"rootDir": ".", "outDir": "."}}'
)


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
    run_program(str(tsc), cwd=PACKAGE, timeout=120)

    def run(name: str, program: str, *, timeout: float = 100, **environment: str) -> str:
        folder = PACKAGE / "dist" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "program.ts").write_text(program)
        (folder / "tsconfig.json").write_text(CONFIGURATION)
        run_program(str(tsc), "-p", str(folder), cwd=PACKAGE, timeout=120)
        return run_program(
            "node", str(folder / "program.js"), cwd=PACKAGE, timeout=timeout, **environment
        )

    return run
