"""Every limit and every time of the wire, each with its reason beside it.

Change one with `dataclasses.replace`. Limits are bytes or counts, times are integer milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

KIB = 1024
MIB = 1024 * KIB

SUBPROTOCOL = "onward.v1"
"""The WebSocket subprotocol. The number changes only if even the first frame could not be read by the other side."""

VERSIONS = (1, 1)
"""The oldest and the newest protocol version that this package speaks: the current one and the two before it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may be."""

    message_bytes_max: int = MIB
    """Largest message that is read: the size that a WebSocket library can refuse before it keeps a byte."""

    send_bytes_max: int = 512 * KIB
    """Largest message that is written: half of what is read, so that a release can lower what is read."""

    part_threshold_bytes: int = 256 * KIB
    """A larger frame travels in parts in any case. Below this, splitting costs more on a good line than the wait of the
    frames behind it; on a poor line `flow_bytes` decides."""

    part_bytes: int = 64 * KIB
    """Data in one part at most, so that large frames of several runs take turns."""

    flow_bytes_min: int = 16 * KIB
    """Bytes that may be under way unanswered at first, and on the poorest line: at 2 kB/s a beat then takes 8 s, and
    the lease lasts."""

    flow_bytes_max: int = MIB
    """On the best line: 10 MB/s over 100 ms. It is also what the kernel may have to keep for one connection."""

    packed_bytes_min: int = 4 * KIB
    """A smaller frame is not compressed: a packet or two on the line, and 0.1 ms of work at both ends."""

    packed_ratio_max: int = 256
    """How many times larger a frame may become when it is unpacked, beyond `part_threshold_bytes`: real data shrinks to
    a tenth at most, and a flood of small frames must not keep the other end busier than one of large ones."""

    streams_max: int = 8
    """Frames that are under way in parts at the same time; more only make each of them slower."""

    frame_bytes_max: int = 48 * MIB
    """Largest frame after assembly: an Assign with the largest run state and 100 bytes around each of 100,000 steps."""

    assembly_bytes_max: int = 64 * MIB
    """All unfinished frames of a connection together: one of the largest, and ordinary ones beside it."""

    output_bytes_max: int = 4 * MIB
    """A step's output, encoded. Larger data belongs into a file or an object store, and its address into the output."""

    event_bytes_max: int = 512 * KIB
    """An event's data. It is read again by each function that it starts."""

    state_bytes_max: int = 32 * MIB
    """Journal and events of one run: what a worker has to hold to continue it."""

    steps_per_run_max: int = 100_000
    """Keeps a loop without end from filling the disk; the cost of a step does not grow with the number."""

    losses_max: int = 5
    """Workers lost under a run, one after the other and without progress, until its step in flight is to blame: the
    chance that all of them died of something else is small by then."""

    name_bytes_max: int = 256
    """Names, keys and ids, in UTF-8: they stand in indexes, logs and tables."""

    depth_max: int = 64
    """Nesting of data that is really decoded. Deeper data can exhaust a C stack."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long things take. `scaled` changes all of them together, so that their order stays true."""

    beat_ms: int = 5_000
    """From one beat to the next: three of them fit into `dead_ms`, so that one lost on a bad line costs nothing."""

    dead_ms: int = 15_000
    """A peer that sent nothing for so long is dead."""

    lease_ms: int = 12_000
    """A worker starts no step later than this after it sent the newest beat that was answered. Less than `dead_ms`, so
    that the worker stops first, however slow the line was."""

    grace_ms: int = 1_000
    """After a lost socket nobody else gets the runs for so long; a reconnect on a good network takes a tenth of it."""

    adoption_ms: int = 5_000
    """After a start of the engine held runs wait so long for their holders, who retry at least every 0.4 s for 5 s."""

    affinity_ms: int = 250
    """A woken run waits so long for a slot at the worker that has it in memory: less than a replay is worth."""

    version_ms: int = 5_000
    """A run waits so long for a slot at a worker with the version of its App on which it began."""

    strike_min_ms: int = 1_000
    strike_max_ms: int = 60_000
    """From the second worker on that a run has cost, it waits: the first of these, doubled each time, up to the second.
    So it cannot go through all workers faster than they are started again."""

    alone_ms: int = 1_000
    """A worker that such a run was given to gets nothing else for so long: whatever kills a process at once, kills it
    in this time."""

    stall_max_ms: int = 120_000
    """For so long a guard keeps the runs of a process that stands still: a step that blocks the event loop for a minute
    by mistake ends within it. One that takes longer is taken for lost."""

    hello_ms: int = 3_000
    """A connection without a Hello is closed after this, so that half-open connections cannot pile up."""

    blocked_ms: int = 10_000
    """A socket that accepted no byte for so long is given up."""

    close_ms: int = 1_000
    """Patience with the closing handshake; the peer is usually gone already."""

    reconnect_min_ms: int = 100
    reconnect_max_ms: int = 400
    """After the first immediate attempt: uniformly between these two, while the engine restarts."""

    reconnect_eager_ms: int = 5_000
    """For so long; afterwards with full jitter up to `reconnect_cap_ms`, for ever."""

    reconnect_cap_ms: int = 15_000

    def scaled(self, factor: float) -> Times:
        """Return all times multiplied by `factor`, none below 1 ms."""
        return Times(**{field.name: max(1, round(getattr(self, field.name) * factor)) for field in fields(self)})
