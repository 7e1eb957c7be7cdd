"""Failures of commands: one line on stderr and an exit code, no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from twelvefold.settings.command_line import fail
from twelvefold_dev.servers.server import StackError


@contextmanager
def report_failures(*others: type[Exception]) -> Iterator[None]:
    """Report a StackError, an OSError or one of `others` in one line and exit with code 1.

    Exit with 0 where the reader of the output has gone, as `head` does.
    """
    expected: tuple[type[Exception], ...] = (StackError, OSError, *others)
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        # The interpreter flushes stdout once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from error
    except expected as error:
        fail(str(error))
