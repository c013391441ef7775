"""A worker inside the test's process, which can die at any acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from onward_engine.pipe import Pipe
from onward_protocol.codec import decode_entries
from onward_protocol.ids import uuid7_id
from onward_protocol.limits import Times
from onward_protocol.messages import (
    Ack,
    AppManifest,
    Assign,
    Cancel,
    Checkpoint,
    Fence,
    Halt,
    Held,
    RunRef,
    Wake,
    WorkerEntry,
    WorkerFrame,
)

from onward.app import manifests
from onward.connection.conversation import Conversation, Profile
from onward.connection.link import LinkLost, Refused
from onward.function import Function
from onward.host import StepCall
from onward.run.runner import CheckpointOf, Runner
from onward.settings import URL_DEFAULT
from onward.testing.clock import VirtualClock
from onward.testing.link import PipeLink

if TYPE_CHECKING:
    from onward_engine.gateway import Gateway

BodyOf = Callable[[str, str, StepCall], Callable[..., Any]]
"""Given run, key and call of a step that starts: what to run as its body."""

OnDurable = Callable[[str, Sequence[WorkerEntry]], bool]
"""Given a run and entries that have just become durable: whether the worker dies before it hears of it."""


class TestWorker:
    """The real runner and conversation on a pipe. Dies by `crash`, or when `on_durable` says so; never reconnects."""

    __test__ = False

    def __init__(
        self,
        functions: Mapping[str, Function[Any, Any]],
        *,
        clock: VirtualClock,
        state: Any,
        random_bytes: Callable[[int], bytes],
        body_of: BodyOf,
        checkpoint_of: CheckpointOf,
        on_durable: OnDurable,
    ) -> None:
        profile = Profile(
            instance=uuid7_id("wrk", clock.wall_ms(), random_bytes(10)),
            apps=_without_labels(functions),
            slots=1_000,
            url=URL_DEFAULT,
        )
        self.is_dead: bool = False
        self.refusal: Refused | None = None
        """Why the engine does not take it."""
        self._conversation = Conversation(profile, clock_ms=clock.monotonic_ms, times=Times(), on_welcome=lambda: None)
        self._runner = Runner(
            functions,
            send=self._send,
            callback_url=self._conversation.callback_url,
            slots=profile.slots,
            may_start=self._may_start,
            clock_ms=clock.wall_ms,
            wall_ms=clock.wall_ms,
            state=state,
            later=clock.later,
            body_of=body_of,
            checkpoint_of=checkpoint_of,
        )
        self._conversation.runs = self
        self._on_durable = on_durable
        self._sent: dict[tuple[str, int], list[Checkpoint]] = {}
        self._pipe = Pipe()
        self._task: asyncio.Task[None] | None = None

    def start(self, gateway: Gateway) -> None:
        """Connect."""
        self._task = asyncio.create_task(self._live(gateway), name="test worker")

    async def _live(self, gateway: Gateway) -> None:
        gateway.attach(self._pipe)
        try:
            await self._conversation.greet(PipeLink(self._pipe)).run()
        except LinkLost:
            pass
        except Refused as refused:
            self.refusal = refused
        finally:
            self.is_dead = True
            self._pipe.abort()
            await self._runner.close()

    def crash(self) -> None:
        """Die: nothing is sent any more, and what arrives is lost."""
        if not self.is_dead:
            self.is_dead = True
            self._pipe.abort()
            assert self._task is not None
            self._task.cancel()

    def _may_start(self) -> bool:
        """A dead worker's runs are still there for some turns of the loop, and begin nothing then."""
        return not self.is_dead and self._conversation.may_start()

    async def ended(self) -> None:
        """Return when its last task has ended."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def is_at_rest(self, run: str, epoch: int, pos: int) -> bool:
        """Tell whether the run is here, knows its journal up to `pos`, and waits for nothing but the test's clock."""
        return self._runner.is_at_rest(run, epoch, pos)

    # -- what leaves

    def _send(self, frame: WorkerFrame) -> None:
        if self.is_dead:
            return
        if isinstance(frame, Checkpoint):
            self._sent.setdefault((frame.run, frame.epoch), []).append(frame)
        self._conversation.send(frame)

    # -- the runs, seen from the conversation

    @property
    def free(self) -> int:
        """See `Runs`."""
        return self._runner.free

    def new_connection(self) -> None:
        """See `Runs`."""
        self._runner.new_connection()

    def handle(self, frame: Assign | Wake | Cancel | Ack | Fence | Halt) -> None:
        """See `Runs`. A worker that dies at an acknowledgement has not heard it."""
        if isinstance(frame, Ack) and self._dies_at(frame):
            self.crash()
        elif not self.is_dead:
            self._runner.handle(frame)

    def _dies_at(self, ack: Ack) -> bool:
        sent = self._sent.get((ack.run, ack.epoch), [])
        durable = [frame for frame in sent if frame.seq <= ack.seq]
        self._sent[ack.run, ack.epoch] = sent[len(durable) :]
        entries = [entry for frame in durable for entry in decode_entries(frame.entries)]
        if not durable or self._runner.executes_beside(ack.run):  # a step that executes would have to run again
            return False
        return self._on_durable(ack.run, entries)

    def held(self) -> tuple[Held, ...]:
        """See `Runs`."""
        return self._runner.held()

    def shown(self) -> tuple[Held, ...]:
        """See `Runs`."""
        return self._runner.shown()

    def introduce(self) -> tuple[Held, ...]:
        """See `Runs`."""
        return self._runner.introduce()

    def resend(self) -> None:
        """See `Runs`."""
        self._runner.resend()

    def nudge(self) -> None:
        """See `Runs`."""
        self._runner.nudge()

    def unfinished(self) -> tuple[RunRef, ...]:
        """See `Runs`."""
        return self._runner.unfinished()


def _without_labels(functions: Mapping[str, Function[Any, Any]]) -> tuple[AppManifest, ...]:
    """Return what the engine is told: a test's worker is as good as any that a function may ask for."""
    return tuple(
        replace(app, functions=tuple(replace(function, labels={}) for function in app.functions))
        for app in manifests(functions.values())
    )
