"""The one log of a run: what reaches user code, in which order, and what may start. Pure.

User code is a function of the log. Results, failures, waits, cancellations and its own timers are entries of it,
delivered one at a time and only when the run is quiet. What the code asks for starts only when the log is empty. A
replay is a run whose log starts filled.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, Protocol, TypeVar

from onward.replay.gate import Gate
from onward.replay.journal import Journal, LogEntry, key_of


class Asked(Protocol):
    """Something that user code waits for."""

    def deliver(self, entry: LogEntry) -> None:
        """Hand the entry to the code; nothing happens if the code has given up."""
        ...


class Nobody:
    """Takes the answer of something that no code waits for any more."""

    def deliver(self, entry: LogEntry) -> None:
        """Drop it."""


NOBODY: Final = Nobody()


class Startable(Asked, Protocol):
    """Something asked for that has to be started: a step's body, or a wait in the engine."""

    @property
    def is_wanted(self) -> bool:
        """False once the code has given it up."""
        ...

    def begin(self) -> None: ...


class Body(Startable, Protocol):
    """A step's body: the only thing that has effects outside, and therefore the only one that passes the gate."""

    barrier: bool
    asked_after: int
    """How many results of this run had been recorded when it was asked for."""


B = TypeVar("B", bound=Body)


class Replay(Generic[B]):
    """The log, and what was asked for."""

    __slots__ = ("_bodies", "_remembered", "_waits", "asked", "delivered", "expected", "gate", "late", "log")

    def __init__(self, journal: Journal, window: int) -> None:
        self.gate: Gate = Gate(window)
        self.log: deque[LogEntry] = deque()
        self.expected: set[str] = set()
        self.asked: dict[str, Asked] = {}
        self.late: dict[str, LogEntry] = {}
        self.delivered: int = 0
        self._remembered = 0
        self._waits: deque[Startable] = deque()
        self._bodies: deque[B] = deque()
        self.remember(journal)

    def remember(self, journal: Journal) -> None:
        """Begin the log with what earlier residences left, before anything is asked for."""
        self.log.extend(journal.take())
        self.expected.update(map(key_of, self.log))
        self.asked.update(dict.fromkeys(journal.spent, NOBODY))
        self._remembered = len(self.log)

    @property
    def replaying(self) -> bool:
        """True while entries of an earlier residence are still to be delivered."""
        return self.delivered < self._remembered - len(self.late)

    def ask(self, key: str, asked: Asked) -> bool:
        """Register what the code asks for. Returns True if its answer is not in the log: it has to be started."""
        self.asked[key] = asked
        if self.late and key in self.late:
            self.log.appendleft(self.late.pop(key))
            self.expected.add(key)
            return False
        return key not in self.expected

    def hold_wait(self, wait: Startable) -> None:
        """Start it at the next quiet point with an empty log."""
        self._waits.append(wait)

    def hold_body(self, body: B) -> None:
        """Start it, in the order of asking, at a quiet point with an empty log when the gate lets it pass."""
        body.asked_after = self.gate.results
        self._bodies.append(body)

    def give_up(self, key: str, *, is_answer_due: bool = False) -> None:
        """The code no longer waits for `key`. An answer that is in the log already, or on its way, goes to nobody."""
        if is_answer_due:
            self.asked[key] = NOBODY
        elif key not in self.expected:
            self.asked.pop(key, None)

    def enter(self, entry: LogEntry) -> None:
        """Put an entry at the end of the log; its place never changes again."""
        self.log.append(entry)
        self.expected.add(key_of(entry))

    def take(self) -> tuple[Asked | None, LogEntry]:
        """Remove and return the next entry and who asked for it; None: it concerns the whole run."""
        entry = self.log.popleft()
        key = key_of(entry)
        self.expected.discard(key)
        self.delivered += 1
        return self.asked.pop(key, None), entry

    def put_off(self) -> None:
        """Nobody has asked for the next entry, because the code has changed or awaits something that is not in the log:
        keep it for a late request.
        """
        entry = self.log.popleft()
        self.expected.discard(key_of(entry))
        self.late[key_of(entry)] = entry

    def drop(self) -> None:
        """Remove the next entry, which nobody will ask for."""
        self.expected.discard(key_of(self.log.popleft()))
        self.delivered += 1

    def next_wait(self) -> Startable | None:
        """Remove and return the next wait to open."""
        while self._waits:
            wait = self._waits.popleft()
            if wait.is_wanted:
                return wait
        return None

    def next_body(self) -> B | None:
        """Remove and return the next body that may start, in the order of asking; a waiting barrier lets others by."""
        bodies = self._bodies
        index = 0
        while index < len(bodies):
            body = bodies[index]
            if not body.is_wanted:
                del bodies[index]
            elif self.gate.lets_pass(body.barrier, body.asked_after):
                del bodies[index]
                return body
            elif body.barrier:
                index += 1
            else:
                return None
        return None

    @property
    def has_held_body(self) -> bool:
        """True while a body that the code wants has not started."""
        return any(body.is_wanted for body in self._bodies)

    def held_bodies(self) -> list[B]:
        """Return the bodies that are wanted and have not started."""
        return [body for body in self._bodies if body.is_wanted]

    def unused(self) -> list[str]:
        """Return the keys of what earlier residences recorded and the code never asked for."""
        undelivered = self.expected - {""} if self.replaying else ()
        return sorted({*self.late, *undelivered})

    @property
    def is_empty(self) -> bool:
        """True if nothing is held, not even what the code has given up."""
        return not self._bodies and not self._waits

    @property
    def has_held(self) -> bool:
        """True while something that the code wants has not started."""
        return self.has_held_body or any(item.is_wanted for item in self._waits)
