"""Makes the variants of an image in a child process with limits of its own.

Owns the child: its limits, its timeout, and what its end means. The decoding is `decoder`'s; this
module never imports Pillow, so that the worker's own memory stays small and out of reach.
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

# Ends that a hostile input can bring about by itself; anything else (SIGKILL by the kernel under
# memory pressure, say) may be the machine's fault and is tried again.
_FAULT_OF_THE_INPUT = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGXCPU, -signal.SIGABRT}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one image may cost."""

    pixels: int = 25_000_000
    memory: int = 768 * 1024 * 1024  # bytes of address space, the interpreter's included
    seconds: int = 20  # of processor time, and twice that of wall time


@dataclass(frozen=True, slots=True)
class MadeVariant:
    name: str
    path: Path
    width: int
    height: int
    size: int


@trace_function("image.decode")
async def make_variants(source: Path, directory: Path, limits: ImageLimits) -> list[MadeVariant]:
    """Decodes `source` and writes its variants into `directory`.

    Raises Rejected with a reason for the owner where the image is at fault, RuntimeError where
    the child ended for another reason. The child is always gone on return, cancelled or not.
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
        env={},  # ours holds secrets, and a decoder's fault may be somebody's way in
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limits.seconds * 2):
            response, complaint = await child.communicate()
    except TimeoutError:
        raise Rejected("takes too long to be decoded") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await asyncio.shield(child.wait())
    if child.returncode in _FAULT_OF_THE_INPUT:
        raise Rejected("cannot be decoded within the limits")
    if child.returncode != 0:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise RuntimeError(f"the image decoder ended with {child.returncode}: {last[:200]}")
    result = json.loads(response)
    if reason := result.get("rejected"):
        raise Rejected(reason)
    return [
        MadeVariant(path=directory / f"{made['name']}.webp", **made) for made in result["variants"]
    ]
