"""The wheels of libs as a release builds them, by the script of `make wheels`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

_SCRIPT = Path(__file__).parents[1] / ".ci/wheels.py"


def load_script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("wheels", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_wheels(directory: Path, version: str) -> Path:
    """Build the wheels of this version and return `directory`."""
    load_script().build(directory, version)
    return directory
