"""Names that a new service would bind twice, because a template uses the same one.

A table `pages` makes a class `Page`, which the templates import from the shared package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path


def find_clash(files: Mapping[Path, str]) -> str | None:
    """Return the first name that a module or a class binds twice, with its file, or None."""
    for path, source in files.items():
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module | ast.ClassDef):
                names = list(_bound(node.body))
                if again := next((name for name in names if names.count(name) > 1), None):
                    return f"{path} uses {again} for something else"
    return None


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case ast.If(body=more):  # TYPE_CHECKING
                yield from _bound(more)
