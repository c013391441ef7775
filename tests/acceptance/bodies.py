"""What the functions of several areas do. Bodies note what they did in the ledger of the test, not in the engine's
books.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.support.processes import note


async def stand_at(gate: str) -> None:
    """Return when the test has opened the gate."""
    is_open = Path(os.environ["HOME_OF_TEST"], gate).exists
    while not is_open():  # noqa: ASYNC110 - another process opens it
        await asyncio.sleep(0.01)


async def noted(line: str) -> str:
    """Note a line and return it."""
    note(line)
    return line


def tries(line: str) -> int:
    """Note a line and return how often it has been noted, over all workers."""
    note(line)
    return Path(os.environ["HOME_OF_TEST"], "ledger").read_text().splitlines().count(line)
