"""What the workers of a simulation run: functions that do what the event says, so that a seed can write any program."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from msgspec import Struct
from onward import App, Context, EventType, Retry, StepFailed

from tests.support.controls import NONE, Controls
from tests.support.ledger import Execution, Ledger

ATTEMPTS = 4
FOR_EVER = 99


class Act(Struct, tag="act"):
    """Run a step that takes `ms` and fails `failures` times before; `nap_ms` is how long the run slept before it. Its
    result is at least `chars` characters long.
    """

    name: str
    ms: int
    failures: int = 0
    backoff_ms: int = 100
    nap_ms: int = 0
    barrier: bool = False
    chars: int = 0


class Nap(Struct, tag="nap"):
    """Sleep durably."""

    ms: int


class Fork(Struct, tag="fork"):
    """Do several things at once; with `limit` at most so many."""

    branches: list[list[Op]]
    limit: int | None = None


class Await(Struct, tag="await"):
    """Wait for the event `go` of this tale."""

    timeout_ms: int


class Call(Struct, tag="call"):
    """Run a story as a child."""

    story: Story


class Tell(Struct, tag="tell"):
    """Send an event that starts a run of its own."""

    name: str


class Hear(Struct, tag="hear"):
    """Wait for the signal with this number; the first one is 1."""

    number: int


class Ask(Struct, tag="ask"):
    """Open a callback, do something, and then wait for the answer."""

    beside: list[Op]


class Spawn(Struct, tag="spawn"):
    """Start a run that goes its own way."""

    story: Story


class Mark(Struct, tag="mark"):
    """Say something for people."""

    word: str


Op = Act | Nap | Fork | Await | Call | Tell | Hear | Ask | Spawn | Mark


class Story(Struct):
    """What one run is to do. `tale` names the run and its children."""

    tale: str
    plan: list[Op]


class Go(Struct):
    """Ends one wait of a tale."""

    tale: str


TOLD = EventType("story.told", Story)
GO = EventType("go", Go)
SIGNAL = "heard"
ANSWER = "yes"
ASIDE = EventType("aside.told", Story)


def make_app(ledger: Ledger, worker: str, controls: Controls = NONE) -> App:
    """Return the app as this worker has it: its bodies sign with the worker's name."""
    app = App("sim")
    actor = Actor(ledger, worker)

    async def tell(ctx: Context[Story]) -> list[str]:
        return await actor.play(ctx, ctx.data.plan, ())

    told = app.on(
        TOLD,
        id="told",
        concurrency=controls.told,
        throttle=controls.throttle,
        priority=controls.priority,
        fair=controls.fair,
    )(tell)
    app.on(ASIDE, id="aside", concurrency=controls.aside)(tell)
    actor.child = told
    return app


class Actor:
    """Plays stories in one worker."""

    def __init__(self, ledger: Ledger, worker: str) -> None:
        self.child: Any = None
        self._ledger = ledger
        self._worker = worker

    async def play(self, ctx: Context[Story], plan: list[Op], known: tuple[str, ...]) -> list[str]:
        """Do everything in its order; return the values of all steps and waits."""
        values: list[str] = []
        for op in plan:
            values += await self._do(ctx, op, (*known, *values))
        return values

    async def _do(self, ctx: Context[Story], op: Op, known: tuple[str, ...]) -> list[str]:
        match op:
            case Act():
                return [await self._act(ctx, op, known)]
            case Nap():
                await ctx.sleep(op.ms / 1000)
                return []
            case Fork():
                return [value for values in await self._fork(ctx, op, known) for value in values]
            case Await():
                event = await ctx.wait_for_event(GO, match="tale", timeout=op.timeout_ms / 1000)
                return ["timeout" if event is None else f"go:{event.id}"]
            case Call():
                returned: list[str] = await ctx.invoke(self.child, op.story)
                return [f"child:{len(returned)}"]
            case Tell():
                await ctx.send(ASIDE(Story(ctx.data.tale, [Act(op.name, 5), Nap(20), Act(f"{op.name}-then", 5)])))
                return []
            case Hear() | Ask() | Spawn() | Mark():
                return await self._do_with_others(ctx, op, known)

    async def _do_with_others(
        self, ctx: Context[Story], op: Hear | Ask | Spawn | Mark, known: tuple[str, ...]
    ) -> list[str]:
        match op:
            case Hear():
                return [f"heard:{await ctx.wait_for_signal(SIGNAL, int)}"]
            case Ask():
                callback = await ctx.callback(str)
                values = await self.play(ctx, op.beside, known)
                return [*values, f"answered:{await callback}"]
            case Spawn():
                await ctx.start(self.child, op.story)
                return ["started"]
            case Mark():
                ctx.tag(word=op.word)
                ctx.progress(op.word)
                return []

    async def _fork(self, ctx: Context[Story], op: Fork, known: tuple[str, ...]) -> list[list[str]]:
        async def play(branch: list[Op]) -> list[str]:
            return await self.play(ctx, branch, known)

        if op.limit is None:
            return await asyncio.gather(*map(play, op.branches))
        return await ctx.map(play, op.branches, limit=op.limit)

    async def _act(self, ctx: Context[Story], op: Act, known: tuple[str, ...]) -> str:
        ledger, worker, run, epoch = self._ledger, self._worker, ctx.run_id, ctx._host.epoch

        async def act(name: str) -> str:
            execution = Execution(run, name, epoch, worker, known, op.nap_ms, op.barrier, op.chars)
            ledger.begin(execution)
            await asyncio.sleep(op.ms / 1000)
            if ledger.end(execution, failures=op.failures):
                raise RuntimeError("as the story says")
            return execution.value

        retry = Retry(attempts=ATTEMPTS, backoff=op.backoff_ms / 1000, factor=1, jitter=0)
        try:
            return await ctx.step.options(retry=retry, barrier=op.barrier).run(op.name, act, op.name)
        except StepFailed:
            return f"failed:{op.name}"


class Author:
    """Writes stories from one seed. Every name of a step is used once in its run. Everything takes `pace` times as long
    as in a simulation, where time costs nothing.
    """

    def __init__(self, rng: random.Random, pace: float = 1) -> None:
        self._rng = rng
        self._pace = pace
        self._names = 0

    def story(self, tale: str) -> Story:
        """Write one."""
        return Story(tale, self._plan(self._rng.randint(2, 5), depth=0))

    def _plan(self, length: int, depth: int) -> list[Op]:
        plan: list[Op] = []
        for _ in range(length):
            plan += self._some(depth)
        return plan

    def _some(self, depth: int) -> list[Op]:
        kinds = {"act": 40, "flaky": 12, "nap": 14, "await": 12, "tell": 5, "hopeless": 3, "mark": 4}
        kinds |= {} if depth else {"fork": 16, "call": 8, "spawn": 5}
        kind = self._rng.choices(list(kinds), list(kinds.values()))[0]
        rng = self._rng
        match kind:
            case "flaky":
                backoff_ms = self._paced(rng.choice((60, 400, 2_500, 5_500)))
                return [self._act(failures=rng.randint(1, ATTEMPTS - 1), backoff_ms=backoff_ms)]
            case "hopeless":
                return [self._act(failures=FOR_EVER, backoff_ms=50)]
            case "nap":
                nap_ms = self._paced(rng.choice((1, 40, 300, 1_500, 6_000)))
                return [self._act(), Nap(nap_ms), self._act(nap_ms=nap_ms)]
            case "await":
                return [Await(self._paced(rng.choice((20, 600, 3_000, 12_000))))]
            case "tell":
                return [Tell(self._name())]
            case "fork":
                return [Fork([self._plan(rng.randint(1, 2), depth + 1) for _ in range(rng.randint(2, 3))]), self._act()]
            case "call":
                return [Call(Story(f"child-{self._name()}", self._plan(rng.randint(1, 2), depth + 1)))]
            case "spawn":
                return [Spawn(Story(f"child-{self._name()}", self._plan(rng.randint(1, 2), depth + 1)))]
            case "mark":
                return [Mark(self._name())]
            case _:
                return [self._act()]

    def _act(self, *, failures: int = 0, backoff_ms: int = 100, nap_ms: int = 0) -> Act:
        low, high = self._rng.choice(((0, 5), (5, 60), (60, 400), (400, 2_000), (3_000, 7_000)))
        if self._rng.random() < 0.4:
            high = low = 10
        return Act(self._name(), self._paced(self._rng.randint(low, high)), failures, backoff_ms, nap_ms)

    def _paced(self, ms: int) -> int:
        return max(1, round(ms * self._pace)) if ms else 0

    def _name(self) -> str:
        self._names += 1
        return f"s{self._names}"


def work_ms(plan: list[Op]) -> int:
    """Return how long a plan takes at most when everything works."""
    return sum(_work_ms(op) for op in plan)


def _work_ms(op: Op) -> int:
    match op:
        case Act():
            attempts = min(op.failures, ATTEMPTS - 1) + 1
            return attempts * (op.ms + op.backoff_ms)
        case Nap():
            return op.ms
        case Fork():
            return sum(work_ms(branch) for branch in op.branches)
        case Await():
            return op.timeout_ms
        case Call() | Spawn():
            return work_ms(op.story.plan)
        case Ask():
            return work_ms(op.beside)
        case Tell() | Hear() | Mark():
            return 0


def width(plan: list[Op]) -> int:
    """Return how many bodies of a run execute at once at most."""
    return max((sum(map(width, op.branches)) if isinstance(op, Fork) else 1 for op in plan), default=1)


def tells(plan: list[Op]) -> int:
    """Return how many runs a plan starts by events, its children's too."""
    return _count(Tell, plan)


def calls(plan: list[Op]) -> int:
    """Return how many children a plan has, and they have."""
    return _count(Call, plan) + _count(Spawn, plan)


def hears(plan: list[Op]) -> int:
    """Return how many signals a plan waits for."""
    return _count(Hear, plan)


def _count(kind: type[Op], plan: list[Op]) -> int:
    count = sum(isinstance(op, kind) for op in plan)
    for op in plan:
        if isinstance(op, Fork):
            count += sum(_count(kind, branch) for branch in op.branches)
        elif isinstance(op, Call | Spawn):
            count += _count(kind, op.story.plan)
        elif isinstance(op, Ask):
            count += _count(kind, op.beside)
    return count
