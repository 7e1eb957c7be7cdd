"""The settings that a developer keeps in `.env`, which git ignores.

Only the laptop stack reads the file: a deployed process has its settings from the environment.
"""

from __future__ import annotations

from pathlib import Path

from dotenv.parser import parse_stream

from twelvefold_dev.servers.server import StackError

FILE = ".env"


def read_dotenv(root: Path) -> dict[str, str]:
    """Return the variables of `.env` in `root`, as they are written; none without the file.

    Raises StackError naming the first line that has not the form NAME=VALUE.
    """
    try:
        with (root / FILE).open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{root / FILE} cannot be read: {error}") from error
    variables = {}
    for binding in bindings:
        if binding.error or (binding.key is not None and binding.value is None):
            line = binding.original.line
            raise StackError(f"{root / FILE}: line {line} does not have the form NAME=VALUE")
        if binding.key is not None:
            variables[binding.key] = binding.value or ""
    return variables
