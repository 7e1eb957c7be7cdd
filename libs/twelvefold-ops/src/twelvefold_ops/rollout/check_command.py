"""Run the user's check command (`--check`) in a shell."""

from __future__ import annotations

import asyncio
import os
import signal

from .model import CandidateFailed

_GRACE = 5.0  # seconds from SIGTERM to SIGKILL


async def run_check(command: str, within: float) -> None:
    """Run `command` in a shell, in its own process group, for at most `within` seconds.

    Raises CandidateFailed where it exits with an error or times out.
    """
    process = await asyncio.create_subprocess_shell(command, start_new_session=True)
    try:
        async with asyncio.timeout(within):
            code = await process.wait()
    except TimeoutError:
        raise CandidateFailed(f"the check timed out after {within:.0f} s: {command}") from None
    finally:
        if process.returncode is None:
            await _terminate_group(process)
    if code:
        raise CandidateFailed(f"the check failed with exit code {code}: {command}")


async def _terminate_group(process: asyncio.subprocess.Process) -> None:
    """End the shell and the processes that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
