"""What a worker holds, as both ends see it, and the digest that compares the two pictures in a few bytes.

The digest of one run is BLAKE2b with a digest of 8 bytes, read big-endian, over the MessagePack array
`[run, epoch, last_seq, known, state]`, with 0 for `known` if the run has ended; the digest of many is the exclusive or
of theirs, so that their order does not matter and a change costs two hashes however many runs are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from msgspec.msgpack import Encoder

from onward_protocol.messages import Held

_encoder = Encoder()


def hash_of(held: Held) -> int:
    """Return the 64-bit digest of one held run.

    `acked_seq` plays no part: while an Ack is under way the two ends do not agree on it.
    """
    array = (held.run, held.epoch, held.last_seq, _known(held), held.state)
    return int.from_bytes(blake2b(_encoder.encode(array), digest_size=8).digest(), "big")


class Holdings:
    """The runs that a worker holds, with their count and digest.

    Hashes are taken when the digest is read, and only of runs that changed since: one beat, not every frame, pays.
    """

    __slots__ = ("_changed", "_digest", "_hashes", "_held")

    def __init__(self, held: Iterable[Held] = ()) -> None:
        self._held: dict[str, Held] = {item.run: item for item in held}
        self._hashes: dict[str, int] = {}
        self._changed: set[str] = set(self._held)
        self._digest = 0

    def put(self, held: Held) -> None:
        """Note a run, or what has changed about it."""
        self._held[held.run] = held
        self._changed.add(held.run)

    def drop(self, run: str) -> None:
        """Note that a run is not held any more; it need not have been."""
        if self._held.pop(run, None) is not None:
            self._changed.add(run)

    def get(self, run: str) -> Held | None:
        """Return what is held of a run."""
        return self._held.get(run)

    def digest(self) -> int:
        """Return the digest of all runs held."""
        for run in self._changed:
            self._rehash(run)
        self._changed.clear()
        return self._digest

    def without(self, runs: Iterable[str]) -> tuple[int, int]:
        """Return count and digest of all runs but these; they need not be held, and none may be named twice."""
        count, digest = len(self._held), self.digest()
        for run in runs:
            if run in self._hashes:
                count, digest = count - 1, digest ^ self._hashes[run]
        return count, digest

    def __len__(self) -> int:
        """Return how many runs are held."""
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        """Go over the runs held, oldest first."""
        return iter(self._held.values())

    def _rehash(self, run: str) -> None:
        held = self._held.get(run)
        old = self._hashes.pop(run, 0)
        new = 0 if held is None else hash_of(held)
        if held is not None:
            self._hashes[run] = new
        self._digest ^= old ^ new


@dataclass(frozen=True, slots=True)
class Difference:
    """How a worker's list differs from what the engine expected at that moment.

    `lost`: expected, but not held. `strange`: held, but not expected. `changed`: (expected, held) of the same epoch.
    """

    lost: tuple[Held, ...] = ()
    strange: tuple[Held, ...] = ()
    changed: tuple[tuple[Held, Held], ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there is any difference."""
        return bool(self.lost or self.strange or self.changed)


def compare(expected: Iterable[Held], held: Iterable[Held]) -> Difference:
    """Compare two lists of runs. Another epoch is another holding: one lost and one strange."""
    ours = {(item.run, item.epoch): item for item in expected}
    theirs = {(item.run, item.epoch): item for item in held}
    return Difference(
        lost=tuple(item for key, item in ours.items() if key not in theirs),
        strange=tuple(item for key, item in theirs.items() if key not in ours),
        changed=tuple(
            (item, theirs[key]) for key, item in ours.items() if key in theirs and _differ(item, theirs[key])
        ),
    )


def _differ(one: Held, other: Held) -> bool:
    return (one.last_seq, _known(one), one.state) != (other.last_seq, _known(other), other.state)


def _known(held: Held) -> int:
    """Nobody can tell whether what was sent to a run that has ended came before or behind its end."""
    return 0 if held.state == "ended" else held.known
