"""What people do with runs and functions: pause, resume, repeat and fork them."""

from __future__ import annotations

import asyncio

from onward_protocol.ids import derived_id, name_problem
from onward_protocol.limits import KIB

from .clock import Clock, Ids
from .commit import Committer, Refused
from .dispatch import Dispatch
from .model import Run
from .rules.events import BadEvent
from .rules.forks import Frame, NotForkable, Past, past_before
from .settings import Settings
from .store.port import LimitSet, PauseFunction, PauseRun, Rejected, Repeat, ResumeRun, SetLimit, Store

UNKNOWN_STEP = "unknown_step"

_INLINE_BYTES = 64 * KIB
"""Of a journal that is cut without a thread: about a millisecond."""


class Control:
    """All methods raise `Refused` if nothing was stored."""

    def __init__(
        self, committer: Committer, dispatch: Dispatch, store: Store, clock: Clock, ids: Ids, settings: Settings
    ) -> None:
        self._committer = committer
        self._dispatch = dispatch
        self._store = store
        self._clock = clock
        self._ids = ids
        self._limits = settings.limits

    async def pause_run(self, run: str) -> str:
        """Hold a run. Returns paused, pausing, cancelling, terminal or unknown."""
        return await self._committer.commit(PauseRun(self._clock.wall_ms(), run))

    async def resume_run(self, run: str) -> str:
        """Let a held run go on. Returns resumed, terminal or unknown."""
        return await self._committer.commit(ResumeRun(self._clock.wall_ms(), run))

    async def pause_function(self, function: str, *, is_paused: bool) -> bool:
        """Begin no new runs of a function, or begin them again. False if nobody offers it."""
        return await self._committer.commit(PauseFunction(self._clock.wall_ms(), function, is_paused))

    async def set_limit(self, function: str, option: str, limit: int | None, by: str) -> LimitSet:
        """Have an option of a function give another limit than its code; None: what that says."""
        return await self._committer.commit(SetLimit(self._clock.wall_ms(), function, option, limit, by))

    async def rerun(self, run: str, key: str = "") -> str | None:
        """Start a run with the same input and events; with a `key`, at most one. Returns its id; None if there is no
        `run`. Raises `BadEvent`.
        """
        return await self._repeat(Repeat(self._clock.wall_ms(), self._name(run, "rerun", key), run))

    def is_rerun(self, run: Run, key: str) -> bool:
        """Tell whether `run` is what a rerun with this `key` has started."""
        return bool(key and run.origin) and run.id == _named(run.origin, "rerun", key)

    async def fork(self, run: str, step: str, input: bytes | None = None, key: str = "") -> str | None:
        """Start a run that begins with what `run` had done before `step`; with an `input` in place of its own. As
        `rerun`.
        """
        if input is not None and len(input) > self._limits.output_bytes_max:
            allowed = self._limits.output_bytes_max // KIB
            raise BadEvent(f"The input has {len(input)} bytes; {allowed} KiB are allowed.", too_large=True)
        name = self._name(run, "fork", key)
        source = await self._store.run(run)
        if source is None:
            return None
        if key and await self._store.run(name) is not None:
            return name
        past = await self._past(source, step)
        return await self._repeat(Repeat(self._clock.wall_ms(), name, run, input, past))

    async def _repeat(self, op: Repeat) -> str | None:
        source = await self._store.run(op.source)
        if source is None:
            return None
        self._dispatch.expect({source.function})
        return await self._committer.commit(op, len(op.input or b"") + op.past.size)

    async def _past(self, source: Run, step: str) -> Past:
        frames, entries = await self._journal(source.id)
        size = sum(len(data) for _, _, data in frames)
        try:
            if size <= _INLINE_BYTES:
                return past_before(step, source.id, source.origins, frames, entries)
            return await asyncio.to_thread(past_before, step, source.id, source.origins, frames, entries)
        except NotForkable as error:
            raise Refused(Rejected(UNKNOWN_STEP, f"{error}.")) from error

    async def _journal(self, run: str) -> tuple[list[Frame], list[bytes]]:
        frames: list[Frame] = []
        entries: list[bytes] = []
        after: int | None = 0
        while after is not None:
            page = await self._store.journal(run, after)
            frames += page.segments
            entries += page.entries
            after = page.next
        return frames, entries

    def _name(self, run: str, what: str, key: str) -> str:
        if not key:
            return self._ids.new("run")
        if problem := name_problem(key, self._limits.name_bytes_max):
            raise BadEvent(f"The request's id {problem}.")
        return _named(run, what, key)


def _named(run: str, what: str, key: str) -> str:
    return derived_id("run", run, f"{what} {key}")
