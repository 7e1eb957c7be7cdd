"""What in a new OpenAPI document would break a client of an old one.

    python -m tests.contract.compatibility released.json api.json breaking.toml

Owns the rules, for JSON documents as generated here (references within the document, no
discriminators). It errs on the side of a finding: a schema that it cannot follow counts as changed.
A break that is meant is declared in breaking.toml with its reason. Why this and no ready tool:
.github/decisions.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# Keywords that a reader may rely on and a writer must keep to: smaller is narrower, or larger is.
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_EXACT = ("format", "pattern", "multipleOf", "uniqueItems")
_Seen = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Schemas:
    """Two schemas of two documents. A request may ask for less, a response may promise more.

    So what is compared is the strict one, which must hold everything that the loose one has: in a
    request the new one is strict, in a response the old one.
    """

    old_document: Json
    new_document: Json
    request: bool

    def compare(self, old: Json, new: Json, where: str, seen: _Seen = frozenset()) -> list[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair):
            if pair in seen:
                return []
            seen |= {pair}
        before = _alternatives(self.old_document, old)
        after = _alternatives(self.new_document, new)
        if len(before) == len(after) == 1:
            return list(self._differences(before[0], after[0], where, seen))
        return list(self._unmatched(before, after, where, seen))

    def _unmatched(
        self, before: list[Json], after: list[Json], where: str, seen: _Seen
    ) -> Iterator[str]:
        """Alternatives (anyOf, oneOf) of the loose side that the strict side does not have."""
        loose, strict = (before, after) if self.request else (after, before)
        for one in loose:
            pairs = [(one, other) if self.request else (other, one) for other in strict]
            if all(any(self._differences(*pair, where, seen)) for pair in pairs):
                verb = "no longer takes" if self.request else "may now be"
                yield f"{where}: {verb} {one.get('type', one.get('title', 'an alternative'))}"

    def _differences(self, old: Json, new: Json, where: str, seen: _Seen) -> Iterator[str]:
        strict, loose = (new, old) if self.request else (old, new)
        if _leaves_out(_types(strict), _types(loose)):
            yield f"{where}: type was {_shown(_types(old))}, is {_shown(_types(new))}"
        if _leaves_out(_values(strict), _values(loose)):
            yield f"{where}: values were {_shown(_values(old))}, are {_shown(_values(new))}"
        for keyword in (*_UPPER, *_LOWER, *_EXACT):
            if _is_narrower(keyword, strict.get(keyword), loose.get(keyword)):
                yield f"{where}: {keyword} was {old.get(keyword)}, is {new.get(keyword)}"
        yield from self._properties(old, new, where, seen)
        for keyword, sign in (("items", "[]"), ("additionalProperties", ".*")):
            before, after = old.get(keyword), new.get(keyword)
            if isinstance(before, dict) and isinstance(after, dict):
                yield from self.compare(before, after, f"{where}{sign}", seen)
        before, after = old.get("allOf", []), new.get("allOf", [])
        if len(before) != len(after):
            yield f"{where}: allOf has {len(after)} members instead of {len(before)}"
        for one, other in zip(before, after, strict=False):
            yield from self.compare(one, other, where, seen)

    def _properties(self, old: Json, new: Json, where: str, seen: _Seen) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required, was = set(new.get("required", ())), set(old.get("required", ()))
        for name in before:
            if name not in after:
                yield f"{where}.{name}: is gone"
            else:
                yield from self.compare(before[name], after[name], f"{where}.{name}", seen)
        if not self.request:
            for name in sorted(was & after.keys() - required):
                yield f"{where}.{name}: is no longer always there"
            return
        for name in sorted(required - was):
            yield f"{where}.{name}: is now required"
        if (
            new.get("additionalProperties") is False
            and old.get("additionalProperties") is not False
        ):
            yield f"{where}: no longer takes properties that it does not know"


def resolve(document: Json, node: Json) -> Json:
    """What a reference within the document leads to, or the node itself."""
    while reference := node.get("$ref"):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step.replace("~1", "/").replace("~0", "~")]
    return node


def _without_null(schema: Json) -> Json:
    """The schema of a parameter, which is left out and never null."""
    described = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return described[0] if len(described) == 1 else schema


def _alternatives(document: Json, schema: Json) -> list[Json]:
    schema = resolve(document, schema)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return [found for one in schema[keyword] for found in _alternatives(document, one)]
    return [schema]


def _types(schema: Json) -> list[str]:
    """None at all means any."""
    found = schema.get("type", [])
    types = [found] if isinstance(found, str) else list(found)
    return [*types, "integer"] if "number" in types else types


def _values(schema: Json) -> list[Any]:
    found: list[Any] = schema.get("enum", [])
    return [schema["const"]] if "const" in schema else found


def _leaves_out(strict: list[Any], loose: list[Any]) -> bool:
    return bool(strict) and (not loose or any(value not in strict for value in loose))


def _shown(values: list[Any]) -> str:
    return " or ".join(sorted(str(value) for value in values)) or "any"


def _is_narrower(keyword: str, strict: Any, loose: Any) -> bool:
    """Whether `strict` allows less than `loose`; None is no bound."""
    if strict is None or strict == loose:
        return False
    if loose is None or keyword in _EXACT:
        return True
    return bool(strict < loose) if keyword in _UPPER else bool(strict > loose)


def breaks(old: Json, new: Json) -> Iterator[str]:
    """Every change that could break a client, each in one line that names the operation."""
    for path, item in old["paths"].items():
        for method in _METHODS:
            if method not in item:
                continue
            name = f"{method.upper()} {path}"
            other = new["paths"].get(path, {}).get(method)
            if other is None:
                yield f"{name}: is gone"
            else:
                operation = _Operation(old, new, item[method], other)
                yield from (f"{name} {line}" for line in operation.breaks())


@dataclass(frozen=True, slots=True)
class _Operation:
    old_document: Json
    new_document: Json
    old: Json
    new: Json

    def breaks(self) -> Iterator[str]:
        if self.old.get("operationId") != self.new.get("operationId"):
            yield f"operationId: was {self.old.get('operationId')}: generated clients rename it"
        yield from self._parameters()
        yield from self._body()
        yield from self._responses()
        yield from self._security()

    def _schemas(self, *, request: bool) -> _Schemas:
        return _Schemas(self.old_document, self.new_document, request)

    def _parameters(self) -> Iterator[str]:
        before, after = (
            {(entry["in"], entry["name"].lower()): entry for entry in found}
            for found in (
                [resolve(self.old_document, one) for one in self.old.get("parameters", ())],
                [resolve(self.new_document, one) for one in self.new.get("parameters", ())],
            )
        )
        for key, entry in before.items():
            where = f"{key[0]} parameter {key[1]}"
            if key not in after:
                yield f"{where}: is gone"
                continue
            schemas = self._schemas(request=True)
            yield from schemas.compare(
                _without_null(entry["schema"]), _without_null(after[key]["schema"]), where
            )
        for key, entry in after.items():
            if entry.get("required") and not before.get(key, {}).get("required"):
                yield f"{key[0]} parameter {key[1]}: is now required"

    def _body(self) -> Iterator[str]:
        before = resolve(self.old_document, self.old.get("requestBody", {}))
        after = resolve(self.new_document, self.new.get("requestBody", {}))
        if after.get("required") and not before.get("required"):
            yield "body: is now required"
        yield from self._content(before, after, "body", request=True)

    def _content(self, old: Json, new: Json, where: str, *, request: bool) -> Iterator[str]:
        before, after = old.get("content", {}), new.get("content", {})
        for media, found in before.items():
            if media not in after:
                yield f"{where}: is no longer {media}"
                continue
            schemas = self._schemas(request=request)
            yield from schemas.compare(
                found.get("schema", {}), after[media].get("schema", {}), where
            )

    def _responses(self) -> Iterator[str]:
        """Errors may come and go; a success that clients know must stay what it is."""
        for status, found in self.old["responses"].items():
            before = resolve(self.old_document, found)
            after = self.new["responses"].get(status)
            if after is None:
                if status < "400":
                    yield f"{status}: is gone"
                continue
            after = resolve(self.new_document, after)
            yield from self._content(before, after, status, request=False)
            for header in before.get("headers", {}).keys() - after.get("headers", {}).keys():
                yield f"{status}: header {header} is gone"
        known = {status for status in self.old["responses"] if status < "400"}
        for status in self.new["responses"]:
            if status < "400" and status not in known:
                yield f"{status}: is a new success, which clients do not know"

    def _security(self) -> Iterator[str]:
        before, after = self.old.get("security", []), self.new.get("security", [])
        if after and not before:
            yield "security: needs credentials now"
        for alternative in before:
            if after and not any(_asks_no_more(one, alternative) for one in after):
                yield f"security: {json.dumps(alternative)} no longer suffices"


def _asks_no_more(new: dict[str, list[str]], old: dict[str, list[str]]) -> bool:
    return all(scheme in old and set(scopes) <= set(old[scheme]) for scheme, scopes in new.items())


def declared(file: Path) -> dict[str, str]:
    """Breaks that are meant, with their reasons. Raises ValueError for one without."""
    found = tomllib.loads(file.read_text(encoding="utf-8")).get("break", [])
    for entry in found:
        if not entry.get("reason", "").strip():
            raise ValueError(f"{file.name}: {entry.get('change')!r} is declared without a reason")
    return {entry["change"]: entry["reason"] for entry in found}


def _covers(declaration: str, change: str) -> bool:
    """Whether a declaration means this change; `*` in it stands for any text."""
    return re.fullmatch(re.escape(declaration).replace(r"\*", ".*"), change) is not None


def main(old: Path, new: Path, declarations: Path) -> int:
    """0, or 1 where a break is undeclared or a declared one is absent."""
    found = list(breaks(*(json.loads(path.read_text(encoding="utf-8")) for path in (old, new))))
    meant = declared(declarations)
    undeclared = [change for change in found if not any(_covers(one, change) for one in meant)]
    idle = [one for one in meant if not any(_covers(one, change) for change in found)]
    for change in undeclared:
        sys.stderr.write(f"breaks clients: {change}\n")
    for change in idle:
        sys.stderr.write(f"declared in {declarations.name}, but not so: {change}\n")
    if undeclared:
        sys.stderr.write(f"take it back, or declare it with its reason in {declarations}\n")
    return 1 if undeclared or idle else 0


if __name__ == "__main__":
    raise SystemExit(main(*(Path(argument) for argument in sys.argv[1:4])))
