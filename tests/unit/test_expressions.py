"""No regular expression makes a stranger's text cost more than its length.

Every expression of the shared package and of the services is found by reading the code. One that
meets text from outside has worst inputs in `FOREIGN` and is measured on them at three lengths; for
each other one `OWN` says whose text it meets. An expression that is in neither fails the test.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.growth import is_linear

ROOT = Path(__file__).parents[2]
SOURCES = [*sorted((ROOT / "libs").glob("*/src")), *sorted((ROOT / "services").glob("*/src"))]
USES = frozenset(
    {"match", "fullmatch", "search", "findall", "finditer", "split", "sub", "subn", "scanner"}
)


@dataclass(frozen=True)
class Worst:
    """A text of any length: `before`, then `piece` over and over, then `after`."""

    piece: str
    before: str = ""
    after: str = ""

    def text(self, length: int) -> str:
        return self.before + self.piece * (length // len(self.piece) + 1) + self.after


@dataclass(frozen=True)
class Expression:
    """A call of `re` in the code: its pattern, and the methods that the code calls on it."""

    home: str  # `module:name` of the variable or of the function around it
    pattern: re.Pattern[Any]
    uses: tuple[str, ...]

    def work(self, text: str) -> None:
        """What the code makes of `text`, to the end."""
        subject: Any = text.encode() if isinstance(self.pattern.pattern, bytes) else text
        for use in self.uses:
            if use in ("match", "fullmatch"):
                getattr(self.pattern, use)(subject)
            else:  # to the end, even where the code looks for the first one only
                for _ in self.pattern.finditer(subject):
                    pass


BACKSLASHES = [Worst("\\"), Worst("\\", "x"), Worst("x\\"), Worst("\\\\u000"), Worst("\\\\u0000")]
TRACEPARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
SQL = [
    Worst(piece)
    for piece in (
        "/*", "/* ", "/* */", "--", "-", "*/", " ", "a", "FROM ", "FROM a.", "SELECT a ",
        "SELECT a(", "UPDATE ", "UPDATE ONLY ", "UPDATE a AS a ", "INSERT INTO ", 'FROM "',
        "DELETE FROM ONLY ",
    )
]  # fmt: skip
SQL += [Worst(" ", before) for before in ("FROM", "UPDATE", "UPDATE a AS", "SELECT a", "INSERT")]
# By home: the texts that make the most work. Where none is apt to, the plainest repetitions.
FOREIGN: dict[str, list[Worst]] = {
    "twelvefold.observability.redaction:_SHAPES": [
        Worst(piece)
        for piece in (
            "a", " ", "=a.", "a.", "a+", "x:", "://", "a://", "a://b:", "a://b:c", "://:", "a@",
            "eyJaaaaaaaa", "eyJaaaaaaaa.", "eyJaaaaaaaa-", "-eyJ", "-eyJaaaaaaaa", ".eyJaaaaaaaa",
            "bearer ", "bearer\n\n\n\n", "basic aaaaaaa ", "token=", "a_token_", "token ", "_token",
            "code", "code ", "password:", "api-", "x-amz-", "x-amz-signature ", "Key (", ")=(",
            "for query argument $1", "Failing row contains ", "-----BEGIN ",
            "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\\",
            '-----BEGIN PRIVATE KEY-----"', "PRIVATE KEY ",
            "-----BEGIN PRIVATE KEY----- -----END ", "-----END PRIVATE KEY----",
        )
    ]
    + [
        Worst(piece, before)
        for before, piece in (
            ("bearer", " "), ("a://", "b:"), ("a://", "b"), ("-----BEGIN ", "PRIVATE KEY "),
            ("-----BEGIN PRIVATE KEY-----", "-"), ("-----BEGIN PRIVATE KEY-----", "-----END "),
            ("-----BEGIN PRIVATE KEY-----", "\\"), ("for query argument $", "1"), ("token", " "),
            ("eyJ", "a"), ("eyJaaaaaaaa.", "a"), ("a", "_token"),
        )
    ],
    "twelvefold.observability.redaction:_SECRET_KEY": [
        Worst("a"), Worst("api-"), Worst("access_"), Worst("private-"), Worst("email_"), Worst("e"),
    ],
    "twelvefold.http.rest.conditional:_MEMBER": [
        Worst(", "), Worst(" ", '"v1"'), Worst("x", '"'), Worst('"'), Worst('W/"v1",'),
    ],
    "twelvefold.http.rest.conditional:_VERSION": [Worst("v"), Worst("1", "v")],
    "twelvefold.http.middleware.header_fields:_ASCII": [Worst("a"), Worst("a", after="\x7f")],
    "twelvefold.http.middleware.header_fields:_SLASH": [Worst("%2F"), Worst("%2"), Worst("%")],
    "twelvefold.context:_REQUEST_ID": [Worst("a"), Worst("a", after=" "), Worst(".")],
    "twelvefold.http.rest.idempotency_key:_KEY": [
        Worst("a"),
        Worst("a", '"'),
        Worst('"'),
        Worst(" "),
    ],
    "twelvefold.http.middleware.body_limit:_JSON_NUL": BACKSLASHES,
    "twelvefold.http.middleware.tracing:_TRACEPARENT": [
        Worst("0"), Worst("-", TRACEPARENT), Worst("-\n", TRACEPARENT), Worst(TRACEPARENT),
    ],
    "twelvefold.http.server.wire.framing:_REQUEST_LINE": [
        Worst("a"), Worst(" "), Worst("a", "GET "), Worst(" ", "GET /"), Worst("a ", "GET "),
        Worst("\r", "GET / HTTP/1.1"), Worst("1", "GET / HTTP/1."), Worst("A"),
    ],
    "twelvefold.http.server.wire.framing:_TOKEN": [Worst("a"), Worst("a", after=" "), Worst("!")],
    "twelvefold.http.server.wire.request_head:_HOST": [
        Worst("a"), Worst("a."), Worst("%41"), Worst(":"), Worst("1", "a:"), Worst(":", "["),
        Worst("0:", "["), Worst("a", after=" "), Worst("v1.", "["),
    ],
    "twelvefold.http.server.wire.request_head:_AUTHORITY": [
        Worst("a"), Worst("a", "http://"), Worst("a.", "http://"), Worst("%41", "http://"),
        Worst("a@", "http://"), Worst(":", "http://a"), Worst("a:", "http://"), Worst("/"),
    ],
    "twelvefold.jobs.worker.execution:_ESCAPED_NUL": BACKSLASHES,
    "twelvefold.contracts.text:_FORBIDDEN": [
        Worst("a"), Worst("\u202e"), Worst("\ud800"), Worst("\U0001fae9"),
    ],
    "twelvefold.contracts.text:_SPACES": [
        Worst(" "), Worst(" ", after="a"), Worst("a "), Worst("\u3000"),
    ],
    "twelvefold.mail.mailer:_ADDRESS": [
        Worst("a"), Worst("a."), Worst("."), Worst("a", after="@"), Worst("a.", after="@"),
        Worst("a", "a@"), Worst("a.", "a@"), Worst("a-", "a@"), Worst("@"),
    ],
    "twelvefold.mail.mailer:_HEADER_NAME": [Worst("a"), Worst("a", after=":")],
    "twelvefold.mail.mailer:_RESERVED_HEADERS": [
        Worst("a", "content-"), Worst("content-"), Worst("\n"),
    ],
    "twelvefold_dev.servers.mail_catcher:_NOT_IN_NAMES": [Worst("/"), Worst("a/"), Worst("a")],
    # Mails that were caught, and lines of logs and spans, as the console shows them.
    "twelvefold_dev.console.sources.exemplars:_LABEL": [
        Worst("a"), Worst('a="'), Worst('a="a'), Worst("a", '="'), Worst('a="",'),
    ],
    "twelvefold_dev.console.sources.exemplars:_TRACE_ID": [Worst("0"), Worst("a", after="x")],
    "twelvefold_dev.console.sources.mails:_NAME": [Worst("1"), Worst("1-"), Worst("a", "000001-")],
    "twelvefold_dev.console.sources.mail_html:_HEAD": [
        Worst("<head"), Worst("<head "), Worst("<"), Worst(" ", "<head"), Worst("<head\n"),
    ],
    "twelvefold_dev.console.sources.mail_html:_SCHEME_QUERY": [
        Worst("("), Worst("( "), Worst(" ", "("), Worst("(prefers-color-scheme"),
        Worst("(prefers-color-scheme : "), Worst("(prefers-color-scheme:dark "),
    ],
    "twelvefold_dev.console.sources.mail_html:_URL": [
        Worst("http"), Worst("https://"), Worst("a", "http://"), Worst("http://a"),
    ],
    "twelvefold_dev.console.sources.mails:_REMOTE": [
        Worst(piece)
        for piece in ("<img", "<img ", "<img src", "<img src=", "<img src='", "<img src=http:/",
                      "<", " src", " src=", "img", "<img src = ' ")
    ]
    + [
        Worst(piece, before)
        for before in ("<img", "<img src", "<img src=", '<img src="', "<img src = ' ")
        for piece in (" ", " src", " src=", " src= ' ", "https:", "/")
    ],
    "twelvefold_dev.console.sources.mails:_CID": [
        Worst('"cid:'), Worst("(cid:"), Worst('"cid:a'), Worst("cid:"), Worst("a", "(cid:"),
    ],
    "twelvefold_dev.console.sources.mails:_JOB": [Worst("<"), Worst("<01234567-"), Worst("a", "<")],
    "twelvefold_dev.console.sources.log_search:_TIME": [
        Worst(" "), Worst("["), Worst("2026-01-01 "), Worst("0", "2026-01-01 00:00:00."),
        Worst(" ", "2026-01-01 00:00:00"),
    ],
    "twelvefold_dev.console.sources.log_search:_TRACE_ID": [Worst("0"), Worst("a", after="x")],
    "twelvefold_dev.console.sources.jobs:_TRACEPARENT": [
        Worst("0"), Worst("00-"), Worst(TRACEPARENT),
    ],
    "twelvefold_dev.console.traces.query:_DURATION": [
        Worst("1", ">"), Worst("1.", ">"), Worst(">"),
    ],
    "twelvefold.http.edge.parameters:_DECIMAL": [Worst("0"), Worst("1"), Worst("-")],
    "twelvefold.http.edge.parameters:_DAY": [Worst("1"), Worst("1", "1111-")],
    "twelvefold.http.edge.parameters:_UUID": [Worst("a"), Worst("aaaaaaaa-"), Worst("aaaa-")],
    "twelvefold_client.events:_LINE_END": [Worst("\r"), Worst("\n"), Worst("\r\n")],
    "twelvefold_dev.terminal.logs:_FRAME": [
        Worst(" "), Worst("a", 'File "'), Worst('", line ', 'File "'),
    ],
    "twelvefold_dev.console.traces.query:_POSITION": [Worst("1"), Worst("1", "1-")],
    "twelvefold_dev.console.traces.query:_TERM": [
        Worst('"'), Worst("a", '"'), Worst("a:"), Worst('-"'), Worst('"a '),
    ],
    "twelvefold_dev.console.traces.query:_STATUS": [Worst("5"), Worst("x", "5")],
    "twelvefold.observability.sql_summary:_COMMENT": SQL,
    "twelvefold.observability.sql_summary:_TARGETS": SQL,
    "twelvefold.observability.sql_summary:_CALL": SQL,
}  # fmt: skip
# By home: whose text it is.
OWN = {
    "twelvefold_dev.servers.backing:_UNRESERVED": "a setting",
    "twelvefold.database.migrations:_require_unused": "application_name, 63 bytes at most",
    **{
        f"twelvefold_dev.scaffold.{home}": "files of the checkout"
        for home in (
            "additions.email_job:_EXTRAS",
            "additions.endpoint:_NAME",
            "additions.job:_KIND",
            "additions.setting:_NAME",
            "chart_lists:_PASSWORDS",
            "chart_lists:_PEERS",
            "chart_lists:write_backing",
            *(
                f"gitops_lists:{name}"
                for name in ("_CHART", "_KIND", "_NEEDS", "_WAVE", "_document")
            ),
            "lists:_MODULE",
            "plan:_NAME",
            "plan:_TABLE",
            "remove:remove_service",
            "lists:_is_of_a_service",
            "pyproject_lists:write",
        )
    },
    "twelvefold_ops.postgres_tools:_VERSION": "what pg_dump says of itself",
    "twelvefold_ops.rollout.arguments:_DURATION": "an argument of the operator",
    "twelvefold_dev.library:_first_sentence": "docstrings",
    "twelvefold.mail.brand:_COLOR": "a setting",
    **{
        f"twelvefold_dev.project.naming:{name}": "files of the checkout"
        for name in (
            *("NAME", "_COMMAND", "_IMAGE", "_METRIC", "_OBJECT", "_OWNER", "_PART_OF", "_SOURCE"),
            *("_TITLE", "_VARIABLE", "_WORD", "apply"),
        )
    },
    "twelvefold_ops.rollout.helm:_read_major": "what Helm says of itself",
    "twelvefold_ops.rollout.arguments:_TAG": "an argument of the operator",
    "twelvefold_ops.rollout.arguments:_DIGEST": "an argument of the operator",
    "twelvefold.database.revisions:_REVISION_FILE": "names of files of the release",
    "twelvefold.observability.spans:_COMMAND_TAG": "PostgreSQL's command tag",
}


def found_in(path: Path, root: Path) -> Iterator[Expression]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("re", "regex"):
            pytest.fail(f"{name} takes names out of re: write `import re`, so that they are found")
        if isinstance(node, ast.Import) and any(
            alias.name == "regex" or (alias.name == "re" and alias.asname) for alias in node.names
        ):
            pytest.fail(f"{name} imports re by another name")
    for home, call in calls(tree):
        module = importlib.import_module(name)
        uses = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == home
        }
        assert isinstance(call.func, ast.Attribute)
        if call.func.attr != "compile":
            uses = {call.func.attr}
        yield Expression(
            f"{name}:{home}", compiled(call, vars(module)), tuple(uses & USES) or ("finditer",)
        )


def calls(tree: ast.AST, home: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Each call of `re.something(pattern, …)`, with the variable or the function that holds it."""
    for node in ast.iter_child_nodes(tree):
        inner = home
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and not home:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            inner = ast.unparse(target)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in USES | {"compile", "template"}
        ):
            yield inner, node
        yield from calls(node, inner)


def compiled(call: ast.Call, names: dict[str, Any]) -> re.Pattern[Any]:
    """The pattern, where it is made of names of the module; else one that matches nothing."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "compile":
        source: ast.expr = call
    else:
        flags = [word for word in call.keywords if word.arg == "flags"]
        compile_ = ast.parse("re.compile", mode="eval").body
        source = ast.Call(compile_, [call.args[0]], flags)
    code = compile(ast.fix_missing_locations(ast.Expression(source)), "expression", "eval")
    try:
        found = eval(code, names)  # noqa: S307 (our own source)
    except NameError:  # of arguments: such a one can be explained in OWN, and not measured
        found = re.compile(r"(?!)")
    assert isinstance(found, re.Pattern)
    return found


EXPRESSIONS = [
    expression
    for root in SOURCES
    for path in sorted(root.rglob("*.py"))
    for expression in found_in(path, root)
]


def test_every_expression_in_the_tree_is_declared_once_and_none_is_declared_in_vain():
    homes = {expression.home for expression in EXPRESSIONS}
    assert homes == FOREIGN.keys() | OWN.keys()
    assert not FOREIGN.keys() & OWN.keys()


def test_an_expression_that_meets_a_strangers_text_could_be_measured():
    unknown = [one.home for one in EXPRESSIONS if one.pattern.pattern == r"(?!)"]
    assert not FOREIGN.keys() & set(unknown)


@pytest.mark.parametrize("home", FOREIGN)
def test_twice_the_text_takes_twice_the_time(home):
    slow = [
        (expression.pattern.pattern, worst)
        for expression in EXPRESSIONS
        if expression.home == home
        for worst in FOREIGN[home]
        if not is_linear(expression.work, worst.text)
    ]
    assert not slow


@pytest.mark.parametrize(
    ("pattern", "worst"),
    [(r"\b[a-z][a-z.]*://", Worst("a.")), (r"<head\b[^>]*>", Worst("<head "))],
)
def test_a_quadratic_expression_would_be_found(pattern, worst):
    expression = Expression("", re.compile(pattern), ("search",))
    assert not is_linear(expression.work, worst.text)
