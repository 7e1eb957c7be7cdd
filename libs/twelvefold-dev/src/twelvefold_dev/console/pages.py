"""The page and its files: read once, served with a fingerprint. There is nothing to build."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


_MODULES = b"<!-- modules -->"


class Pages:
    """Every file below `static`, by its path."""

    def __init__(self) -> None:
        found = dict(_read(files(__package__) / "static", ""))
        found["index.html"] = found["index.html"].replace(_MODULES, _preloads(found))
        self._files = {
            name: (content, f'"{hashlib.sha256(content).hexdigest()[:20]}"')
            for name, content in found.items()
        }

    async def page(self, request: Request) -> Response:
        """The one page; which view it shows, its address decides."""
        return self._answer(request, "index.html")

    async def file(self, request: Request) -> Response:
        return self._answer(request, request.path_params["name"])

    def _answer(self, request: Request, name: str) -> Response:
        if name not in self._files:
            raise HTTPException(404, "there is no such file")
        content, tag = self._files[name]
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        suffix = name[name.rfind(".") :]
        return Response(content, headers={**headers, "Content-Type": _TYPES[suffix]})


def _preloads(found: Iterable[str]) -> bytes:
    """Modules that import each other would come one after the other."""
    modules = sorted(name for name in found if name.endswith(".js"))
    return "\n".join(
        f'<link rel="modulepreload" href="/static/{name}">' for name in modules
    ).encode()


def _read(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif entry.name[entry.name.rfind(".") :] in _TYPES:
            found.append((f"{prefix}{entry.name}", entry.read_bytes()))
    return found
