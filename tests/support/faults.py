"""The faults of the crash matrix: what happens at one point of a run that was seen without a fault before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tests.support.tap import UP, Deed, Passing, Said
from tests.support.witness import Moment

if TYPE_CHECKING:
    from tests.support.matrix import Play, Record

ALL_KINDS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Blow:
    """A fault at one point. `strike` arranges that it happens."""

    fault: Fault
    point: str
    strike: Callable[[Play], None]
    is_on_disk: bool = False


class Fault(Protocol):
    """One column of the matrix."""

    @property
    def late_ms(self) -> int:
        """Everything is over at most so much later than without the fault."""
        ...

    @property
    def outlasts_grace(self) -> bool:
        """Whether a worker may be away for so long that others get its runs."""
        ...

    def blows(self, record: Record) -> Iterator[Blow]:
        """Return where it can happen in a run that went like this."""
        ...


# -- to messages -----------------------------------------------------------------------------------------------------


Act = Callable[["Play", Passing], None]


def kill_before(play: Play, passing: Passing) -> None:
    """The worker dies before the message leaves, or before anybody looks at it."""
    play.kill_worker(passing.said.worker)


def kill_after(play: Play, passing: Passing) -> None:
    """The worker dies right after."""
    passing.forward(passing.message)
    play.kill_worker(passing.said.worker)


def lose(_: Play, passing: Passing) -> None:
    """The connection breaks, and the message is lost."""
    passing.link.line.cut()


def cut(_: Play, passing: Passing) -> None:
    """The message arrives, and the connection breaks before there is an answer."""
    passing.forward(passing.message)
    passing.link.line.hang_up()


def drop(_: Play, passing: Passing) -> None:
    """The message is lost, and nobody notices."""


def double(_: Play, passing: Passing) -> None:
    """The message comes twice."""
    passing.forward(passing.message)
    passing.forward(passing.message)


def delay(ms: int) -> Act:
    """Return what makes the message and all behind it late."""
    return lambda _, passing: passing.link.hold(passing, ms)


@dataclass(frozen=True, slots=True)
class ToMessage:
    """Happens to each message in turn, and `times - 1` more times to the next one with a frame of the same kind."""

    act: Act
    late_ms: int
    times: int = 1
    kinds: frozenset[str] = ALL_KINDS
    outlasts_grace: bool = False

    def blows(self, record: Record) -> Iterator[Blow]:
        """See `Fault`."""
        for said in record.said:
            if not self.kinds or self.kinds & set(said.kinds):
                yield Blow(self, str(said), partial(self._strike, said))

    def _strike(self, said: Said, play: Play) -> None:
        play.tap.disturbers.append(_Series(said, partial(self.act, play), self.times))


@dataclass(slots=True)
class _Series:
    first: Said
    act: Deed
    times: int
    hits: int = 0

    def __call__(self, said: Said) -> Deed | None:
        if not (self._goes_on(said) if self.hits else said == self.first):
            return None
        self.hits += 1
        return self.act

    def _goes_on(self, said: Said) -> bool:
        is_alike = said.way is self.first.way and not set(said.kinds).isdisjoint(self.first.kinds)
        return self.hits < self.times and is_alike


@dataclass(frozen=True, slots=True)
class CutAtByte:
    """The connection breaks behind each byte of the first message with a frame of this kind and the fewest others."""

    kind: str
    late_ms: int = 1_500
    outlasts_grace: bool = False

    def blows(self, record: Record) -> Iterator[Blow]:
        """See `Fault`."""
        said = min((said for said in record.said if self.kind in said.kinds), key=lambda said: len(said.kinds))
        start = said if said.way is UP else _before(said, record)
        for count in range(1, said.bytes + 1):
            yield Blow(self, f"{said}, byte {count} of {said.bytes}", partial(self._strike, start, count))

    def _strike(self, start: Said, count: int, play: Play) -> None:
        play.tap.disturbers.append(_Series(start, partial(_cut_behind, count), 1))


def _before(said: Said, record: Record) -> Said:
    """Return the message before: when it is here, only bytes of this one are still to come."""
    return next(one for one in record.said if one.way is said.way and one.number == said.number - 1)


def _cut_behind(count: int, passing: Passing) -> None:
    line, way = passing.link.line, passing.said.way
    line.cut(line.under_way(way) + count, way)
    passing.forward(passing.message)


# -- to the engine ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InCommit:
    """The engine dies before or after each commit, and starts again. Every other time its store is SQLite."""

    moment: Moment
    late_ms: int
    outlasts_grace: bool = False

    def blows(self, record: Record) -> Iterator[Blow]:
        """See `Fault`."""
        for commit in range(1, record.commits + 1):
            yield Blow(self, f"{self.moment} commit {commit}", partial(self._strike, commit), commit % 2 == 0)

    def _strike(self, commit: int, play: Play) -> None:
        play.disk.crash_at(commit, self.moment, play.kill_engine)
