"""What lies between a client host and the servers, and the faults it can have.

Conditions (`latency_ms`, `fragment_bytes`, `bytes_s`) are plain attributes and stay; faults have a verb each and last
until `heal()`. What is set on the network holds for every link, in addition to what is set on the link itself.
"""

import enum
import random
from dataclasses import dataclass
from typing import Protocol


class Direction(enum.Enum):
    """Which way bytes go."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class Connected(Protocol):
    """A connection, as far as faults know it."""

    def reset(self) -> None:
        """Break it for both ends at once."""
        ...

    def hang_up(self) -> None:
        """Break it for the client, as the end of its process does: what it has written still arrives."""
        ...

    def break_for_client(self) -> None:
        """Break it for the client alone: the server hears nothing more, not even an end."""
        ...

    def under_way(self, direction: Direction) -> int:
        """Return how many bytes were written and not read."""
        ...

    def wake(self) -> None:
        """Go on after a fault has been repaired."""
        ...


@dataclass
class Cut:
    """A reset that is waiting for its byte."""

    bytes_left: int
    direction: Direction | None

    def watches(self, direction: Direction) -> bool:
        """Say whether bytes of this direction count."""
        return self.direction in (None, direction)


class Link:
    """The way from one client host to all servers: its conditions, its faults, and the connections over it."""

    def __init__(self, parent: "Link | None" = None) -> None:
        self.latency_ms: tuple[float, float] | None = None
        self.fragment_bytes: int | None = None
        self.bytes_s: int | None = None  # of each direction of each connection
        self.connections: list[Connected] = []
        self._chain = (self,) if parent is None else (self, parent)
        self._extra_ms = (0.0, 0.0)
        self._refused = False
        self._vanishing: set[Direction] = set()
        self._stalling: set[Direction] = set()
        self._cuts: list[Cut] = []
        self._shares = (0.0, 0.0)

    # Faults

    def lose_and_repeat(self, lost: float, repeated: float) -> None:
        """Lose a share of the messages, and bring another share twice. Only wires of whole messages can do that."""
        self._shares = (lost, repeated)

    def delay(self, min_ms: float, max_ms: float | None = None) -> None:
        """Add a delay between the two bounds to everything sent from now on; order is kept."""
        self._extra_ms = (min_ms, min_ms if max_ms is None else max_ms)

    def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        self._refused = True

    def black_hole(self, *directions: Direction) -> None:
        """Let bytes vanish silently, both ways unless told; after `heal()` a connection that lost bytes is reset."""
        self._vanishing = set(directions or Direction)

    def stall(self, *directions: Direction) -> None:
        """Hold bytes back, both ways unless told; after `heal()` they arrive, as TCP sends again what got lost."""
        self._stalling = set(directions or Direction)

    def cut(self, after_bytes: int = 0, direction: Direction | None = None) -> None:
        """Reset a connection as soon as so many more bytes have arrived; with 0, reset all open ones now.

        Bytes of one direction count, or of both. The first connection to bring the last byte is reset, bytes after it
        are lost; then the cut is used up, so that the next connection works.
        """
        if after_bytes:
            self._cuts.append(Cut(after_bytes, direction))
            return
        for connection in list(self.connections):
            connection.reset()

    def hang_up(self) -> None:
        """Break all open connections for their clients; what they have written still arrives."""
        for connection in list(self.connections):
            connection.hang_up()

    def heal(self) -> None:
        """End all faults: what was held back arrives, what lost bytes is reset. Conditions stay."""
        self._forget_faults()
        for connection in list(self.connections):
            connection.wake()

    def under_way(self, direction: Direction) -> int:
        """Return how many bytes of all connections were written and not read."""
        return sum(connection.under_way(direction) for connection in self.connections)

    # What lanes ask

    def refuses(self) -> bool:
        """Say whether new connections are refused."""
        return any(link._refused for link in self._chain)

    def vanishes(self, direction: Direction) -> bool:
        """Say whether bytes of this direction are lost now."""
        return any(link._vanishing and direction in link._vanishing for link in self._chain)

    def stalls(self, direction: Direction) -> bool:
        """Say whether bytes of this direction are held back now."""
        return any(link._stalling and direction in link._stalling for link in self._chain)

    def flight_ms(self, rng: random.Random) -> float:
        """Draw how long the next segment is under way."""
        set_by = next((link for link in self._chain if link.latency_ms is not None), self)
        ranges = [set_by.latency_ms or (0, 0), *(link._extra_ms for link in self._chain)]
        return sum(low if low == high else rng.uniform(low, high) for low, high in ranges)

    def copies(self, rng: random.Random) -> int:
        """Draw how often the next message arrives."""
        lost, repeated = self._shares
        if not lost and not repeated:
            return 1
        drawn = rng.random()
        return 0 if drawn < lost else 2 if drawn < lost + repeated else 1

    def carry_s(self, count: int) -> float:
        """Return how long the line is busy with so many bytes."""
        return max((count / link.bytes_s for link in self._chain if link.bytes_s), default=0.0)

    def chunk_bytes(self, rng: random.Random, ready: int) -> int:
        """Draw how many of the bytes that are there the receiver gets at once."""
        most = next((link.fragment_bytes for link in self._chain if link.fragment_bytes), None)
        return ready if most is None else min(ready, rng.randint(1, most))

    def until_cut(self, direction: Direction, count: int) -> int:
        """Return how many of `count` bytes arrive before a cut."""
        return min([count, *(cut.bytes_left for cut in self._watching(direction))])

    def spend(self, direction: Direction, count: int) -> bool:
        """Count bytes that have arrived; say whether that was the last one before a cut."""
        for cut in self._watching(direction):
            cut.bytes_left -= count
        spent = [link._drop_spent_cuts() for link in self._chain]
        return any(spent)

    def _drop_spent_cuts(self) -> bool:
        left = [cut for cut in self._cuts if cut.bytes_left > 0]
        self._cuts, before = left, self._cuts
        return len(left) < len(before)

    def _watching(self, direction: Direction) -> list[Cut]:
        return [cut for link in self._chain for cut in link._cuts if cut.watches(direction)]

    def _forget_faults(self) -> None:
        self._extra_ms = (0.0, 0.0)
        self._refused = False
        self._vanishing = set()
        self._stalling = set()
        self._cuts = []
        self._shares = (0.0, 0.0)
