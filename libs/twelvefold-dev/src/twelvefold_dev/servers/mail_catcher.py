"""The mail catcher, an SMTP server that writes each email to a file and delivers none.

`python -m twelvefold_dev.servers.mail_catcher` is its process; `MailCatcher` starts it. Files are
numbered in the order of arrival, across restarts.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from twelvefold_dev.system.child_process import Launch
from twelvefold_dev.system.ports import LOOPBACK

from .server import EmbeddedServer

MAX_MAIL_BYTES = 33_554_432
_GREETING_TIMEOUT = 2.0  # seconds
_FIRST_COMMANDS = (b"EHLO", b"HELO", b"NOOP", b"QUIT")  # the first command of an SMTP client
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9@._+-]+")


class MailCatcher(EmbeddedServer):
    """The catcher's process, which writes `000001-recipient.eml` and so on into `folder`."""

    name = "mail"

    def __init__(self, folder: Path, *, port: int, host: str = LOOPBACK) -> None:
        super().__init__(folder)
        self.port = port
        self._host = host

    @property
    def url(self) -> str:
        return f"smtp://{LOOPBACK}:{self.port}"

    def launch(self, output: int | IO[bytes]) -> Launch:
        return Launch(
            # -P: Python must not import modules from the folder of caught mail.
            command=[
                sys.executable,
                "-P",
                "-m",
                "twelvefold_dev.servers.mail_catcher",
                self._host,
                str(self.port),
                str(self.directory),
            ],
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            directory=self.directory,
            output=output,
        )

    async def is_ready(self) -> bool:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            greeting = await asyncio.wait_for(reader.readline(), _GREETING_TIMEOUT)
            writer.write(b"QUIT\r\n")
        except TimeoutError:
            return False
        finally:
            writer.close()
        return greeting.startswith(b"220")


def list_emails(folder: Path) -> list[Path]:
    """Return the files of caught emails in the order of arrival."""
    return sorted(folder.glob("*.eml"))


class _Folder:
    """aiosmtpd's handler, which writes each email atomically to one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        last = list_emails(folder)[-1:]
        number = int(last[0].name.partition("-")[0]) if last else 0
        self._numbers: Iterator[int] = iter(range(number + 1, sys.maxsize))

    # aiosmtpd looks the method up by this name.
    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        recipients = ", ".join(envelope.rcpt_tos)
        name = _NOT_IN_NAMES.sub("_", envelope.rcpt_tos[0])[:80]
        path = self._folder / f"{next(self._numbers):06}-{name}.eml"
        envelope_lines = f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {recipients}\r\n"
        partial = path.with_suffix(".partial")
        partial.write_bytes(envelope_lines.encode() + envelope.original_content)
        partial.rename(path)
        print(f"{path.name} from {envelope.mail_from}", flush=True)
        return "250 2.0.0 Caught"


async def _catch(host: str, port: int, folder: Path) -> None:
    from aiosmtpd.smtp import SMTP

    handler, loop = _Folder(folder), asyncio.get_running_loop()

    class Catcher(SMTP):
        """An SMTP server that closes a connection whose first command is not SMTP.

        A page in a browser can reach this port, and a POST whose body contains SMTP commands
        could otherwise write emails.
        """

        _first: bytes | None = b""

        def data_received(self, data: bytes) -> None:
            if self._first is not None:
                data, self._first = self._first + data, None
                if len(data) < len(_FIRST_COMMANDS[0]):
                    self._first = data  # too short to recognise the command
                    return
                if not data.upper().startswith(_FIRST_COMMANDS):
                    if self.transport is not None:
                        self.transport.close()
                    return
            super().data_received(data)

    server = await loop.create_server(
        lambda: Catcher(
            handler,
            data_size_limit=MAX_MAIL_BYTES,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="Twelvefold mail catcher",
            loop=loop,
        ),
        host,
        port,
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    asyncio.run(_catch(arguments.host, arguments.port, arguments.folder))


if __name__ == "__main__":
    main()
