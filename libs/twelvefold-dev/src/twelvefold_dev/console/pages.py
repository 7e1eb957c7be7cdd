"""The page and its static files, read once and served with an entity tag."""

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
    """All files below `static`, by path."""

    def __init__(self) -> None:
        contents = dict(_read(files(__package__) / "static", ""))
        contents["index.html"] = contents["index.html"].replace(_MODULES, _preloads(contents))
        self._files = {
            name: (content, f'"{hashlib.sha256(content).hexdigest()[:20]}"')
            for name, content in contents.items()
        }

    async def page(self, request: Request) -> Response:
        """Return the page, which shows the view of its own path."""
        return self._respond(request, "index.html")

    async def file(self, request: Request) -> Response:
        """Return one static file."""
        return self._respond(request, request.path_params["name"])

    def _respond(self, request: Request, name: str) -> Response:
        if name not in self._files:
            raise HTTPException(404, "There is no such file.")
        content, tag = self._files[name]
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        suffix = name[name.rfind(".") :]
        return Response(content, headers={**headers, "Content-Type": _TYPES[suffix]})


def _preloads(names: Iterable[str]) -> bytes:
    """Return links that load all modules at once instead of one import after the other."""
    modules = sorted(name for name in names if name.endswith(".js"))
    return "\n".join(
        f'<link rel="modulepreload" href="/static/{name}">' for name in modules
    ).encode()


def _read(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    contents = []
    for entry in folder.iterdir():
        if entry.is_dir():
            contents += _read(entry, f"{prefix}{entry.name}/")
        elif entry.name[entry.name.rfind(".") :] in _TYPES:
            contents.append((f"{prefix}{entry.name}", entry.read_bytes()))
    return contents
