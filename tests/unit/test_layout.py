"""The layout of the sources: folders that a reader can take in, and no circle of imports.

import-linter holds the order of the packages (pyproject.toml). Within a package, and where an
import is made on first use, only these tests look.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [*sorted((ROOT / "libs").glob("*/src")), *sorted((ROOT / "services").glob("*/src"))]
MAX_MODULES = 15  # in a folder of sources
# By dotted name. Alembic's revisions, which only ever grow, and what a program has written are no
# part of the layout.
MODULES = {
    ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
    for source in SOURCES
    for path in source.rglob("*.py")
    if path.parent.name != "versions" and "generated" not in path.parts
}


def _imports(name: str, path: Path) -> Iterator[str]:
    """Yield the modules that a module imports, at any place in its text."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                member = f"{module}.{alias.name}"
                yield member if member in MODULES else module


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        name: {module for module in _imports(name, path) if module in MODULES and module != name}
        for name, path in MODULES.items()
    }
    assert sum(map(len, graph.values())) > len(MODULES)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_folder_of_sources_has_too_many_modules():
    modules = Counter(path.parent.relative_to(ROOT) for path in MODULES.values())
    assert {folder: count for folder, count in modules.items() if count > MAX_MODULES} == {}


def test_a_process_without_routes_does_not_load_fastapi():
    """FastAPI would cost each worker about 7 MB; the console shares the server as well."""
    modules = "worker.app, twelvefold.http.management, twelvefold.http.server.server"
    code = f"import sys, {modules}; print(sorted({{'fastapi'}} & set(sys.modules)))"
    result = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"
