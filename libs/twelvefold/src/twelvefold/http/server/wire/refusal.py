"""Error responses without an app, to malformed requests and to those over a bound."""

from __future__ import annotations

import json

from uuid_utils import uuid7

from twelvefold.http.rest.problems import MEDIA_TYPE, code_and_title, type_uri

_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}


class ProtocolError(Exception):
    """An error that ends the connection with a problem. `headers` are lines with CRLF."""

    def __init__(self, status: int, detail: str, headers: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    def response(self, path: str = "") -> bytes:
        """Return the whole response, which has a new request id and closes the connection.

        `path` is that of the request, where it is known.
        """
        code, title = code_and_title(self.status)
        request_id = uuid7().hex
        problem = {
            "type": type_uri(code),
            "title": title,
            "status": self.status,
            "detail": self.detail,
            "instance": path,
            "request_id": request_id,
        }
        body = json.dumps(problem).encode()
        head = (
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            f"x-request-id: {request_id}\r\n{self.headers}connection: close\r\n\r\n"
        )
        status_line = b"HTTP/1.1 %d %s\r\n" % (self.status, _REASONS[self.status])
        return status_line + head.encode() + body
