"""The name of a project in its tree: charts, images, labels, metrics and titles.

Never the import names, the distributions, the command, settings or Redis keys: the code of a
renamed project is the code of the suite, so that releases merge.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
MAX_NAME_LENGTH = 30  # it is a part of DNS labels, which have at most 63 characters
_OLD, _OLD_TITLE = "twelvefold", "Twelvefold"

# Where a cluster's objects, images and pictures get their names, and what tests them.
_DELIVERY = (
    "charts/*",
    "istio/*",
    "skaffold.yaml",
    ".ci/*",
    ".github/*",
    "tests/charts/*",
    "tests/cluster/*",
    "tests/observability/*",
    "libs/twelvefold-dev/src/twelvefold_dev/scaffold/templates/*",
    "services/Dockerfile",
    "libs/Dockerfile",
    "docs/guides/deploy.md",
    "docs/guides/rollout.md",
    "docs/guides/backup.md",
    "docs/guides/gitops.md",
    "docs/examples/*",
)
# The pages of a team.
_PROSE = ("README.md", "docs/*", ".github/*")
# Code that draws the dashboards.
_DRAWN = ("tests/observability/*",)
# Other tests, where only names of images and objects are renamed.
_TESTS = ("tests/*",)
# History, licenses, pages that are generated from code, and what states the suite's own addresses.
_NEVER = (
    "docs/changelog.md",
    "docs/changes/*",
    "docs/api/*",
    ".github/decisions/*",
    "*/LICENSE",
    "libs/*/README.md",
    "docs/guides/libraries.md",
    "docs/reference/settings.md",
    "docs/reference/commands.md",
    "docs/reference/problems.md",
    "docs/reference/library.md",
    ".ci/wheels.py",
    "libs/twelvefold-dev/src/twelvefold_dev/project/*",
    "tests/unit/dev/test_naming.py",
    "tests/unit/dev/test_project_upgrade.py",
)
# The word, unless it is the import name, a distribution, the command, a folder or a DNS prefix.
_WORD = re.compile(
    r"(?<![\w./-])(?<!import )(?<!from )(?<!pip install )(?<!module-name = \")"
    r"twelvefold"
    r"(?![\w]|\.(?!localhost\b)|-(?:dev|ops|api|suite|client)\b|-[$<]|\[)"
)
# Names of objects and variables, wherever they stand.
_OBJECT = re.compile(r"\btwelvefold(?=-(?:backing|shared)\b(?!-))|(?<=:-)twelvefold(?=\})")
_PART_OF = re.compile(r"(?<=part-of=)twelvefold\b|(?<=part_of=\")twelvefold\b")
_VARIABLE = re.compile(r"(?<=_ghcr_io_)twelvefold(?=_)")
_IMAGE = re.compile(r"(?<=ghcr\.io/)twelvefold(?![\w.-])")
_OWNER = re.compile(r"(?<=@)twelvefold(?=/)")
_SOURCE = re.compile(r"(github\.com/)twelvefold/twelvefold")
_METRIC = re.compile(r"\btwelvefold_(?=build_info\b)")
_TITLE = re.compile(r"\bTwelvefold\b(?! <no-reply@example\.com>)")  # an example in the code
_COMMANDS = (
    "run|services|log-level|openapi|config|rollout|backup|restore|up|down|reset|ps|scale|env|restart"
    "|console|logs|backing|reference|workspace|upgrade|rename|new|remove|db|jobs|keys|users|contract"
)
_COMMAND = re.compile(rf"(?<!-n )twelvefold(?= +(?:{_COMMANDS})\b| +(?:--help|SERVICE|[A-Z]+)\b)")
_KEPT = "\0command\0"  # stands for the command while the word is replaced


@dataclass(frozen=True, slots=True)
class Naming:
    """The name (`acme`) and the title (`Acme`) of a project."""

    name: str
    title: str

    @classmethod
    def create(cls, name: str, title: str | None = None) -> Naming:
        """Return the naming. Raises ValueError for a name that cannot be part of a DNS label."""
        if not NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH or _OLD in name:
            raise ValueError(
                f"a name has up to {MAX_NAME_LENGTH} lower-case letters, digits and single "
                f"hyphens, and does not contain {_OLD}"
            )
        title = title or name.replace("-", " ").title()
        if not title.isprintable() or set(title) & set("\"'\\{}<>@"):
            raise ValueError("a title has no quotes, braces, brackets or backslashes")
        return cls(name, title)

    @property
    def _identifier(self) -> str:
        return self.name.replace("-", "_")

    def apply(self, path: str, content: bytes) -> bytes:
        """Return the content of `path` under this name. A file that is no text stays as it is."""
        if _matches(path, _NEVER):
            return content
        if b"\0" in content or not re.search(rb"twelvefold", content, re.IGNORECASE):
            return content
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            return content
        text = _METRIC.sub(f"{self._identifier}_", text)
        if _matches(path, _DELIVERY):
            text = self._rename_delivery(path, text)
        elif _matches(path, _PROSE):
            text = self._rename_objects(text)
            text = _TITLE.sub(self.title, text)
        elif _matches(path, _TESTS):
            text = self._rename_objects(text)
        return text.encode("utf-8")

    def _rename_objects(self, text: str) -> str:
        for pattern in (_IMAGE, _PART_OF, _OBJECT, _OWNER):
            text = pattern.sub(self.name, text)
        return _VARIABLE.sub(self._identifier, text)

    def _rename_delivery(self, path: str, text: str) -> str:
        text = _COMMAND.sub(_KEPT, text)
        text = _SOURCE.sub(rf"\g<1>{self.name}/{self.name}", text)
        text = self._rename_objects(text)
        text = _WORD.sub(self.name, text)
        if not path.endswith(".py") or _matches(path, _DRAWN):
            text = _TITLE.sub(self.title, text)
        return text.replace(_KEPT, _OLD)


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
