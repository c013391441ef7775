"""Durable timeouts: blocks of a run's code that end at a moment which stands in the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from onward_protocol.messages import Sleep

if TYPE_CHECKING:
    from onward.host import Alarm, Host


class DurableTimeout:
    """What `Context.timeout` returns: `asyncio.timeout`, but its clock is the engine's."""

    def __init__(self, host: Host, name: str, wait: Sleep) -> None:
        self._host = host
        self._name = name
        self._wait = wait
        self._inner = asyncio.timeout(None)
        self._alarm: Alarm | None = None

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        self._alarm = self._host.alarm(self._name, self._wait, self._ring)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.give_up()
        await self._inner.__aexit__(kind, error, trace)

    def expired(self) -> bool:
        """Tell whether the time was over before the block had ended."""
        return self._inner.expired()

    def _ring(self) -> None:
        self._inner.reschedule(asyncio.get_running_loop().time())


class SyncTimeout:
    """What `SyncContext.timeout` returns: the block's present or next durable call ends when the time is over."""

    def __init__(self, host: Host, name: str, wait: Sleep) -> None:
        self._host = host
        self._name = name
        self._wait = wait
        self._expiry = asyncio.CancelledError("the timeout was over")
        self._end: Callable[[], None] | None = None
        self._is_expired = False

    def __enter__(self) -> Self:
        self._end = self._host.limit(self._name, self._wait, self._expiry)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        if self._end is not None:
            self._end()
        if error is self._expiry:
            self._is_expired = True
            raise TimeoutError from error

    def expired(self) -> bool:
        """Tell whether the time was over before the block had ended."""
        return self._is_expired
