"""A faulty wire for two state machines that do no I/O: whole messages, time as an argument, no event loop."""

import heapq
import random
from collections.abc import Iterable

from tests.support.link import Direction


class Pipe:
    """Carries messages both ways between a client and a server, with named faults from one seed.

    `drop` and `duplicate` are probabilities for each message, `delay_ms` the bounds of its time under way. An `ordered`
    pipe never lets a message overtake an earlier one of its direction, as on one connection. After `cut_at` messages
    have been handed over (both directions together) the pipe is cut: what is under way is gone, and so is what is sent,
    until `reconnect`.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        delay_ms: tuple[int, int] = (0, 0),
        cut_at: int | None = None,
        ordered: bool = True,
    ) -> None:
        self.drop, self.duplicate, self.delay_ms, self.cut_at, self.ordered = drop, duplicate, delay_ms, cut_at, ordered
        self.is_cut = False
        self.handed_over = 0
        self._rng = rng
        self._vanishing: set[Direction] = set()
        self._sent = 0
        self._reset_wire()

    def send(self, direction: Direction, messages: Iterable[bytes], now_ms: int) -> None:
        """Put messages on their way, oldest first."""
        for message in messages:
            for _ in range(self._copies(direction)):
                self._put(direction, message, now_ms)

    def receive(self, direction: Direction, now_ms: int) -> list[bytes]:
        """Return the messages of this direction that have arrived by now, in the order of their arrival."""
        wire, arrived = self._wires[direction], list[bytes]()
        while wire and wire[0][0] <= now_ms and not self.is_cut:
            arrived.append(heapq.heappop(wire)[2])
            self.handed_over += 1
            if self.handed_over == self.cut_at:
                self.cut()
        return arrived

    def next_at_ms(self) -> int | None:
        """Return the moment at which the next message arrives; None when nothing is under way."""
        return min((wire[0][0] for wire in self._wires.values() if wire), default=None)

    def cut(self) -> None:
        """Break the connection: both ends must notice `is_cut`."""
        self.is_cut = True
        self._reset_wire()

    def reconnect(self, cut_at: int | None = None) -> None:
        """Join the ends by a new connection, to be cut after so many more messages, if at all."""
        self.is_cut = False
        self.cut_at = None if cut_at is None else self.handed_over + cut_at
        self._reset_wire()

    def black_hole(self, *directions: Direction) -> None:
        """Let messages vanish silently, both ways unless told."""
        self._vanishing = set(directions or Direction)

    def heal(self) -> None:
        """End all faults; what was lost stays lost, and a cut needs `reconnect`."""
        self.drop = self.duplicate = 0.0
        self.cut_at = None
        self._vanishing.clear()

    def _copies(self, direction: Direction) -> int:
        dropped, doubled = self._rng.random() < self.drop, self._rng.random() < self.duplicate
        if self.is_cut or dropped or direction in self._vanishing:
            return 0
        return 2 if doubled else 1

    def _put(self, direction: Direction, message: bytes, now_ms: int) -> None:
        at_ms = now_ms + self._rng.randint(*self.delay_ms)
        if self.ordered:
            at_ms = self._last_ms[direction] = max(at_ms, self._last_ms[direction])
        self._sent += 1
        heapq.heappush(self._wires[direction], (at_ms, self._sent, message))

    def _reset_wire(self) -> None:
        self._wires: dict[Direction, list[tuple[int, int, bytes]]] = {direction: [] for direction in Direction}
        self._last_ms = dict.fromkeys(Direction, 0)
