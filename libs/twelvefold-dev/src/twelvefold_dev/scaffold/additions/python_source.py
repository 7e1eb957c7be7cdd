"""A Python module as text, with the places at which more can stand, found by its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twelvefold_dev.scaffold.errors import ScaffoldError

_BY_HAND = "add it by hand, as docs/guides/extending.md says"
_Block = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class PythonSource:
    """One module. Every method raises ScaffoldError where the module lacks the named place."""

    def __init__(self, root: Path, path: Path) -> None:
        """Read `path`, relative to `root`. Raises ScaffoldError where there is no such module."""
        self.path = path
        try:
            self.text = (root / path).read_text(encoding="utf-8")
            ast.parse(self.text)
        except FileNotFoundError:
            raise ScaffoldError(f"there is no {path}: {_BY_HAND}") from None
        except SyntaxError as error:
            raise ScaffoldError(f"{path} is not valid Python: line {error.lineno}") from None

    def require_free(self, *names: str) -> None:
        """Raise ScaffoldError where the module or one of its classes defines one of the names."""
        defined = set(self._defined())
        for name in names:
            if name in defined:
                raise ScaffoldError(f"{self.path} has {name} already: choose another name")

    def add_import(self, line: str) -> None:
        """Add an import. ruff sorts it among the others, or removes it as superfluous."""
        imports = (ast.Import, ast.ImportFrom)
        lines = [node.end_lineno for node in self._body() if isinstance(node, imports)]
        self._insert(max(filter(None, lines), default=1), f"{line}\n")

    def add_typing_import(self, line: str) -> None:
        """Add an import that only the type checker needs, so that no driver is loaded for it."""
        for node in self._body():
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                self._insert(node.end_lineno or 0, f"    {line}\n")
                return
        raise ScaffoldError(f"{self.path} has no imports under TYPE_CHECKING: {_BY_HAND}")

    def add_before(self, name: str, text: str) -> None:
        """Add top-level statements before a class, a function or a constant, and its comment."""
        found = self._find(name)
        decorators = found.decorator_list if isinstance(found, _Block) else []
        first = min([found.lineno, *(decorator.lineno for decorator in decorators)]) - 1
        lines = self.text.splitlines()
        while first and lines[first - 1].startswith("#"):
            first -= 1
        self._insert(first, text)

    def add_at_end(self, text: str, *, of: str | None = None) -> None:
        """Add statements at the end of a class or a function, or of the module."""
        end = len(self.text.splitlines()) if of is None else self._find(of).end_lineno
        self._insert(end or 0, text)

    def add_before_return(self, function: str, text: str) -> None:
        """Add statements before the last statement of a function, which must be a return."""
        found = self._find(function)
        last = found.body[-1] if isinstance(found, _Block) else found
        if not isinstance(last, ast.Return):
            raise ScaffoldError(f"{function} of {self.path} does not end with a return")
        self._insert(last.lineno - 1, text)

    def add_field(self, name: str, text: str) -> None:
        """Add an annotated field after the last one of a class."""
        found = self._find(name)
        body = found.body if isinstance(found, ast.ClassDef) else []
        fields = [node.end_lineno for node in body if isinstance(node, ast.AnnAssign)]
        if not fields:
            raise ScaffoldError(f"{name} of {self.path} has no field")
        self._insert(fields[-1] or 0, text)

    def add_base(self, name: str, base: str) -> None:
        """Add a base class after the last one of a class."""
        found = self._find(name)
        if not isinstance(found, ast.ClassDef) or not found.bases:
            raise ScaffoldError(f"{name} of {self.path} has no base class")
        last = found.bases[-1]
        self._insert_at(last.end_lineno or 0, last.end_col_offset or 0, f", {base}")

    def add_to_tuple(self, name: str, element: str) -> None:
        """Add an element at the end of a tuple that is the value of a constant."""
        found = self._find(name)
        value = found.value if isinstance(found, ast.Assign) else None
        if not isinstance(value, ast.Tuple) or not value.elts:
            raise ScaffoldError(f"{name} of {self.path} is no tuple")
        last = value.elts[-1]
        self._insert_at(last.end_lineno or 0, last.end_col_offset or 0, f", {element}")

    def has(self, name: str) -> bool:
        """Return whether the module defines a class, a function or a constant of this name."""
        return any(name in _names(statement) for statement in self._body())

    def _find(self, name: str) -> ast.stmt:
        for statement in self._body():
            if name in _names(statement):
                return statement
        raise ScaffoldError(f"{self.path} has no {name}: {_BY_HAND}")

    def _body(self) -> list[ast.stmt]:
        return ast.parse(self.text).body

    def _defined(self) -> Iterator[str]:
        for statement in self._body():
            yield from _names(statement)
            if isinstance(statement, ast.ClassDef):
                for member in statement.body:
                    yield from _names(member)

    def add_after_line(self, line: str, text: str) -> None:
        """Add lines after the first one that reads `line`."""
        lines = self.text.splitlines()
        if line not in lines:
            raise ScaffoldError(f"{self.path} has no line `{line.strip()}`: {_BY_HAND}")
        self._insert(lines.index(line) + 1, text)

    def _insert(self, line: int, text: str) -> None:
        """Insert after the line of this number, counted from 1."""
        lines = self.text.splitlines(keepends=True)
        self.text = "".join([*lines[:line], text, *lines[line:]])

    def _insert_at(self, line: int, column: int, text: str) -> None:
        """Insert within a line; `column` counts the bytes before it, as the syntax tree does."""
        lines = self.text.splitlines(keepends=True)
        raw = lines[line - 1].encode()
        lines[line - 1] = (raw[:column] + text.encode() + raw[column:]).decode()
        self.text = "".join(lines)


def _names(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()
