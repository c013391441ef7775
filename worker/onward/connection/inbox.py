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
        self._messages: deque[bytes] = deque()
        self._is_acting = False
        self._is_watching = False
        self._turns = 0
        self._since_ms = 0

    def put(self, message: bytes) -> None:
        """Take a message, now or soon."""
        self._messages.append(message)
        if not self._is_acting:
            self.go_on()
        elif len(self._messages) == 1:
            self._wait()

    def go_on(self) -> None:
        """What was set going is written, or takes longer: take the next message."""
        self._is_acting = False
        while self._messages and not self._is_acting:
            self._is_acting = self._take(self._messages.popleft())
        if self._messages:
            self._wait()

    def take_rest(self) -> None:
        """Nothing will be written any more: take everything."""
        while self._messages:
            self._take(self._messages.popleft())

    def _wait(self) -> None:
        self._turns, self._since_ms = 0, self._clock_ms()
        if not self._is_watching:
            self._is_watching = True
            self._call_soon(self._watch)

    def _watch(self) -> None:
        self._turns += 1
        if not self._messages:
            self._is_watching = False
        elif self._turns < TURNS_MAX and self._clock_ms() - self._since_ms < WAIT_MS_MAX:
            self._call_soon(self._watch)
        else:
            self._is_watching = False
            self.go_on()
