"""Random operations: both stores give the same answers and end in the same state, and nobody is ever stuck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace
from onward_engine.model import Assignment, Run, Status, StepView
from onward_engine.rules.forks import Past
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import (
    Admit,
    AnswerCallback,
    ApplyCheckpoint,
    Backfill,
    Boot,
    CancelRun,
    Claim,
    Committed,
    Confirm,
    DropEvent,
    Enter,
    EventFilter,
    FireTimers,
    GiveBack,
    HoldSchedule,
    Ingest,
    NewEvent,
    Op,
    Orphan,
    PauseFunction,
    PauseRun,
    Present,
    Register,
    Rejected,
    Remind,
    Repeat,
    Resume,
    ResumeRun,
    RunFilter,
    SendSignal,
    SetLimit,
    StartRun,
    Store,
    TakeOver,
)
from onward_engine.store.sqlite import SqliteStore
from onward_engine.store.tables import QueueState
from onward_protocol.codec import encode_engine_entries, encode_entries
from onward_protocol.messages import (
    AppManifest,
    BatchRule,
    CallbackWait,
    CancelRule,
    ConcurrencyLimit,
    DebounceRule,
    Draft,
    Due,
    Event,
    EventWait,
    Failure,
    FairRule,
    HandedBack,
    Held,
    IdempotencyRule,
    Invoke,
    Match,
    Outcome,
    Parked,
    Progress,
    RateRule,
    RunCancelled,
    RunCompleted,
    RunFailed,
    Schedule,
    Seen,
    Sent,
    SignalWait,
    SingletonRule,
    Sleep,
    Started,
    StepDone,
    Tagged,
    ThrottleRule,
    Wait,
    WaitClosed,
    WaitOpened,
    WorkerEntry,
)

from tests.conformance.driver import function
from tests.support.limits import broken_limits

BATCHES = 120
DRAINED_MAX = 150
APP = AppManifest(
    "shop",
    "1",
    (
        replace(function("a", "x", on_failure="shop/rescue"), start_timeout_ms=9_000),
        replace(
            function("b", "x", "y", concurrency=[ConcurrencyLimit(1, "event.data.k")]),
            cancel_on=(CancelRule("z", ("k",), timeout_ms=20_000),),
        ),
        replace(function("c", "y*", concurrency=[ConcurrencyLimit(2)]), finish_timeout_ms=15_000),
        replace(function("rescue"), schedules=(Schedule("* * * * *", overlap="skip", catch_up="all"),)),
    ),
)
FLOWS = AppManifest(
    "shop",
    "1",
    (
        function("a", "x", concurrency=[ConcurrencyLimit(1, "event.data.k"), ConcurrencyLimit(3, scope="app")]),
        replace(
            function("b", "x", "y", concurrency=[ConcurrencyLimit(3, scope="app"), ConcurrencyLimit(4, of="run")]),
            throttle=ThrottleRule(2, 1_000, 2, "event.data.k"),
        ),
        replace(
            function("c", "y*", concurrency=[ConcurrencyLimit(2, "event.data.k", "environment")]),
            fair=FairRule("event.data.k", "1 + event.data.k"),
        ),
        replace(
            function("d", "x", concurrency=[ConcurrencyLimit(2, of="run")]),
            priority='event.data.k == 2 ? "urgent" : event.data.k * 100',
        ),
        replace(function("e", "y"), throttle=ThrottleRule(3, 5_000), fair=FairRule("event.name")),
        replace(
            function("f", "z", concurrency=[ConcurrencyLimit(1)]), singleton=SingletonRule("event.data.k", "cancel")
        ),
        replace(function("g", "x", "z"), singleton=SingletonRule(), rate_limit=RateRule(2, 2_000, "event.data.k")),
        replace(
            function("h", "x", concurrency=[ConcurrencyLimit(3, scope="app")]),
            debounce=DebounceRule(1_000, "event.data.k", 3_000),
            idempotency=IdempotencyRule("event.data.k", 1_500),
        ),
        replace(
            function("i", "x", "y", concurrency=[ConcurrencyLimit(1)]),
            batch=BatchRule(3, 2_000, "event.name", "event.data.k != 0"),
        ),
        replace(
            function("rescue", concurrency=[ConcurrencyLimit(1)]), schedules=(Schedule("* * * * *", overlap="skip"),)
        ),
    ),
)
"""Every kind of limit, some of them shared."""

SCHEDULES = (
    (),
    APP.functions[-1].schedules,
    (Schedule("* * * * *", jitter_ms=20_000, overlap="cancel"), Schedule("*/2 * * * *", "Europe/Berlin")),
)


class Chaos:
    """Operations as workers, clients and timers might send them, right ones and wrong ones."""

    def __init__(self, seed: int, app: AppManifest = APP) -> None:
        self.random = Random(seed)
        self.app = app
        self.names = [one.id.removeprefix("shop/") for one in app.functions]
        self.now = 1_000
        self.count = 0
        self.runs: list[Run] = []

    def batch(self, runs: Sequence[Run]) -> list[Op[Any]]:
        self.runs = list(runs)
        self.now += 25_000 if self.random.random() < 0.05 else self.random.choice((0, 1, 50, 300, 2_000))
        return [self.op() for _ in range(self.random.randint(1, 5))]

    def op(self) -> Op[Any]:
        kinds = [self.ingest, self.start, self.claim, self.admit, self.orphan, self.resume, self.give_back]
        kinds += [self.cancel, self.fire, self.boot]
        kinds += [self.enter, self.confirm, self.present, self.take_over, self.remind, self.signal, self.callback]
        kinds += [self.pause, self.go_on, self.pause_function, self.repeat]
        kinds += [self.drop_event, self.hold_schedule, self.backfill, self.register, self.set_limit]
        weights = (4, 1, 8, 3, 1, 1, 1, 1, 4, 0.1, 1, 1, 0.5, 0.5, 0.5, 3, 1, 1, 2, 0.5, 1, 0.5, 0.5, 0.3, 0.3, 0.5)
        held = [run for run in self.runs if run.holder] or self.runs
        if held and self.random.random() < 0.6:
            return self.checkpoint(self.random.choice(held))
        return self.random.choices(kinds, weights)[0]()

    def id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"

    def worker(self) -> str:
        return self.random.choice(("wrk_a", "wrk_b"))

    def data(self) -> bytes:
        if self.app is not APP and self.random.random() < 0.05:
            return msgspec.json.encode(self.random.choice(({}, {"k": "text"}, None)))
        return msgspec.json.encode({"k": self.random.randint(0, 2)})

    def some(self) -> Run:
        return self.random.choice(self.runs) if self.runs else Run(id="run_nobody", function="shop/a", ord=0)

    def ingest(self) -> Op[Any]:
        dedup = self.random.random() < 0.2
        id = f"mine_{self.random.randint(0, 5)}" if dedup else self.id("evt")
        event = Event(id, self.random.choice(("x", "y", "yes", "z")), self.data(), self.now, 0)
        due_at_ms = self.now + self.random.randint(0, 3_000) if self.random.random() < 0.2 else 0
        return Ingest(self.now, (NewEvent(event, dedup, due_at_ms),))

    def drop_event(self) -> Op[Any]:
        return DropEvent(self.now, f"mine_{self.random.randint(0, 5)}")

    def hold_schedule(self) -> Op[Any]:
        return HoldSchedule(self.now, "shop/rescue", self.random.choice("01"), self.random.random() < 0.5)

    def backfill(self) -> Op[Any]:
        ticks = tuple(60_000 * n for n in range(self.random.randint(0, 3)))
        return Backfill(self.now, "shop/rescue", Schedule("* * * * *"), ticks)

    def register(self) -> Op[Any]:
        rescue = replace(self.app.functions[-1], schedules=self.random.choice(SCHEDULES))
        return Register(self.now, replace(self.app, functions=(*self.app.functions[:-1], rescue)))

    def set_limit(self) -> Op[Any]:
        option = self.random.choice(("concurrency:0", "concurrency:1", "throttle", "rate_limit"))
        return SetLimit(
            self.now, f"shop/{self.random.choice(self.names)}", option, self.random.choice((None, 1, 2, 5)), "chaos"
        )

    def start(self) -> Op[Any]:
        name = self.random.choice((*self.names, "nobody"))
        return StartRun(self.now, self.id("run"), f"shop/{name}", msgspec.msgpack.encode({"k": 1}))

    def claim(self) -> Op[Any]:
        names = tuple(f"shop/{name}" for name in self.random.sample(self.names, 3))
        mine, other = self.random.sample(("", "1", "2"), 2)
        rivals = ((other,) if other else (),) * 3 if self.random.random() < 0.5 else ()
        generation = self.random.randint(1, 3)
        return Claim(self.now, self.id("claim"), self.worker(), generation, names, 3, None, (mine,) * 3, rivals)

    def admit(self) -> Op[Any]:
        ready = [run for run in self.runs if run.status is Status.READY]
        run = self.random.choice(ready) if ready else self.some()
        return Admit(self.now, run.id, run.epoch, run.holder or self.worker(), run.generation)

    def orphan(self) -> Op[Any]:
        run = self.some()
        unfinished = ((run.id, run.epoch),) if self.random.random() < 0.3 else None
        return Orphan(self.now, run.holder or "wrk_a", run.generation, self.now + 1_000, unfinished)

    def resume(self) -> Op[Any]:
        worker = self.worker()
        return Resume(self.now, worker, self.random.randint(2, 4), self.held(worker))

    def held(self, worker: str) -> tuple[Held, ...]:
        mine = [run for run in self.runs if run.holder == worker and self.random.random() < 0.8]
        return tuple(
            Held(run.id, run.epoch, run.seq, run.seq, run.seen, self.random.choice(("running", "parked")))
            for run in mine
        )

    def replica(self) -> str:
        return self.random.choice(("here", "there"))

    def enter(self) -> Op[Any]:
        worker, known = self.worker(), self.random.randint(0, 3)
        secret = self.random.choice((worker, worker, worker, "", "wrong"))
        return Enter(self.now, worker, secret, known, worker, self.replica(), self.held(worker))

    def confirm(self) -> Op[Any]:
        return Confirm(self.now, self.worker(), self.random.randint(1, 3))

    def present(self) -> Op[Any]:
        return Present(self.now, self.replica(), 3_000)

    def take_over(self) -> Op[Any]:
        return TakeOver(self.now, self.replica(), self.now - self.random.choice((0, 3_000)), self.now + 500, 1)

    def remind(self) -> Op[Any]:
        run = self.some()
        return Remind(self.now, run.holder or self.worker(), run.generation, ((run.id, run.epoch),))

    def signal(self) -> Op[Any]:
        id = self.random.choice(("", "", "once"))
        value, is_for_waiter = self.random.choice((b"\x01", b"\x02")), self.random.random() < 0.3
        return SendSignal(self.now, self.some().id, self.random.choice("ab"), value, id, is_for_waiter)

    def callback(self) -> Op[Any]:
        return AnswerCallback(self.now, f"token-{self.random.randint(0, 6)}", b"\x03")

    def give_back(self) -> Op[Any]:
        run = self.some()
        return GiveBack(self.now, run.id, run.epoch, "full")

    def cancel(self) -> Op[Any]:
        return CancelRun(self.now, self.some().id, "chaos", self.random.choice((0, 100, 5_000)))

    def pause(self) -> Op[Any]:
        return PauseRun(self.now, self.some().id)

    def go_on(self) -> Op[Any]:
        paused = [run for run in self.runs if run.is_paused]
        return ResumeRun(self.now, self.random.choice(paused).id if paused else self.some().id)

    def pause_function(self) -> Op[Any]:
        name = self.random.choice((*self.names, "nobody"))
        return PauseFunction(self.now, f"shop/{name}", self.random.random() < 0.3)

    def repeat(self) -> Op[Any]:
        source, id = self.some(), self.random.choice((self.id("run"), "run_same"))
        if self.random.random() < 0.5:
            return Repeat(self.now, id, source.id)
        frame = encode_entries((StepDone("k0", b"\x01"), WaitOpened("k1", CallbackWait("token-1")), Seen(1)))
        due = encode_engine_entries((Due(1, "k9"),))
        past = Past((source.id,), ((1, 1, frame),), (due,), 1, {"k": "1"}, (("k1", CallbackWait("token-1")),))
        return Repeat(self.now, id, source.id, self.random.choice((None, b"\x80")), past)

    def fire(self) -> Op[Any]:
        return FireTimers(self.now, self.random.choice((1, 3, 1000)))

    def boot(self) -> Op[Any]:
        return Boot(self.now, self.now + 500)

    def checkpoint(self, run: Run) -> Op[Any]:
        marks = [Seen(pos) for pos in range(run.seen + 1, run.pos + 1)] if self.random.random() < 0.7 else []
        entries = (*marks, *[self.entry() for _ in range(self.random.randint(0, 3))])
        seq = run.seq + self.random.choice((1, 1, 1, 1, 1, 0, 2))
        epoch = run.epoch - (self.random.random() < 0.05)
        return ApplyCheckpoint(
            self.now,
            run.id,
            epoch,
            seq,
            run.holder if run.holder and self.random.random() < 0.95 else self.worker(),
            run.generation,
            encode_entries(entries),
            entries,
            self.outcome(),
        )

    def entry(self) -> WorkerEntry:
        key = f"k{self.random.randint(0, 6)}"
        choices: list[WorkerEntry] = [
            StepDone(key, b"\x01"),
            WaitOpened(key, self.wait()),
            WaitOpened(key, self.wait()),
            WaitClosed(key),
            Sent(key, (Draft(self.random.choice(("x", "z")), self.data()),)),
            Sent(key, (Draft(self.random.choice(("x", "z")), self.data(), due_at_ms=self.now + 1_000),)),
            Started(key, f"shop/{self.random.choice((*self.names, 'nobody'))}", b"\x80"),
            Tagged({self.random.choice("kl"): self.random.choice("12")}, key),
            Progress(bytes([self.random.randint(0, 9)])),
        ]
        return self.random.choice(choices)

    def wait(self) -> Wait:
        timeout = self.random.choice((None, 0, 100, 1_000))
        choices: list[Wait] = [
            Sleep(self.random.choice((0, 10, 500))),
            EventWait("z", (Match("k", b"1"),), timeout, self.random.choice((None, 0, 5))),
            EventWait("z", (), timeout),
            SignalWait(self.random.choice("ab"), timeout),
            CallbackWait(f"token-{self.random.randint(0, 6)}", timeout),
            Invoke(f"shop/{self.random.choice((*self.names, 'nobody'))}", b"\x80", timeout),
        ]
        return self.random.choice(choices)

    def outcome(self) -> Outcome | None:
        choices: list[Outcome | None] = [None, None, None, Parked(), Parked(), HandedBack(), RunCompleted(b"\x01")]
        return self.random.choice([*choices, RunFailed(Failure("E", "")), RunCancelled()])


@pytest.mark.parametrize("app", [APP, FLOWS], ids=["plain", "flows"])
async def test_both_stores_agree_and_nobody_is_stuck(seed: int, app: AppManifest, tmp_path: Path) -> None:
    chaos, memory = Chaos(seed, app), MemoryStore()
    path = tmp_path / "onward.db"
    sqlite = SqliteStore(path, inline=True)
    await sqlite.open()
    assert not is_refused(await memory.apply([Register(1, app)]))
    await sqlite.apply([Register(1, app)])
    for number in range(BATCHES):
        runs = (await memory.runs(RunFilter(limit=60))).runs
        ops = chaos.batch([run for run in runs if not run.status.is_terminal] or runs)
        committed = await sqlite.apply(ops)
        assert committed == await memory.apply(ops), (number, ops)
        assert [outcome for outcome in committed.outcomes if is_a_bug(outcome)] == []
        check_that_nobody_is_stuck(memory)
        if number == BATCHES // 2:
            await sqlite.close()
            sqlite = SqliteStore(path, inline=True)
            await sqlite.open()
    await check_that_both_hold_the_same(memory, sqlite)
    await sqlite.close()


@pytest.mark.parametrize("app", [APP, FLOWS], ids=["plain", "flows"])
async def test_everything_ends_once_workers_take_all_that_there_is(seed: int, app: AppManifest) -> None:
    chaos, memory = Chaos(seed, app), MemoryStore()
    await memory.apply([Register(1, app)])
    for _ in range(BATCHES):
        runs = (await memory.runs(RunFilter(limit=60))).runs
        await memory.apply(chaos.batch([run for run in runs if not run.status.is_terminal] or runs))
    await memory.apply([Enter(chaos.now, "wrk_z", "wrk_z", 0, "wrk_z", "here", ())])
    await memory.apply([PauseFunction(chaos.now, one.id, False) for one in app.functions])
    names = tuple(one.id for one in app.functions)
    for number in range(DRAINED_MAX):
        left = [run for run in memory._tables.runs.values() if not run.status.is_terminal]
        chaos.now += 1_000
        await memory.apply([ResumeRun(chaos.now, run.id) for run in left if run.is_paused])
        away = [run for run in left if run.status is Status.PARKED or run.holder not in ("", "wrk_z")]
        await memory.apply([CancelRun(chaos.now, run.id, "away", 0) for run in away])
        claim = Claim(chaos.now, f"last_{number}", "wrk_z", 1, names, 3)
        _, taken = (await memory.apply([FireTimers(chaos.now, 1_000), claim])).outcomes
        assert isinstance(taken, tuple)
        await memory.apply([ends(chaos.now, assignment.run) for assignment in cast("tuple[Assignment, ...]", taken)])
    assert [run.id for run in memory._tables.runs.values() if not run.status.is_terminal] == []


def ends(now_ms: int, run: Run) -> ApplyCheckpoint:
    outcome = RunCompleted(b"\x01")
    return ApplyCheckpoint(now_ms, run.id, run.epoch, 1, run.holder, run.generation, encode_entries(()), (), outcome)


async def check_that_both_hold_the_same(memory: MemoryStore, sqlite: Store) -> None:
    for kind, owner in (("event", ""), ("schedule", "shop/rescue")):
        assert await sqlite.items(kind, owner) == await memory.items(kind, owner)
    every = RunFilter(limit=10_000)
    runs = await memory.runs(every)
    assert await sqlite.runs(every) == runs
    assert await sqlite.events(EventFilter(limit=10_000)) == await memory.events(EventFilter(limit=10_000))
    for run in runs.runs:
        assert await sqlite.run(run.id) == await memory.run(run.id)
        assert await history(sqlite, run.id) == await history(memory, run.id)
        assert await journal(sqlite, run.id) == await journal(memory, run.id)
        for kind in ("signal", "progress"):
            assert await sqlite.items(kind, run.id) == await memory.items(kind, run.id)
    await check_that_both_tell_the_same_of_the_queue(memory, sqlite, runs.runs)


async def check_that_both_tell_the_same_of_the_queue(memory: MemoryStore, other: Store, runs: Sequence[Run]) -> None:
    functions = sorted({run.function for run in runs})
    assert await other.backlog(functions) == await memory.backlog(functions)
    for name in functions:
        assert await other.lines(name) == await memory.lines(name)
        assert await other.shares(name) == await memory.shares(name)
    for run in runs:
        assert await other.queued(run.id) == await memory.queued(run.id)
        assert await other.awaited(run.id) == await memory.awaited(run.id)
    for key in {flow.key for run in runs for flow in run.flow}:
        assert await other.holders(key) == await memory.holders(key)


async def history(store: Store, run: str) -> list[tuple[StepView, ...]]:
    """All pages, small ones."""
    pages = [await store.steps(run, limit=3)]
    while (after := pages[-1].next) is not None:
        pages.append(await store.steps(run, after, limit=3))
    return [page.steps for page in pages]


async def journal(store: Store, run: str) -> list[tuple[object, object]]:
    """All pages, small ones."""
    pages = [await store.journal(run, limit_bytes=100)]
    while (after := pages[-1].next) is not None:
        pages.append(await store.journal(run, after, limit_bytes=100))
    return [(page.segments, page.entries) for page in pages]


def is_refused(committed: Committed) -> bool:
    return any(isinstance(outcome, Rejected) for outcome in committed.outcomes)


def is_a_bug(outcome: object) -> bool:
    return isinstance(outcome, Rejected) and outcome.code == "unstorable"


def check_that_nobody_is_stuck(store: MemoryStore) -> None:
    tables = store._tables
    assert list(broken_limits(tables)) == []
    assert all(tables.replica(one.replica) for one in tables._sessions.values() if one.replica)
    for run in tables.runs.values():
        row = tables.queue_row(run.ord)
        match run.status:
            case Status.QUEUED | Status.READY | Status.ORPHANED:
                assert row is not None, run
                is_held = run.is_held and run.status is not Status.ORPHANED and row.state is not QueueState.GATHERED
                assert (row.state is QueueState.HELD) == is_held, run
            case Status.ASSIGNED:
                assert (row, run.holder != "") == (None, True), run
            case Status.PARKED:
                assert row is None, run
                assert tables.has_waits(run.ord), run
            case _:
                assert (row, tables.waits_of(run.ord)) == (None, []), run
