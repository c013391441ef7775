"""Messages of the engine, acted on one after the other.

Two groups of runs whose acknowledgements come right after each other would become one: both would be executed together,
their results would leave together, and worker and engine would take turns, one of them always asleep. So a message
waits until what the one before it has caused is written, for as long as that takes no more than a moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

TURNS_MAX = 4
"""Of the loop, from an acknowledgement to the next results: bodies begin, they end, the code goes on, it is written."""

WAIT_MS_MAX = 5
"""Code that computes in between must not keep the engine's words from being heard."""


class Inbox:
    """What has arrived and is not taken yet. `take` returns whether the message has set something going here."""

    def __init__(
        self,
        take: Callable[[bytes], bool],
        *,
        clock_ms: Callable[[], int],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._take = take
        self._clock_ms = clock_ms
        self._call_soon = call_soon
        self._messages: deque[tuple[int, bytes]] = deque()
        """Each with the moment at which it came."""
        self._is_acting = False
        self._is_watching = False
        self._turns = 0

    def put(self, message: bytes) -> None:
        """Take a message, now or soon."""
        self._messages.append((self._clock_ms(), message))
        if len(self._messages) == 1:
            self._turns = 0
            self._take_what_may_be()

    def go_on(self) -> None:
        """What was set going is written: take the next message."""
        self._is_acting = False
        self._take_what_may_be()

    def take_rest(self) -> None:
        """Nothing will be written any more: take everything."""
        while self._messages:
            self._take(self._messages.popleft()[1])

    def _take_what_may_be(self) -> None:
        while self._messages and (not self._is_acting or self._is_overdue):
            self._turns = 0
            self._is_acting = self._take(self._messages.popleft()[1])
        if self._messages and not self._is_watching:
            self._is_watching = True
            self._call_soon(self._watch)

    @property
    def _is_overdue(self) -> bool:
        return self._clock_ms() - self._messages[0][0] >= WAIT_MS_MAX

    def _watch(self) -> None:
        self._is_watching = False
        self._turns += 1
        if self._turns >= TURNS_MAX:
            self._is_acting = False
        self._take_what_may_be()
