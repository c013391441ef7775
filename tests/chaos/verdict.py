"""What three witnesses say of a round: the client, the bodies' ledger, and what is in the store when all is over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field

from onward_engine.store.port import RunFilter, Store
from onward_engine.store.tables import Journal

from tests.chaos.arena import Arena
from tests.chaos.notes import Acked, read_acks, read_connections, read_ledger
from tests.chaos.recovery import Witnesses, after_databases, after_engines, after_workers
from tests.support.checker import violations
from tests.support.history import History, Stored, stored
from tests.support.ledger import Execution, Ledger
from tests.support.overheard import Overheard

PAGE = 200

IN_FLIGHT_MS = 100
"""A body that was about to begin when its worker was stopped begins right after the worker's first sign of life."""

ASLEEP_MS_MAX = 1_000
"""So long may a busy machine take to give a process that goes on its first moment."""


@dataclass(slots=True)
class Verdict:
    """What became of a round. `recoveries_ms` go from each kill to the moment at which all moved again that it met."""

    problems: list[str] = field(default_factory=list[str])
    runs: int = 0
    steps: int = 0
    executions: int = 0
    repeated: int = 0
    stale: int = 0
    recoveries_ms: list[int] = field(default_factory=list[int])


async def judge(arena: Arena, store: Store, *, is_gentle: bool, unacked_max: int) -> Verdict:
    """Judge a round whose processes are gone. After `is_gentle` faults nothing had to be repeated."""
    ledger, acks, kept = read_ledger(arena.home), read_acks(arena.home), await dump(store)
    overheard = Overheard()
    overheard.acked = {(ack.run, ack.key): ack.output for ack in acks}
    history = History(
        told=[told for told in arena.told if told.answers],
        stored=kept,
        ledger=ledger,
        records=[],
        finished=[],
        losses=arena.losses,
        is_gentle=is_gentle,
        unacked_max=unacked_max,
        overheard=overheard,
    )
    stale = list(_stale(ledger, acks, arena))
    return Verdict(
        problems=[*violations(history), *stale],
        runs=len(kept),
        steps=sum(one.run.steps for one in kept.values()),
        executions=len(ledger.executions),
        repeated=sum(_repeats(executions) for executions in ledger.by_step.values()),
        stale=len(stale),
        recoveries_ms=list(_recoveries_ms(ledger, acks, arena)),
    )


async def dump(store: Store) -> dict[str, Stored]:
    """Return every run with its journal."""
    await store.open()
    try:
        return {run: await _whole(store, run) async for run in _ids(store)}
    finally:
        await store.close()


async def _ids(store: Store) -> AsyncGenerator[str]:
    before: int | None = None
    while page := (await store.runs(RunFilter(limit=PAGE, before=before))).runs:
        for run in page:
            yield run.id
        before = page[-1].ord


async def _whole(store: Store, id: str) -> Stored:
    run = await store.run(id)
    assert run is not None
    segments: list[tuple[int, int, bytes]] = []
    entries: list[bytes] = []
    after: int | None = 0
    while after is not None:
        page = await store.journal(id, after)
        segments += page.segments
        entries += page.entries
        after = page.next
    return stored(run, Journal(tuple(segments), tuple(entries)))


def _stale(ledger: Ledger, acks: list[Acked], arena: Arena) -> Iterator[str]:
    """Say which bodies began although their worker had lost the run, or their result was known to be durable."""
    durable_at_ms = {(ack.run, ack.key.partition("@")[0]): ack.at_ms for ack in reversed(acks)}
    newest: dict[str, Execution] = {}
    awake = _awakenings(ledger, arena)
    for one in ledger.executions:
        before = newest.get(one.run)
        if before is not None and one.epoch < before.epoch and not _was_in_flight(one, awake):
            yield f"stale: {one.run} {one.value} began on {one.worker} at epoch {one.epoch}, after {before.epoch}"
        elif one.began_at_ms > durable_at_ms.get((one.run, one.step), 1 << 60) and not _was_in_flight(one, awake):
            yield f"stale: {one.run} {one.value} began on {one.worker} although its result was acknowledged"
        if before is None or one.epoch > before.epoch:
            newest[one.run] = one


def _recoveries_ms(ledger: Ledger, acks: list[Acked], arena: Arena) -> Iterator[int]:
    """Return how long it took after each kill until what it has interrupted went on."""
    witnesses = Witnesses(ledger, acks, read_connections(arena.home))
    of_whom = {whom: [kill for kill in arena.kills if kill.whom == whom] for whom in ("engine", "postgres", "worker")}
    yield from after_engines(of_whom["engine"], witnesses)
    yield from after_databases(of_whom["postgres"], witnesses)
    yield from after_workers(of_whom["worker"], witnesses)


def _awakenings(ledger: Ledger, arena: Arena) -> list[tuple[str, int]]:
    """Return when which workers went on after they had been stopped: told by the first sign of each."""
    signs: defaultdict[str, list[int]] = defaultdict(list)
    for one in ledger.executions:
        signs[one.worker] += [one.began_at_ms, one.ended_at_ms or one.began_at_ms]
    for line in read_connections(arena.home):
        signs[line.worker].append(line.at_ms)
    return [
        (
            name,
            min((at_ms for at_ms in signs[name] if 0 <= at_ms - resumed_at_ms <= ASLEEP_MS_MAX), default=resumed_at_ms),
        )
        for name, resumed_at_ms in arena.resumed
    ]


def _was_in_flight(one: Execution, awake: list[tuple[str, int]]) -> bool:
    """Tell whether it began right after its worker went on."""
    return any(name == one.worker and 0 <= one.began_at_ms - at_ms <= IN_FLIGHT_MS for name, at_ms in awake)


def _repeats(executions: list[Execution]) -> int:
    return sum(not one.is_raised for one in executions[:-1])
