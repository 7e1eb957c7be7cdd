"""Make the variants of an image in a child process with its own limits.

Owns the child: its limits, its timeout, and the meaning of its exit code. `decoder` decodes. This
module never imports Pillow, so that a fault in a decoder cannot reach the worker's own memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from twelvefold.contracts.images import VARIANTS
from twelvefold.errors import Rejected
from twelvefold.observability.spans import trace_function

# Exit codes that a hostile input can cause. Any other, such as SIGKILL by the kernel under memory
# pressure, may be caused by the machine: the job is retried.
_INPUT_FAULT_EXIT_CODES = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGXCPU, -signal.SIGABRT}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits for one image."""

    pixels: int = 25_000_000
    memory: int = 768 * 1024 * 1024  # bytes of address space, the interpreter's included
    seconds: int = 20  # of CPU time; twice that of wall-clock time


@dataclass(frozen=True, slots=True)
class EncodedVariant:
    """A variant in a file. Sizes are pixels and bytes."""

    name: str
    path: Path
    width: int
    height: int
    size: int


@trace_function("image.decode")
async def make_variants(source: Path, directory: Path, limits: ImageLimits) -> list[EncodedVariant]:
    """Decode `source` and write its variants into `directory`.

    Raises Rejected with a reason for the owner where the image is invalid, RuntimeError where the
    child ended for another reason. The child has always ended when this returns or is cancelled.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "worker.imaging.decoder",
        str(source),
        str(directory),
        *("--sizes", json.dumps(VARIANTS)),
        *("--pixels", str(limits.pixels)),
        *("--memory", str(limits.memory)),
        *("--seconds", str(limits.seconds)),
        env={},  # this process's environment has secrets that an exploited decoder could read
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limits.seconds * 2):
            response, errors = await child.communicate()
    except TimeoutError:
        raise Rejected("takes too long to be decoded") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await asyncio.shield(child.wait())
    if child.returncode in _INPUT_FAULT_EXIT_CODES:
        raise Rejected("cannot be decoded within the limits")
    if child.returncode != 0:
        last_line = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise RuntimeError(f"the image decoder ended with {child.returncode}: {last_line[:200]}")
    result = json.loads(response)
    if reason := result.get("rejected"):
        raise Rejected(reason)
    return [
        EncodedVariant(path=directory / f"{fields['name']}.webp", **fields)
        for fields in result["variants"]
    ]
