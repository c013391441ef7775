"""What engines on one store tell each other: hints that something in it has changed.

A message may come late, twice or never; whoever gets one looks at the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

MESSAGE_BYTES_MAX = 7_900
"""PostgreSQL carries less than 8,000 bytes in one notification."""


class Bus(Protocol):
    """Carries messages, each UTF-8 text of at most `MESSAGE_BYTES_MAX` bytes, to all engines on the same store."""

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Tell `listener` every message that arrives from now on, on the event loop. It must not raise. The bus may
        bring an engine its own messages too.
        """
        ...

    def publish(self, message: bytes) -> None:
        """Send a message soon. Never blocks, never raises; what cannot be sent is dropped."""
        ...

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to carry messages, with all tasks in `group`. It repairs its own connection."""
        ...

    async def stop(self) -> None:
        """Send what is queued, and end. May be repeated."""
        ...


class NullBus:
    """Carries nothing: for an engine that is alone, or that relies on looking at the store now and then."""

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Nothing will arrive."""

    def publish(self, message: bytes) -> None:
        """Drop it."""

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""
