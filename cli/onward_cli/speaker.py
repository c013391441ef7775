"""Speaks to the engine for a worker that cannot: in a thread with an event loop of its own, so that the supervisor goes
on watching meanwhile.

Everything that this needs is imported when it is needed: a supervisor that never has to speak stays small.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onward.connection.guard import Guard

NEWS_S = 30
"""So long a goodbye is tried to be said: then the engine has found out by itself."""


def load() -> None:
    """Import everything now. May be repeated."""
    import_module("onward.connection.guard")  # it brings the others


class Speaker:
    """One guard connection, from `start` until `release` or `say_bye`. `refused` is called if the engine wants none."""

    def __init__(self, about: dict[str, Any], refused: Callable[[str], None]) -> None:
        self._about = about
        self._refused = refused
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guard: Guard | None = None
        self._holding: asyncio.Task[None] | None = None
        self._is_ready = threading.Event()

    def start(self) -> None:
        """Begin to keep the worker's runs."""
        try:
            self._thread.start()
        except RuntimeError as error:  # a machine without room for a thread: see `_run`
            self._refused(str(error))
        else:
            self._is_ready.wait()

    def release(self) -> None:
        """The worker speaks for itself again."""
        if self._holding is not None:
            self._tell(self._holding.cancel)

    def say_bye(self, reason: str, exit_status: int | None = None) -> None:
        """Begin to tell that the process is dead, or given up."""
        if self._guard is not None:
            self._tell(self._bye, self._guard, reason, exit_status)

    def join(self, seconds: float) -> None:
        """Return when the engine has heard it, wants to hear nothing, or does not listen for so long."""
        self._thread.join(seconds)

    @property
    def is_speaking(self) -> bool:
        """Tell whether there is still something to say."""
        return self._thread.is_alive()

    def _bye(self, guard: Guard, reason: str, exit_status: int | None) -> None:
        guard.bye(reason, exit_status)
        if self._holding is not None:
            asyncio.get_running_loop().call_later(NEWS_S, self._holding.cancel)

    def _tell(self, call: Callable[..., object], *args: object) -> None:
        assert self._loop is not None, "it was started"
        with suppress(RuntimeError):  # its loop has ended: it was refused
            self._loop.call_soon_threadsafe(call, *args)

    def _run(self) -> None:
        """What this needs may be gone by now: another version was installed since, or the disk is. Then nobody speaks,
        and the worker is watched and ended as before.
        """
        try:
            asyncio.run(self._speak())
        except (ImportError, OSError) as error:
            self._refused(f"{type(error).__name__}: {error}")
        finally:
            self._is_ready.set()

    async def _speak(self) -> None:
        import msgspec
        from onward.connection.dialer import Dialer
        from onward.connection.guard import Guard
        from onward.connection.link import Refused
        from onward.errors import ConfigError
        from onward.settings import Settings
        from onward.watch import Identity

        about = self._about
        settings = msgspec.convert(about["settings"], Settings)
        identity = Identity(about["instance"], about["session"], about["generation"], about["beat_ms"])
        self._loop = asyncio.get_running_loop()
        self._guard = Guard(
            identity,
            dial=Dialer(settings.url, settings.token, settings.way),
            uniform=random.SystemRandom().uniform,
            clock_ms=lambda: time.monotonic_ns() // 1_000_000,
        )
        self._holding = asyncio.create_task(self._guard.hold())
        self._is_ready.set()
        try:
            await self._holding
        except asyncio.CancelledError:
            pass
        except (Refused, ConfigError) as refused:
            self._refused(str(refused))
