"""Every frame of the wire, as msgspec Structs.

One WebSocket message is one MessagePack array of frames. A frame is an array whose first element is its tag; fields may
only be added at the end, with a default, so that both ends can read what an older or newer peer sends.

Payloads (step outputs, inputs, results) travel as opaque `bytes` that hold MessagePack: the engine stores and returns
them without looking inside. Event data is JSON text in `bytes`. Times are integer milliseconds: `*_ms` is a duration,
`*_at_ms` a moment on the engine's clock.

Two numberings never mix: `seq` counts the frames that a worker writes for one run in one epoch (from 1, without gaps);
`pos` counts the journal entries that the engine writes into one run (from 1, over all epochs).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A count, place or time. It fits a signed 64-bit column, so that a hostile number fails here and not in a store."""

Generation = Annotated[int, Meta(ge=0, le=2**53)]
"""Counts connections. Smaller than `Natural`, because the engine counts on from what a worker says."""

Hash64 = Annotated[int, Meta(ge=0)]
"""An unsigned 64-bit hash."""


class Wire(Struct, frozen=True, array_like=True, omit_defaults=False, gc=False):
    """Base of everything that is sent: an array, immutable, compared by value."""


# -- values inside frames ----------------------------------------------------------------------------------------------


class Failure(Wire, frozen=True):
    """Why a step, a child or a run failed, in words and types that survive the process that raised it."""

    type: str
    message: str
    data: bytes = b""
    stack: str = ""


class Event(Wire, frozen=True):
    """An accepted event. `ord` is its place in the engine's order of acceptance."""

    id: str
    name: str
    data: bytes
    ts_ms: Natural
    ord: Natural
    key: str = ""
    meta: dict[str, str] = {}


class Draft(Wire, frozen=True):
    """An event that a step sends.

    Its id is derived from (run, key, index), so that sending it again changes nothing.
    """

    name: str
    data: bytes
    ts_ms: Natural = 0
    key: str = ""
    meta: dict[str, str] = {}
    id: str = ""
    due_at_ms: Natural = 0


class Match(Wire, frozen=True):
    """One equality that an awaited event must satisfy.

    The JSON value at `path` of its data equals the JSON text `value`.
    """

    path: str
    value: bytes


class Held(Wire, frozen=True):
    """One run that a worker holds.

    `known` is the highest `pos` in its log, `acked_seq` the highest acknowledged frame. `ended`: the frame with its end
    was sent and is not acknowledged yet.
    """

    run: str
    epoch: Natural
    last_seq: Natural
    acked_seq: Natural
    known: Natural
    state: Literal["running", "parked", "ended"]


class RunRef(Wire, frozen=True):
    run: str
    epoch: Natural


class Segment(Wire, frozen=True):
    """The entries of one stored checkpoint frame, exactly the bytes that the worker sent."""

    epoch: Natural
    seq: Natural
    entries: bytes


class Trigger(Wire, frozen=True):
    """What starts a function: an exact event name, or a prefix such as `shop/*`, and a condition on the event."""

    event: str
    where: str = ""


class ConcurrencyLimit(Wire, frozen=True):
    """At most `limit` runs at once, counted for each value of `key`, and all together if it is empty.

    With `of` "step" a run that sleeps or waits gives its place back; with "run" it has it from its start to its end.
    `scope` says who shares the places: the runs of this function, or those of all functions of the app or of the whole
    environment that have a limit of this scope and key.
    """

    limit: Natural
    key: str = ""
    scope: Literal["function", "app", "environment"] = "function"
    of: Literal["step", "run"] = "step"


class ThrottleRule(Wire, frozen=True):
    """Runs start `period_ms / limit` apart, for each value of `key`; up to `burst` of them at once after a pause."""

    limit: Natural
    period_ms: Natural
    burst: Natural = 1
    key: str = ""


class RateRule(Wire, frozen=True):
    """In any `period_ms` at most `limit` events start a run, for each value of `key`; the others are skipped."""

    limit: Natural
    period_ms: Natural
    key: str = ""


class DebounceRule(Wire, frozen=True):
    """Events become one run when `period_ms` have passed without another one, or `timeout_ms` since the first.

    They are told apart by `key`. The run gets the `last` of them by their time, or `all`.
    """

    period_ms: Natural
    key: str = ""
    timeout_ms: Natural | None = None
    deliver: Literal["last", "all"] = "last"


class BatchRule(Wire, frozen=True):
    """Events become one run when there are `size` of them, or `timeout_ms` after the first.

    They are told apart by `key`. An event for which `when` is not true starts a run alone.
    """

    size: Natural
    timeout_ms: Natural
    key: str = ""
    when: str = ""


class FairRule(Wire, frozen=True):
    """Values of `key` take turns, each in proportion to its `weight`, an expression; empty: 1."""

    key: str
    weight: str = ""


class SingletonRule(Wire, frozen=True):
    """One run at a time for each value of `key`: a newcomer is skipped, or the older one cancelled."""

    key: str = ""
    mode: Literal["skip", "cancel"] = "skip"


class IdempotencyRule(Wire, frozen=True):
    """Of the events with one value of `key`, only the first in `ttl_ms` starts a run."""

    key: str
    ttl_ms: Natural


class CancelRule(Wire, frozen=True):
    """Runs of the function are cancelled by an event of exactly this name.

    Its value at each path of `match` has to equal that of the run's own event. The rule counts for `timeout_ms` from
    the run's start on; nil: as long as the run.
    """

    event: str
    match: tuple[str, ...] = ()
    where: str = ""
    timeout_ms: Natural | None = None


class Schedule(Wire, frozen=True):
    """When a function is started by the clock.

    `expression` has the five fields of cron; each of its ticks starts the function once, up to `jitter_ms` later.
    """

    expression: str
    tz: str = "UTC"
    jitter_ms: Natural = 0
    overlap: Literal["allow", "skip", "cancel"] = "allow"
    catch_up: Literal["none", "last", "all"] = "last"


class FunctionManifest(Wire, frozen=True):
    """A function as its worker registers it.

    `id` is `app/name`, `on_failure` the id of the function that handles its failed runs.
    """

    id: str
    triggers: tuple[Trigger, ...] = ()
    concurrency: tuple[ConcurrencyLimit, ...] = ()
    on_failure: str = ""
    sync: bool = False
    cancel_on: tuple[CancelRule, ...] = ()
    start_timeout_ms: Natural | None = None
    finish_timeout_ms: Natural | None = None
    labels: dict[str, str] = {}
    schedules: tuple[Schedule, ...] = ()
    throttle: ThrottleRule | None = None
    rate_limit: RateRule | None = None
    debounce: DebounceRule | None = None
    batch: BatchRule | None = None
    priority: str = ""
    fair: FairRule | None = None
    singleton: SingletonRule | None = None
    idempotency: IdempotencyRule | None = None


class AppManifest(Wire, frozen=True):
    name: str
    version: str = ""
    functions: tuple[FunctionManifest, ...] = ()


class WireLimits(Wire, frozen=True):
    """What this engine accepts. All in bytes, except `steps_per_run`."""

    message_bytes: Natural
    part_bytes: Natural
    output_bytes: Natural
    event_bytes: Natural
    state_bytes: Natural
    steps_per_run: Natural


# -- entries that a worker writes --------------------------------------------------------------------------------------


class StepDone(Wire, frozen=True, tag=1):
    """A step's result. `name`, `site` and `args` let a replay notice that the code has changed under the key.

    `at_ms` is the worker's wall clock when the entry was made: the time that user code is told, on replay too.
    """

    key: str
    output: bytes
    name: str = ""
    site: Natural = 0
    args: Natural = 0
    attempts: Natural = 1
    took_ms: Natural = 0
    at_ms: Natural = 0


class StepFailed(Wire, frozen=True, tag=2):
    """A step that failed for good."""

    key: str
    failure: Failure
    name: str = ""
    site: Natural = 0
    args: Natural = 0
    attempts: Natural = 1
    at_ms: Natural = 0


class AttemptFailed(Wire, frozen=True, tag=3):
    """One attempt that will be repeated after `retry_ms`.

    It counts attempts over crashes and is never delivered to user code. `began_at_ms` is when the step's first attempt
    began, on the worker's wall clock.
    """

    key: str
    attempt: Natural
    failure: Failure
    retry_ms: Natural
    began_at_ms: Natural = 0


class TimerFired(Wire, frozen=True, tag=4):
    """A timer of the run's own asyncio code fired."""

    key: str
    at_ms: Natural = 0


class Seen(Wire, frozen=True, tag=5):
    """The engine's entry `pos` entered the worker's log at this place."""

    pos: Natural


class Sleep(Wire, frozen=True, tag="sleep"):
    """Due `ms` after the engine committed it, or at `until_at_ms` if that is set. `until_at_ms` 0 means: relative."""

    ms: Natural
    until_at_ms: Natural = 0


class EventWait(Wire, frozen=True, tag="event"):
    """An event of exactly this name, accepted after place `after` in the engine's order (None: from now on).

    A worker leaves `own` empty: it is where the engine keeps what `where` reads of the run's own event, as JSON.
    """

    event: str
    match: tuple[Match, ...] = ()
    timeout_ms: Natural | None = None
    after: Natural | None = None
    where: str = ""
    own: bytes = b""


class SignalWait(Wire, frozen=True, tag="signal"):
    name: str
    timeout_ms: Natural | None = None


class CallbackWait(Wire, frozen=True, tag="callback"):
    """A value that is posted under this token, once. `url` is where, for the code that hands it out.

    The engine answers the opening with a `Returned` of the key and `OPEN_MARK`, whose value is [token, url]: the wait
    stands when the code learns of the token, and a replay learns of the same one.
    """

    token: str
    timeout_ms: Natural | None = None
    url: str = ""


class Invoke(Wire, frozen=True, tag="invoke"):
    """A child run and its result. The child's id is derived from (run, key)."""

    function: str
    input: bytes
    timeout_ms: Natural | None = None


Wait = Sleep | EventWait | SignalWait | CallbackWait | Invoke

OPEN_MARK = "!open"
"""Behind the key of a callback: the key of the engine's word that it is open."""


class WaitOpened(Wire, frozen=True, tag=6):
    key: str
    wait: Wait


class WaitClosed(Wire, frozen=True, tag=7):
    """The code gave up a wait; the engine drops it, and cancels the child if it was an invoke."""

    key: str


class Sent(Wire, frozen=True, tag=8):
    key: str
    events: tuple[Draft, ...]


class Started(Wire, frozen=True, tag=9):
    """A detached child run; its id is derived from (run, key).

    The engine answers with a `Returned` of that id, or with why there is no such run.
    """

    key: str
    function: str
    input: bytes


class Published(Wire, frozen=True, tag=10):
    key: str
    topic: str
    data: bytes


class Tagged(Wire, frozen=True, tag=11):
    """Words by which the run is found. A key has its newest value."""

    tags: dict[str, str]
    key: str = ""


class Progress(Wire, frozen=True, tag=12):
    """How far the run says it is, for people. Only the newest counts.

    A frame with nothing else is not kept in the journal.
    """

    value: bytes


class Patched(Wire, frozen=True, tag=13):
    """Which code this run takes at the change that `key` names: the new one with `is_on`, otherwise the old one."""

    key: str
    is_on: bool


WorkerEntry = (
    StepDone
    | StepFailed
    | AttemptFailed
    | TimerFired
    | Seen
    | WaitOpened
    | WaitClosed
    | Sent
    | Started
    | Published
    | Tagged
    | Progress
    | Patched
)


# -- entries that the engine writes ------------------------------------------------------------------------------------


class Due(Wire, frozen=True, tag=1):
    """A sleep is over. `at_ms` of every engine entry is the engine's clock when it was written."""

    pos: Natural
    key: str
    at_ms: Natural = 0


class TimedOut(Wire, frozen=True, tag=2):
    pos: Natural
    key: str
    at_ms: Natural = 0


class Arrived(Wire, frozen=True, tag=3):
    pos: Natural
    key: str
    event: Event
    at_ms: Natural = 0


class Returned(Wire, frozen=True, tag=4):
    """A child's output, a signal's or a callback's value."""

    pos: Natural
    key: str
    value: bytes
    at_ms: Natural = 0


class Failed(Wire, frozen=True, tag=5):
    """A child's failure, or the engine's refusal of what the step asked for."""

    pos: Natural
    key: str
    failure: Failure
    at_ms: Natural = 0


class CancelRequested(Wire, frozen=True, tag=6):
    pos: Natural
    cleanup_ms: Natural
    reason: str = ""
    at_ms: Natural = 0


class WorkerLosses(Wire, frozen=True, tag=7):
    """So many workers died under this run without progress that its step in flight fails with `WorkerLost`."""

    pos: Natural
    losses: Natural
    at_ms: Natural = 0


EngineEntry = Due | TimedOut | Arrived | Returned | Failed | CancelRequested | WorkerLosses


# -- outcomes of a residence -------------------------------------------------------------------------------------------


class RunCompleted(Wire, frozen=True, tag=1):
    output: bytes


class RunFailed(Wire, frozen=True, tag=2):
    failure: Failure


class RunCancelled(Wire, frozen=True, tag=3):
    reason: str = ""


class Parked(Wire, frozen=True, tag=4):
    """Only waits are left; the coroutine stays in the worker's memory and its slot is free."""


class HandedBack(Wire, frozen=True, tag=5):
    """Stopped at a step boundary; any worker may go on."""

    reason: str = ""


Outcome = RunCompleted | RunFailed | RunCancelled | Parked | HandedBack


# -- worker to engine --------------------------------------------------------------------------------------------------


class Hello(Wire, frozen=True, tag=1):
    """First frame of every connection.

    `generation` and `session` are 0 and "" on the first connection of an instance.
    """

    versions: tuple[Natural, Natural]
    instance: str
    role: Literal["worker", "guard"] = "worker"
    session: str = ""
    generation: Generation = 0
    sdk: str = ""
    python: str = ""
    slots: Natural = 0
    labels: dict[str, str] = {}
    apps: tuple[AppManifest, ...] = ()
    held: tuple[Held, ...] = ()
    unpacks: tuple[str, ...] = ()


class Checkpoint(Wire, frozen=True, tag=2):
    """Finished work of one run.

    `entries` is a MessagePack array of worker entries, kept as bytes because the engine stores them as sent.
    """

    run: str
    epoch: Natural
    seq: Natural
    entries: bytes
    outcome: Outcome | None = None


class Beat(Wire, frozen=True, tag=3):
    """Lease, credit and digest.

    `seen` is the number of the newest engine message that was processed; `granted` = runs accepted on this connection +
    free slots; `count` and `digest` describe the runs held; a beat without a digest is not compared. `held` is the full
    list, sent only when the engine asked for it. Neither says anything about the runs in `apart`, of which frames are
    still on their way.
    """

    n: Natural
    seen: Natural
    granted: Natural
    count: Natural = 0
    digest: Hash64 | None = None
    lag_ms: Natural = 0
    memory_bytes: Natural = 0
    counters: dict[str, Natural] = {}
    held: tuple[Held, ...] | None = None
    apart: tuple[str, ...] = ()


class Return(Wire, frozen=True, tag=4):
    """The worker does not have this run, or cannot take it."""

    run: str
    epoch: Natural
    reason: Literal["full", "evicted", "unknown", "draining"]


class Stream(Wire, frozen=True, tag=5):
    run: str
    attempt: Natural
    n: Natural
    topic: str
    data: bytes


class Log(Wire, frozen=True, tag=6):
    run: str
    level: str
    at_ms: Natural
    message: str
    fields: bytes = b""


class Drain(Wire, frozen=True, tag=7):
    """No new work, please. With `rotate` the engine answers with GoAway; the worker then connects anew."""

    reason: Literal["shutdown", "rotate"]


class Bye(Wire, frozen=True, tag=8):
    """Last frame: no step can start here any more. The unfinished runs may be handed on at once."""

    unfinished: tuple[RunRef, ...] = ()
    reason: str = ""
    exit_status: int | None = None


# -- engine to worker --------------------------------------------------------------------------------------------------


class Welcome(Wire, frozen=True, tag=32):
    version: Natural
    session: str
    generation: Natural
    beat_ms: Natural
    dead_ms: Natural
    lease_ms: Natural
    grace_ms: Natural
    limits: WireLimits
    engine: str = ""
    time_ms: Natural = 0
    unpacks: tuple[str, ...] = ()
    callback_url: str = ""


class Refuse(Wire, frozen=True, tag=33):
    code: str
    message: str
    retry_after_ms: Natural | None = None


class Assign(Wire, frozen=True, tag=34):
    """Start or continue a run here.

    `segments` are the stored frames in order of (epoch, seq); `entries` all engine entries by pos. A run that was
    started without an event has its `input` as MessagePack. `ord` is the run's own place in the order of acceptance.
    `cause` is set for a failure handler. With `journal_follows` segments and entries come behind it in Journal frames,
    and the run starts with the last of these. A fork goes on with what other runs had done: the segments of epoch n are
    those of the n-th of `origins`. `parent` is the run that this one came from: by invoke or start, or by failing, for
    a failure handler.
    """

    run: str
    epoch: Natural
    function: str
    attempt: Natural
    ord: Natural
    events: tuple[Event, ...] = ()
    input: bytes = b""
    segments: tuple[Segment, ...] = ()
    entries: tuple[EngineEntry, ...] = ()
    cause: Failure | None = None
    started_at_ms: Natural = 0
    journal_follows: bool = False
    origins: tuple[str, ...] = ()
    parent: str = ""


class Ack(Wire, frozen=True, tag=35):
    """Everything up to and including `seq` is durable; with `resend` the engine asks for all later frames again."""

    run: str
    epoch: Natural
    seq: Natural
    resend: bool = False


class BeatAck(Wire, frozen=True, tag=36):
    """Renews the lease. With `want_beat` it may come unasked, with the number of the newest beat that was answered.

    `number` is that of the engine's message with it, `received` that of the worker's message with the beat, as the
    engine has counted: they show whether everything has arrived once. 0 says nothing.
    """

    n: Natural
    want_held: bool = False
    want_beat: bool = False
    number: Natural = 0
    received: Natural = 0


class Wake(Wire, frozen=True, tag=37):
    """New engine entries for a run in this worker's memory. With `slot` it also takes a slot, as an Assign does."""

    run: str
    epoch: Natural
    entries: tuple[EngineEntry, ...]
    slot: bool = False


class Cancel(Wire, frozen=True, tag=38):
    run: str
    epoch: Natural
    pos: Natural
    cleanup_ms: Natural
    reason: str = ""


class Fence(Wire, frozen=True, tag=39):
    run: str
    epoch: Natural
    reason: str = ""


class GoAway(Wire, frozen=True, tag=40):
    """Nothing is assigned on this connection any more; open the next one after so long."""

    reconnect_after_ms: Natural


class Journal(Wire, frozen=True, tag=41):
    """The next piece of the journal of a run that was assigned with `journal_follows`."""

    run: str
    epoch: Natural
    segments: tuple[Segment, ...] = ()
    entries: tuple[EngineEntry, ...] = ()
    last: bool = False


class Halt(Wire, frozen=True, tag=42):
    """The run is paused: hand it back at its next step boundary. Its running steps end first."""

    run: str
    epoch: Natural


# -- both ways ---------------------------------------------------------------------------------------------------------


class Part(Wire, frozen=True, tag=63):
    """A piece of one encoded frame that is too large to travel at once."""

    stream: Natural
    index: Natural
    last: bool
    data: bytes


class Packed(Wire, frozen=True, tag=62):
    """One encoded frame, compressed in a way that the reader named in `unpacks`. It may be cut into parts then."""

    data: bytes


WorkerFrame = Hello | Checkpoint | Beat | Return | Stream | Log | Drain | Bye | Packed | Part
EngineFrame = (
    Welcome | Refuse | Assign | Ack | BeatAck | Wake | Cancel | Fence | GoAway | Journal | Halt | Packed | Part
)
