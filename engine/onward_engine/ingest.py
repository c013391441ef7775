"""Events and runs come in: checked, named, stored, and only then answered.

The claim for what an event starts is queued right behind it, so that with a free worker one transaction leads from the
event to the assignment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from onward_protocol.ids import derived_id, is_id, name_problem
from onward_protocol.limits import KIB
from onward_protocol.messages import Event

from .catalogue import Catalogue
from .clock import Clock, Ids
from .commit import Committer, Refused
from .dispatch import Dispatch
from .incoming import Incoming, check
from .rules.events import BadEvent
from .rules.waits import WAIT_MS_MAX
from .settings import Settings
from .store.port import Accepted, CancelRun, DropEvent, NewEvent, Rejected, StartRun
from .store.port import Ingest as IngestOp

UNKNOWN_FUNCTION = "unknown_function"
CLEANUP_MS = 30_000
REASON_BYTES_MAX = 1_024
"""Of a cancellation: it is stored with the run and with its journal, and told to its worker."""

_BREATH_BYTES = 256 * KIB  # checked without a pause: about 3 ms


class Ingest:
    """The way in for everything that starts or ends a run from outside. All methods raise `Refused` if nothing was
    stored.
    """

    def __init__(
        self, committer: Committer, dispatch: Dispatch, catalogue: Catalogue, clock: Clock, ids: Ids, settings: Settings
    ) -> None:
        self._committer = committer
        self._dispatch = dispatch
        self._catalogue = catalogue
        self._clock = clock
        self._ids = ids
        self._limits = settings.limits

    async def accept(self, events: Sequence[Incoming]) -> tuple[Accepted, ...]:
        """Store events, all or none, and return what each of them started. Raises `BadEvent`."""
        await self._check(events, self._clock.wall_ms())
        now_ms = self._clock.wall_ms()
        new = tuple(self._named(event, now_ms) for event in events)
        size = sum(len(event.data) for event in events)
        self._dispatch.expect(self._catalogue.started_by({event.name for event in events}))
        return await self._committer.commit(IngestOp(now_ms=now_ms, events=new), size)

    async def drop_event(self, event: str) -> bool:
        """Forget an event that is not due yet; returns whether there was one."""
        return await self._committer.commit(DropEvent(now_ms=self._clock.wall_ms(), event=event))

    async def start(self, function: str, input: bytes, key: str = "") -> str:
        """Start one run and return its id; with a `key`, what the same key has started. `input` is MessagePack."""
        await self._check_start(function, input, key)
        self._dispatch.expect({function})
        run = self._ids.new("run") if not key else key if is_id(key, "run") else derived_id("run", function, key)
        op = StartRun(now_ms=self._clock.wall_ms(), run=run, function=function, input=input)
        return await self._committer.commit(op, len(input))

    async def cancel(
        self, run: str, reason: str = "", cleanup_ms: int = CLEANUP_MS, *, is_for_waiting: bool = False
    ) -> str:
        """Cancel a run; a running one gets `cleanup_ms`. Returns cancelled, cancelling, terminal or unknown; with
        `is_for_waiting` also begun, for one that is left alone because it has.
        """
        if len(reason.encode()) > REASON_BYTES_MAX or "\0" in reason:
            message = f"A reason is a text of at most {REASON_BYTES_MAX:,} bytes, without the character 0."
            raise Refused(Rejected("bad_request", message))
        if cleanup_ms > WAIT_MS_MAX:
            raise Refused(Rejected("bad_request", "A run may clean up for at most 366 days."))
        op = CancelRun(self._clock.wall_ms(), run, reason, cleanup_ms, is_for_waiting)
        return await self._committer.commit(op)

    async def _check(self, events: Sequence[Incoming], now_ms: int) -> None:
        unpaused = 0
        for event in events:
            check(event, self._limits, now_ms)
            unpaused += len(event.data)
            if unpaused > _BREATH_BYTES:
                unpaused = 0
                await asyncio.sleep(0)

    async def _check_start(self, function: str, input: bytes, key: str) -> None:
        if not await self._catalogue.knows(function):
            known = (
                "start a worker that has it" if self._catalogue.apps else "no worker has registered any function yet"
            )
            raise Refused(Rejected(UNKNOWN_FUNCTION, f"There is no function {function!r}; {known}."))
        if key and (problem := name_problem(key, self._limits.name_bytes_max)):
            raise BadEvent(f"The run's id {problem}.")
        if len(input) > self._limits.output_bytes_max:
            allowed = self._limits.output_bytes_max // KIB
            raise BadEvent(f"The input has {len(input)} bytes; {allowed} KiB are allowed.", too_large=True)

    def _named(self, event: Incoming, now_ms: int) -> NewEvent:
        due_at_ms = event.due_at_ms(now_ms)
        stored = Event(
            id=event.id or self._ids.new("evt"),
            name=event.name,
            data=bytes(event.data),
            ts_ms=max(now_ms, due_at_ms) if event.ts is None else event.ts,
            ord=0,
            key=event.key,
            meta=event.meta,
        )
        return NewEvent(event=stored, dedup=bool(event.id), due_at_ms=due_at_ms)
