"""What the middleware of a function means to one residence of a run: to its steps, its sends, and all its payloads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace
from onward_protocol.messages import Assign, Draft, Failed, Failure, Outcome, Returned, RunCompleted, RunFailed

from onward.events import Event, draft_of
from onward.middleware.base import Next, PayloadInfo, RunInfo, StepInfo
from onward.middleware.chain import Chain
from onward.replay.journal import LogEntry

if TYPE_CHECKING:
    from onward.function import Function
    from onward.host import StepCall

log: Final = logging.getLogger("onward.run")


class Wrapping(Struct, frozen=True):
    """The chain of one residence, and whose it is."""

    chain: Chain
    run: RunInfo
    origins: tuple[str, ...] = ()

    @property
    def has_codecs(self) -> bool:
        """True if payloads are not stored as they are."""
        return bool(self.chain.codecs)

    @property
    def has_sends(self) -> bool:
        """True if anybody wants to see what is sent."""
        return bool(self.chain.sends)

    async def execute(self, call: StepCall, key: str, attempt: int, body: Next[Any]) -> Any:
        """Execute an attempt of a step inside of `wrap_step`."""
        if not self.chain.steps:
            return await body()
        args, kwargs = tuple(call.args), dict(call.kwargs)
        info = StepInfo(self.run, call.id, key, attempt, call.retry.attempts, args, kwargs, call.retry)
        return await self.chain.wrap_step(info, body)

    async def seal_step(self, key: str, output: bytes) -> tuple[bytes, bytes]:
        """Return what is recorded for a step's output, and what that says: what cannot be read back is no result."""
        info = self._step(key)
        sealed = await self.chain.encode(output, info)
        return sealed, await self.chain.decode(sealed, info)

    async def open_step(self, key: str, payload: bytes) -> bytes:
        """Return what was recorded for a step."""
        return await self.chain.decode(payload, self._step(key))

    async def seal_step_failure(self, key: str, failure: Failure) -> Failure:
        """Return the failure as it may be recorded. Data that cannot be encoded is left out: better none than in the
        clear.
        """
        if not failure.data:
            return failure
        try:
            return replace(failure, data=await self.chain.encode(failure.data, self._step(key)))
        except Exception:
            log.exception("the data of a failure could not be encoded, and is left out")
            return replace(failure, data=b"")

    async def send(self, events: Sequence[Event[Any]], id_of: Callable[[int], str]) -> tuple[Draft, ...]:
        """Return what is sent after all for `events`. One without an id gets that of its place."""
        kept: list[Draft] = []

        async def keep(chosen: Sequence[Event[Any]]) -> tuple[str, ...]:
            kept.extend(map(draft_of, chosen))
            return tuple(draft.id or id_of(index) for index, draft in enumerate(kept))

        await self.chain.wrap_send(events, keep)
        return tuple(kept)

    async def open_assign(self, assign: Assign) -> Assign:
        """Return what was assigned with its input, and the failure that a handler is started for, as they were."""
        chain, cause = self.chain, assign.cause
        if assign.input:
            assign = replace(assign, input=await chain.decode(assign.input, chain.about("input")))
        if cause is not None and cause.data:
            data = await chain.decode(cause.data, chain.about("failure"))
            assign = replace(assign, cause=replace(cause, data=data))
        return assign

    async def seal_outcome(self, outcome: Outcome) -> Outcome:
        """Return the outcome as it is stored."""
        chain = self.chain
        match outcome:
            case RunCompleted(output=output):
                return RunCompleted(await chain.encode(output, chain.about("output", self.run.id)))
            case RunFailed(failure=failure) if failure.data:
                data = await chain.encode(failure.data, chain.about("failure"))
                return RunFailed(replace(failure, data=data))
            case _:
                return outcome

    def _step(self, key: str) -> PayloadInfo:
        return self.chain.about("step", self.run.id, key, self.origins)


async def open_answer(chain: Chain, children: tuple[str, ...], entry: LogEntry) -> LogEntry:
    """Return a child's result or failure as it was; `chain` is that of its function. It is the first of `children`, or
    one of the others that a run of which this is a fork has had.
    """
    match entry:
        case Returned(value=value):
            info = chain.about("output", children[0], origins=children[1:])
            return replace(entry, value=await chain.decode(value, info))
        case Failed(failure=failure) if failure.data:
            data = await chain.decode(failure.data, chain.about("failure"))
            return replace(entry, failure=replace(failure, data=data))
        case _:
            return entry


def run_info(function: Function[Any, Any], assign: Assign, *, replayed: bool) -> RunInfo:
    """Return what middleware is told about a residence."""
    event = assign.events[0] if assign.events else None
    return RunInfo(
        assign.run,
        assign.function,
        function.app.name,
        assign.attempt,
        replayed,
        event.name if event else "",
        event.meta if event else {},
        assign.started_at_ms,
        assign.parent,
    )
