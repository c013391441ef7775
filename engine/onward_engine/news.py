"""What an engine tells the others after a commit, as messages of bounded size.

Each item is a short JSON array that begins with its kind; a message is the sender's id and as many items as fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, ValidationError, json


class Changed(Struct, frozen=True, array_like=True, tag="changed"):
    """Its holder has something to be told about this run: new entries, or that the run is not its own any more."""

    run: str
    epoch: int
    holder: str


class Ready(Struct, frozen=True, array_like=True, tag="ready"):
    """This run is parked on that connection and wants a slot there."""

    run: str
    epoch: int
    holder: str
    generation: int


class Queued(Struct, frozen=True, array_like=True, tag="queued"):
    """The function has runs that the sender has no worker for."""

    function: str


class Finished(Struct, frozen=True, array_like=True, tag="finished"):
    """The run is over; somebody may wait for it."""

    run: str


class Moved(Struct, frozen=True, array_like=True, tag="moved"):
    """The worker has a new connection elsewhere; those of earlier generations are over."""

    instance: str
    generation: int


class Followed(Struct, frozen=True, array_like=True, tag="followed"):
    """Somebody follows this run's history where the sender is."""

    run: str


class Written(Struct, frozen=True, array_like=True, tag="written"):
    """There is more of this run's history; somebody follows it."""

    run: str


class Registered(Struct, frozen=True, array_like=True, tag="registered"):
    """Apps have changed."""


class Loaded(Struct, frozen=True, array_like=True, tag="loaded"):
    """The workers of an engine that have this app, or this function if it asks for labels: their slots, those that are
    busy, and those that are free.
    """

    replica: str
    name: str
    workers: int = 0
    slots: int = 0
    busy: int = 0
    free: int = 0


Item = Changed | Ready | Queued | Finished | Followed | Written | Moved | Registered | Loaded


class _Message(Struct, array_like=True):
    sender: str
    items: list[Item]


_encoder = json.Encoder()
_decoder = json.Decoder(_Message)


def encode(sender: str, items: Iterable[Item], bytes_max: int) -> Iterator[bytes]:
    """Return the items in as few messages as they fit into. One that is too large by itself is left out."""
    head, end = b"[" + _encoder.encode(sender) + b",[", b"]]"
    room_max = bytes_max - len(head) - len(end)
    parts: list[bytes] = []
    room = room_max
    for part in map(_encoder.encode, items):
        if len(part) > room_max:
            continue
        if len(part) > room:
            yield head + b",".join(parts) + end
            parts, room = [], room_max
        parts.append(part)
        room -= len(part) + 1
    if parts:
        yield head + b",".join(parts) + end


def decode(message: bytes) -> tuple[str, list[Item]] | None:
    """Return who sent a message, and its items; None if it is not one, or of an engine that is newer than this one."""
    try:
        found = _decoder.decode(message)
    except (ValidationError, ValueError):
        return None
    return found.sender, found.items
