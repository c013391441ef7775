"""A callback: an address that takes one answer, for approvals and for systems that report back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Callback(Generic[T_co]):
    """An open callback: whoever POSTs JSON to `url` answers it, once; nothing but `token` in it is asked for.

    `await callback` returns the answer, at once if it came before, or None when the time is over. It may be awaited
    again, also after a wait for it was cancelled.
    """

    def __init__(self, url: str, token: str, wait: Callable[[], Coroutine[Any, Any, T_co | None]]) -> None:
        self.url = url
        self.token = token
        self._wait = wait

    def __await__(self) -> Generator[Any, None, T_co | None]:
        return self._wait().__await__()

    def __repr__(self) -> str:
        return "Callback(...)"  # the token is a secret: whoever has it can answer


class SyncCallback(Generic[T_co]):
    """As `Callback`, for the thread of a `def` function."""

    def __init__(self, url: str, token: str, wait: Callable[[], T_co | None]) -> None:
        self.url = url
        self.token = token
        self._wait = wait

    def __repr__(self) -> str:
        return "SyncCallback(...)"

    def wait(self) -> T_co | None:
        """Return the answer, at once if it came before, or None when the time is over."""
        return self._wait()
