"""The vocabulary of the project: names and words that were given up do not come back.

`vocabulary.toml` holds the names that the first edition used, each with the package in which it
must not be defined again, and the words that the code, its pages and its charts no longer use.
`make check` runs this file. docs/glossary.md explains the terms that replaced them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [*sorted((ROOT / "libs").glob("*/src")), *sorted((ROOT / "services").glob("*/src"))]
TABLE = Path(__file__).with_name("vocabulary.toml")
VOCABULARY = tomllib.loads(TABLE.read_text())
# Text that may use a retired word: the history of the project, and what states the words.
HISTORY = ("docs/changelog.md", "docs/changes/")
# Written by programs.
FOREIGN = ("uv.lock", "libs/twelvefold-client/src/twelvefold_client/generated/")


def definitions(tree: ast.Module) -> Iterator[str]:
    """Yield what a module defines: `Name`, `Class.member` and `function(parameter)`."""
    yield from _definitions(tree.body, "")


def _definitions(body: list[ast.stmt], owner: str) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.ClassDef(name=name):
                yield owner + name
                yield from _definitions(statement.body, f"{owner}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield owner + name
                yield from (f"{owner}{name}({parameter})" for parameter in _parameters(statement))
                yield from (owner + attribute for attribute in _attributes(statement) if owner)
            case ast.Assign(targets=targets):
                yield from (owner + target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield owner + name
            case ast.If() | ast.Try() | ast.With():
                yield from _definitions(_nested(statement), owner)


def _nested(statement: ast.If | ast.Try | ast.With) -> list[ast.stmt]:
    inside: list[ast.stmt] = []
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, ast.ExceptHandler):
            inside += node.body
        elif isinstance(node, ast.stmt):
            inside.append(node)
    return inside


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    arguments = function.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yield argument.arg


def _attributes(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Yield the attributes of `self` that a method sets."""
    for node in ast.walk(method):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def _modules() -> Iterator[tuple[str, Path]]:
    """Yield each module of sources and of tests by its dotted name."""
    for top, paths in [(source, source.rglob("*.py")) for source in SOURCES] + [
        (ROOT, (ROOT / "tests").rglob("*.py"))
    ]:
        for path in paths:
            parts = path.relative_to(top).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - the one on the PATH, as everywhere in the repository
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name]


def words(text: str) -> Iterator[str]:
    """Yield the lower-case words of a text, also those inside of identifiers.

    `_HandOver.idle_poll` has the words hand, over, idle and poll.
    """
    for word in re.findall(r"[A-Z]+(?![a-z])|[A-Za-z][a-z]*", text):
        yield word.lower()


@pytest.fixture(scope="module")
def defined() -> dict[str, set[str]]:
    """Return what each module defines, by the module's name."""
    return {name: set(definitions(ast.parse(path.read_text()))) for name, path in _modules()}


@pytest.mark.parametrize("package", VOCABULARY["symbols"])
def test_no_retired_name_is_defined_again(package, defined):
    inside = {name for name in defined if name == package or name.startswith(f"{package}.")}
    assert inside, f"{package} is gone: give its names in {TABLE.name} to the package they are in"
    again = [
        f"{module}: {old} is {new} now"
        for old, new in VOCABULARY["symbols"][package].items()
        for module in inside
        if old in defined[module]
    ]
    assert not again


@pytest.mark.parametrize("package", VOCABULARY["modules"])
def test_no_retired_module_is_there_again(package, defined):
    retired = set(VOCABULARY["modules"][package])
    again = {
        module
        for module in defined
        if module.startswith(f"{package}.")
        and retired.intersection(module.removeprefix(f"{package}.").split("."))
    }
    assert not again


def test_no_retired_word_is_in_the_tree():
    retired = frozenset(VOCABULARY["words"])
    found: list[str] = []
    for name in _tracked_files():
        path = ROOT / name
        if name.startswith((*HISTORY, *FOREIGN)) or path == TABLE or not path.is_file():
            continue
        found += [f"{name}: {word}" for word in retired.intersection(words(name))]
        try:
            text = path.read_text()
        except UnicodeDecodeError:  # a picture, an archive
            continue
        if retired.isdisjoint(words(text)):
            continue
        found += [
            f"{name}:{number}: {word}"
            for number, line in enumerate(text.splitlines(), 1)
            for word in retired.intersection(words(line))
        ]
    assert not found


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("class A:\n    b = 1\n    c: int\n    def d(self, e): self.f = e", "A A.b A.c A.d A.d(e)"),
        ("if True:\n    G = 1\nelse:\n    def h(*, i): ...", "G h h(i)"),
        ("try:\n    J: int = 1\nexcept E:\n    K = 2", "J K"),
    ],
)
def test_what_the_guard_sees_of_a_module(code, expected):
    assert set(expected.split()) <= set(definitions(ast.parse(code)))


def test_the_guard_sees_words_inside_of_identifiers():
    assert list(words("_HandOver.idle_poll HTTPServer")) == [
        *("hand", "over", "idle", "poll", "http", "server"),
    ]


def test_no_file_has_the_marks_of_an_unresolved_merge():
    marks = ("<<<<<<< ", ">>>>>>> ")
    found = [
        f"{name}:{number}"
        for name in _tracked_files()
        if (ROOT / name).is_file()
        for number, line in enumerate(
            (ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines(), 1
        )
        if line.startswith(marks)
    ]
    assert found == []
