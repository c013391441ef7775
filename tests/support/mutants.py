"""What the simulation must notice: the product with one safeguard taken away, for each safeguard.

A checker that finds nothing may be blind. Each mutant replaces one function while it is applied, and has to be caught
within 2,000 seeds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace
from onward.connection.conversation import Conversation
from onward.replay.gate import Gate
from onward.run.runner import Runner
from onward_engine.connection import Connection
from onward_engine.model import Run, Status
from onward_engine.progress import Progress
from onward_engine.rules import lifecycle
from onward_engine.rules.lifecycle import Verdict
from onward_engine.store.port import Boot, Op, Orphan, Resume, Resumed
from onward_engine.store.tables import OpenWait
from onward_engine.store.work import batch, ingest, offers, ownership, places, resume, throttles, waits
from onward_engine.store.work.context import Work
from onward_protocol.lease import Lease
from onward_protocol.messages import Ack, Checkpoint, EngineFrame, Held
from onward_protocol.mirror import Mirror
from onward_protocol.window import SendWindow

from tests.support.campaign import play

Judge = Callable[[Run, int, int, str], Verdict]


class Surgery(contextlib.ExitStack):
    """Replaces names, and puts everything back in the end."""

    def put(self, where: object, name: str, other: object) -> None:
        """Replace a name of a module or a class."""
        self.enter_context(patch.object(where, name, other))

    def handle(self, kind: type[Op[Any]], handler: Callable[[Work, Any], object]) -> None:
        """Replace what the store does for an operation."""
        self.enter_context(patch.dict(batch._HANDLERS, {kind: handler}))


@dataclass(frozen=True, slots=True)
class Mutant:
    """The product without `safeguard`."""

    safeguard: str
    mutate: Callable[[Surgery], None]

    @contextlib.contextmanager
    def applied(self) -> Generator[None]:
        """Take the safeguard away inside the block."""
        with Surgery() as surgery:
            self.mutate(surgery)
            yield


MUTANTS: dict[str, Mutant] = {}


def caught_at(name: str, seeds: Iterable[int]) -> tuple[int, str] | None:
    """Return the first seed that notices a mutant, and what it says."""
    with MUTANTS[name].applied():
        for seed in seeds:
            problems, _ = play(seed)
            if problems:
                return seed, problems[0].splitlines()[0]
    return None


def without(safeguard: str) -> Callable[[Callable[[Surgery], None]], Callable[[Surgery], None]]:
    """Register a mutant under the name of the function that makes it."""

    def register(mutate: Callable[[Surgery], None]) -> Callable[[Surgery], None]:
        MUTANTS[mutate.__name__] = Mutant(safeguard, mutate)
        return mutate

    return register


def nothing(*_: object) -> None:
    """Do nothing."""


def always(*_: object) -> bool:
    """Say yes."""
    return True


# -- frames ----------------------------------------------------------------------------------------------------------


def _judge_otherwise(surgery: Surgery, otherwise: Callable[[Judge, Run, int, int, str], Verdict]) -> None:
    original = lifecycle.verdict

    def verdict(run: Run, epoch: int, seq: int, instance: str) -> Verdict:
        return otherwise(original, run, epoch, seq, instance)

    surgery.put(lifecycle, "verdict", verdict)


@without("a frame that was stored is not stored again")
def duplicate_stored(surgery: Surgery) -> None:
    def judge(original: Judge, run: Run, epoch: int, seq: int, instance: str) -> Verdict:
        found = original(run, epoch, seq, instance)
        return "applied" if found == "duplicate" else found

    _judge_otherwise(surgery, judge)


@without("only the holder at the newest epoch is heard")
def no_fencing(surgery: Surgery) -> None:
    def judge(original: Judge, run: Run, epoch: int, seq: int, instance: str) -> Verdict:
        del epoch
        return original(run, run.epoch, seq, run.holder or instance)

    _judge_otherwise(surgery, judge)


@without("a frame behind a missing one is not stored")
def gap_accepted(surgery: Surgery) -> None:
    def judge(original: Judge, run: Run, epoch: int, seq: int, instance: str) -> Verdict:
        found = original(run, epoch, seq, instance)
        return "applied" if found == "gap" else found

    _judge_otherwise(surgery, judge)


@without("a run that is over takes no more frames")
def ended_run_accepts(surgery: Surgery) -> None:
    def judge(original: Judge, run: Run, epoch: int, seq: int, instance: str) -> Verdict:
        return original(replace(run, status=Status.ASSIGNED), epoch, seq, instance)

    _judge_otherwise(surgery, judge)
    surgery.put(lifecycle, "MOVES", dict.fromkeys(lifecycle.MOVES, frozenset(Status)))


@without("nothing is acknowledged before it is durable")
def ack_before_commit(surgery: Surgery) -> None:
    original = Progress.checkpoint

    def checkpoint(self: Progress, connection: Connection, frame: Checkpoint) -> None:
        connection.send(Ack(frame.run, frame.epoch, frame.seq))
        connection.flush()
        original(self, connection, frame)

    surgery.put(Progress, "checkpoint", checkpoint)


@without("a worker keeps what is not acknowledged")
def unacked_forgotten(surgery: Surgery) -> None:
    surgery.put(SendWindow, "unacked", ())


# -- ownership -------------------------------------------------------------------------------------------------------


@without("a claim raises the epoch")
def claim_keeps_epoch(surgery: Surgery) -> None:
    original = lifecycle.claimed

    def claimed(run: Run, instance: str, generation: int, now_ms: int, version: str) -> Run:
        return replace(original(run, instance, generation, now_ms, version), epoch=max(1, run.epoch))

    surgery.put(lifecycle, "claimed", claimed)


@without("the late close of an old socket changes nothing")
def old_socket_orphans(surgery: Surgery) -> None:
    def orphan(work: Work, op: Orphan) -> int:
        farewell = None if op.unfinished is None else set(op.unfinished)
        runs = work.tables.held_by(op.instance)
        return sum(ownership._lose(work, run, op.claimable_at_ms, farewell) for run in runs)

    surgery.handle(Orphan, orphan)


@without("for a moment after its socket is gone nobody else gets a worker's runs")
def no_grace(surgery: Surgery) -> None:
    def orphan(work: Work, op: Orphan) -> int:
        return ownership.orphan(work, replace(op, claimable_at_ms=0))

    surgery.handle(Orphan, orphan)


@without("what an engine's death has orphaned waits for its holder, and then for anybody")
def boot_forgets(surgery: Surgery) -> None:
    surgery.handle(Boot, nothing)


@without("a run that a Hello does not list is free at once")
def missing_run_kept(surgery: Surgery) -> None:
    original = resume.resume

    def resume_part(work: Work, op: Resume) -> tuple[Resumed, ...]:
        return original(work, replace(op, is_whole=False))

    surgery.put(resume, "resume", resume_part)


@without("a fenced run stops")
def fence_ignored(surgery: Surgery) -> None:
    surgery.put(Runner, "_fenced", nothing)


@without("without a lease no body starts")
def lease_ignored(surgery: Surgery) -> None:
    def may_start(self: Lease, now_ms: int) -> bool:
        del self, now_ms
        return True

    surgery.put(Lease, "may_start", may_start)


@without("a body waits until the results before it are durable")
def window_ignored(surgery: Surgery) -> None:
    def lets_pass(self: Gate, barrier: bool, asked_after: int) -> bool:
        del self, barrier, asked_after
        return True

    surgery.put(Gate, "lets_pass", lets_pass)


# -- what both ends believe ------------------------------------------------------------------------------------------


@without("a beat is compared only with what the worker had seen")
def compared_with_unseen(surgery: Surgery) -> None:
    original = Mirror.sent

    def sent(self: Mirror, number: int, frame: EngineFrame) -> None:
        original(self, number, frame)
        self.seen(number)

    surgery.put(Mirror, "sent", sent)


@without("a parked run that leaves the memory is reported")
def eviction_not_reported(surgery: Surgery) -> None:
    def evict(self: Runner, residence: Any, reason: str = "evicted") -> None:
        del reason
        self._drop(residence)

    surgery.put(Runner, "_evict", evict)


@without("what has left the memory while there was no connection is reported on the next one")
def silent_eviction_not_reported(surgery: Surgery) -> None:
    surgery.put(Conversation, "_take_back_what_has_left", nothing)


# -- waits and timers ------------------------------------------------------------------------------------------------


@without("a wake-up that was lost with its socket is given again")
def wake_not_repeated(surgery: Surgery) -> None:
    original = resume._go_on

    def go_on(work: Work, run: Run, op: Resume, held: Held) -> Run:
        if held.state == "parked":
            return work.put(lifecycle.held(run, op.instance, op.generation))
        return original(work, run, op, held)

    surgery.put(resume, "_go_on", go_on)


@without("a timer fires once")
def timer_fires_twice(surgery: Surgery) -> None:
    original = waits.time_out
    again: set[tuple[int, str]] = set()

    def time_out(work: Work, wait: OpenWait) -> None:
        original(work, wait)
        if (wait.ord, wait.key) not in again:
            again.add((wait.ord, wait.key))
            work.tables.put_wait(wait)

    surgery.put(waits, "time_out", time_out)


@without("a parent goes on once for each child")
def parent_resumed_twice(surgery: Surgery) -> None:
    original = waits.resolve_for_child

    def resolve_for_child(work: Work, child: Run) -> None:
        parent = work.tables.run(child.parent) if child.parent_key else None
        wait = work.tables.wait(parent.ord, child.parent_key) if parent else None
        original(work, child)
        if wait is not None:
            waits.resolve(work, wait, waits._end_of_child(work, child, wait.key))

    surgery.put(waits, "resolve_for_child", resolve_for_child)


@without("a wait sees an event that came before it opened")
def early_event_missed(surgery: Surgery) -> None:
    surgery.put(waits, "_look_back", nothing)


# -- starts and limits -----------------------------------------------------------------------------------------------


@without("an event that is sent again starts nothing again")
def repeated_event_starts(surgery: Surgery) -> None:
    surgery.put(ingest, "_remembered", nothing)


@without("no more runs of a key are executed than its limit says")
def limit_ignored(surgery: Surgery) -> None:
    surgery.put(places, "limit_now", nothing)


@without("a run that parks or ends gives its place back")
def place_leaks(surgery: Surgery) -> None:
    surgery.put(offers, "give_places", nothing)


@without("who gives a place back lets the next one in")
def nobody_let_in(surgery: Surgery) -> None:
    surgery.put(offers, "let_in", nothing)


@without("a place that several functions share is counted again when it is taken")
def shared_place_not_counted(surgery: Surgery) -> None:
    surgery.put(places, "_may_take", always)


@without("a throttle counts what begins")
def throttle_not_consumed(surgery: Surgery) -> None:
    surgery.put(throttles, "consume", nothing)


@without("a limit of whole runs is held while they are parked")
def whole_place_given(surgery: Surgery) -> None:
    give = places.give

    def give_all(work: Work, run: Run, *, is_over: bool) -> list[str]:
        del is_over
        return give(work, run, is_over=True)

    surgery.put(places, "give", give_all)
