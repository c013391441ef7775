"""Signals and answers to callbacks come in: checked, stored, and only then answered."""

from __future__ import annotations

import re
from typing import Literal

from onward_protocol.ids import name_problem
from onward_protocol.limits import KIB

from .clock import Clock
from .commit import Committer
from .rules.events import BadEvent
from .rules.waits import CALLBACK, SIGNAL
from .settings import Settings
from .store.port import AnswerCallback, SendSignal, Signalled, Store

_TRIES = 10
"""Runs that are found waiting, and wait no more when their signal comes, before the sender is told that nobody does."""

_TOKEN = re.compile(r"[\w-]{16,128}", re.ASCII)


class Signals:
    """The way in for what single runs wait for. All methods raise `Refused` if nothing was stored."""

    def __init__(self, committer: Committer, store: Store, clock: Clock, settings: Settings) -> None:
        self._committer = committer
        self._store = store
        self._clock = clock
        self._limits = settings.limits

    async def send(self, name: str, value: bytes, *, run: str = "", id: str = "") -> Signalled:
        """Send a signal to a run, or without one to the oldest that waits for it. `value` is MessagePack. Raises
        `BadEvent`.
        """
        for what, text in (("signal's name", name), ("id", id)):
            if (text or text is name) and (problem := name_problem(text, self._limits.name_bytes_max)):
                raise BadEvent(f"The {what} {problem}.")
        self._check_size(value)
        if run:
            return await self._send(run, name, value, id)
        for _ in range(_TRIES):
            found = await self._store.waiter(SIGNAL, name.encode())
            signalled = await self._send(found or "", name, value, id, is_for_waiter=True)
            if found is None or signalled.verdict != "not_waiting":
                return signalled
        return Signalled("not_waiting")

    async def knows(self, token: str) -> bool:
        """Tell whether a run has a callback with this token. One that nobody made costs a look at an index."""
        return bool(_TOKEN.fullmatch(token)) and await self._store.waiter(CALLBACK, token.encode()) is not None

    async def answer(self, token: str, value: bytes) -> Literal["answered", "repeated", "unknown"]:
        """End the wait for what is posted under this token. `value` is MessagePack. Raises `BadEvent`."""
        self._check_size(value)
        op = AnswerCallback(now_ms=self._clock.wall_ms(), token=token, value=value)
        return await self._committer.commit(op, len(value))

    async def _send(self, run: str, name: str, value: bytes, id: str, *, is_for_waiter: bool = False) -> Signalled:
        op = SendSignal(
            now_ms=self._clock.wall_ms(), run=run, name=name, value=value, id=id, is_for_waiter=is_for_waiter
        )
        return await self._committer.commit(op, len(value))

    def _check_size(self, value: bytes) -> None:
        if len(value) > self._limits.event_bytes_max:
            allowed = self._limits.event_bytes_max // KIB
            raise BadEvent(f"The value has {len(value)} bytes; {allowed} KiB are allowed.", too_large=True)
