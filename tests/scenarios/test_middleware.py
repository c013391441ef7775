"""Middleware on the real engine: the same effect on a first run, on replays, and under every preset."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from msgspec.structs import replace
from onward import (
    App,
    Checkpoint,
    Context,
    Event,
    EventType,
    Evicted,
    InvokeFailed,
    Middleware,
    NonRetryable,
    Retry,
    RunCancelled,
    RunInfo,
    StepFailed,
    StepInfo,
    SyncContext,
    step,
)
from onward.middleware import Next, PayloadInfo, SendNext
from onward.testing import TestEngine, TestRun

PRESETS = {
    "safe": Checkpoint.SAFE,
    "pipelined": Checkpoint.PIPELINED,
    "blended": Checkpoint.BLENDED,
    "performant": Checkpoint.PERFORMANT,
    "off": Checkpoint.OFF,
}
every_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
crashing = pytest.mark.parametrize("crashing", [False, True], ids=["calm", "crashing"])

Go = EventType("middleware/go", int)
note: ContextVar[str] = ContextVar("note", default="")


class Mark(Middleware):
    """Leaves its mark on everything, and takes its time and some tasks for it, as a client of something would."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.runs: list[tuple[str, bool]] = []
        self.sent: Counter[str] = Counter()
        self.open = 0

    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        self.runs.append((run.function, run.replayed))
        await self._work()
        note.set(f"noted for {run.function}")
        self.open += 1
        try:
            value = await next()
            await self._work()
            return value
        finally:
            self.open -= 1

    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        await self._work()
        value = await next()
        self.steps[f"{step.run.id} {step.key}"] += 1
        return value * 10 if isinstance(value, int) else value

    async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
        await self._work()
        ids = await next([replace(event, meta={**event.meta, "from": "mark"}) for event in events])
        self.sent.update(ids)
        return ids

    async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
        await self._work()
        return b"\xc4" + bytes([len(payload)]) + payload[::-1]

    async def decode(self, payload: bytes, info: PayloadInfo) -> bytes:
        await self._work()
        return payload[:1:-1] if payload[:1] == b"\xc4" else payload

    async def _work(self) -> None:
        """Would shift the keys of the run if it belonged to it."""
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        await asyncio.sleep(0)


@step
async def add(number: int, more: int) -> int:
    await asyncio.sleep(0)
    return number + more


@step
def add_blocking(number: int, more: int) -> int:
    return number + more


@step(retry=Retry(attempts=1))
async def refuse(number: int) -> int:
    raise NonRetryable("never", data={"number": number})


@step
async def noted() -> str:
    return note.get()


def shop(mark: Middleware, **options: Any) -> App:
    app = App("shop", middleware=[mark], **options)

    @app.function(int)
    async def child(ctx: Context[int]) -> int:
        if ctx.data < 0:
            raise NonRetryable("negative", data={"number": ctx.data})
        return await add(ctx.data, 1)

    @app.function(int)
    async def everything(ctx: Context[int]) -> list[Any]:
        total = await add(ctx.data, 1)
        rows = await asyncio.gather(*(row(number) for number in range(3)))
        await ctx.sleep("1h")
        ids = await ctx.send(Go(total), Go(0))
        answer = await ctx.invoke(child, 5)
        await ctx.start(child, 6)
        refused: Any = None
        failed: Any = None
        try:
            await refuse(7)
        except StepFailed as error:
            refused = error.data
        try:
            await ctx.invoke(child, -1)
        except InvokeFailed as error:
            failed = error.data
        await asyncio.sleep(3)
        return [total, *rows, len(ids), answer, refused, failed, await noted(), note.get()]

    async def row(number: int) -> int:
        return await add(await add(number, 1), 1)

    @app.function(int)
    def everything_blocking(ctx: SyncContext[int]) -> list[Any]:
        total = add_blocking(ctx.data, 1)
        rows = ctx.gather(*(lambda number=number: add_blocking(number, 1) for number in range(3)))
        ctx.sleep("1h")
        ids = ctx.send(Go(total))
        answer = ctx.invoke(child, 5)
        return [total, *rows, len(ids), answer, note.get()]

    @app.function(int)
    async def failing(ctx: Context[int]) -> int:
        return await refuse(await add(ctx.data, 1))

    return app


EVERYTHING = [20, 110, 210, 310, 2, 60, {"number": 7}, {"number": -1}, *["noted for shop/everything"] * 2]
BLOCKING = [20, 10, 20, 30, 1, 60, "noted for shop/everything_blocking"]


@contextlib.asynccontextmanager
async def played(mark: Mark, preset: Checkpoint, *, crashing: bool) -> AsyncGenerator[tuple[TestEngine, list[Any]]]:
    app = shop(mark)
    async with TestEngine(app, checkpoint=preset, crash_everywhere=crashing) as engine:
        functions = (app.functions[f"shop/{name}"] for name in ("everything", "everything_blocking", "failing"))
        runs = [await engine.start(function, 1) for function in functions]
        await engine.advance("2h")
        yield engine, runs


@every_preset
@crashing
async def test_results_are_the_same(preset: Checkpoint, crashing: bool) -> None:
    async with played(Mark(), preset, crashing=crashing) as (engine, runs):
        assert [run.output for run in runs[:2]] == [EVERYTHING, BLOCKING]
        assert [event.meta for event in engine.sent] == [{"from": "mark"}] * 3
        assert (engine.crashes > 5) == crashing


@every_preset
@crashing
async def test_the_data_of_a_failure_comes_through(preset: Checkpoint, crashing: bool) -> None:
    async with played(Mark(), preset, crashing=crashing) as (_, runs):
        error = runs[2].error
        assert isinstance(error, StepFailed)
        assert error.data == {"number": 20}


@every_preset
async def test_what_is_recorded_is_the_same_with_crashes(preset: Checkpoint) -> None:
    recorded: list[list[dict[str, Any]]] = []
    for crashing in (False, True):
        async with played(Mark(), preset, crashing=crashing) as (_, runs):
            recorded.append([run.steps for run in runs])
    assert recorded[0] == recorded[1]


async def test_without_a_crash_each_hook_is_called_once_for_what_it_is_around() -> None:
    mark = Mark()
    async with played(mark, Checkpoint.SAFE, crashing=False) as (engine, _):
        assert set(mark.steps.values()) == {1}
        assert sum(mark.steps.values()) == sum(run.executions.total() for run in engine.runs) - 2  # which have failed
        assert set(mark.sent.values()) == {1}
        begun = Counter(function for function, is_replay in mark.runs if not is_replay)
        assert begun == {"shop/everything": 1, "shop/everything_blocking": 1, "shop/failing": 1, "shop/child": 4}
        assert mark.open == 0


async def test_a_remembered_step_is_not_wrapped_again_and_a_replay_says_that_it_is_one() -> None:
    mark = Mark()
    app = App("shop", middleware=[mark])

    @app.function(int)
    async def two(ctx: Context[int]) -> int:
        return await add(await add(ctx.data, 1), 1)

    async with TestEngine(app, crash_everywhere=True) as engine:
        run = await engine.start(two, 0)
        assert run.output == 110
        assert set(mark.steps.values()) == {1}
        assert mark.runs == [("shop/two", False), ("shop/two", True), ("shop/two", True)]


async def test_the_wrapper_of_a_parked_run_stays_open_and_closes_when_the_run_leaves() -> None:
    mark = Mark()
    app = App("shop", middleware=[mark])

    @app.function(int)
    async def waiting(ctx: Context[int]) -> int:
        await ctx.sleep("1h")
        return 1

    async with TestEngine(app) as engine:
        await engine.start(waiting, 0)
        assert mark.open == 1
    assert mark.open == 0


async def test_a_run_does_not_park_while_middleware_is_at_work_for_it() -> None:
    class Slow(Middleware):
        async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
            await asyncio.sleep(0.05)
            return await next(events)

    app = App("shop", middleware=[Slow()])

    @app.function(int)
    async def work(ctx: Context[int]) -> int:
        async def tell() -> int:
            await ctx.send(Go(1))
            return await add(1, 1)

        _, told = await asyncio.gather(ctx.sleep("1h"), tell())
        return told

    async with TestEngine(app) as engine:
        run = await engine.start(work, 1)
        assert run.executed == ["add@0.1#0"]


# -- who owns an error


class Fault(Middleware):
    """Fails in one hook, as often as it is told."""

    def __init__(self, hook: str, times: int, error: BaseException | None = None) -> None:
        self.hook, self.times, self.error = hook, times, error or OSError("no network")
        self.calls = 0

    def strike(self, hook: str) -> None:
        if hook == self.hook:
            self.calls += 1
            if self.calls <= self.times:
                raise self.error

    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        self.strike("run")
        value = await next()
        self.strike("run's end")
        return value

    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        self.strike("step")
        return await next()

    async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
        self.strike("send")
        return await next(events)

    async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
        self.strike(f"encode {info.kind}")
        return payload

    async def decode(self, payload: bytes, info: PayloadInfo) -> bytes:
        self.strike(f"decode {info.kind}")
        return payload


@contextlib.asynccontextmanager
async def with_fault(fault: Fault) -> AsyncGenerator[TestRun[int]]:
    app = App("shop", middleware=[fault], retry=Retry(attempts=3, backoff="1s"))

    @app.function(int)
    async def work(ctx: Context[int]) -> int:
        total = await add(ctx.data, 1)
        await ctx.send(Go(1))
        return total

    async with TestEngine(app) as engine:
        run = await engine.start(work, 1)
        await engine.advance("1m")
        yield run
        assert len(engine.sent) == (run.status == "completed" or fault.hook in {"run's end", "encode output"})


RETRIED = ["step", "send", "encode step", "decode step", "encode output", "decode input"]


@pytest.mark.parametrize("hook", RETRIED)
async def test_what_fails_in_middleware_is_tried_again_by_the_functions_policy(hook: str) -> None:
    fault = Fault(hook, 2)
    async with with_fault(fault) as run:
        assert run.output == 2
        assert fault.calls >= 3  # the test engine reads what a test looks at, too


@pytest.mark.parametrize("hook", [*RETRIED, "run", "run's end"])
async def test_what_fails_in_middleware_for_good_fails_the_run_with_its_error(hook: str) -> None:
    fault = Fault(hook, 3)
    async with with_fault(fault) as run:
        assert run.status == "failed"
        assert "no network" in str(run.error)


@pytest.mark.parametrize("hook", RETRIED)
async def test_an_error_that_says_so_is_not_tried_again(hook: str) -> None:
    fault = Fault(hook, 3, NonRetryable("wrong key"))
    async with with_fault(fault) as run:
        assert (run.status, fault.calls) == ("failed", 1)
        assert "wrong key" in str(run.error)


async def test_middleware_that_leaves_the_process_fails_the_run_and_not_the_worker() -> None:
    async with with_fault(Fault("decode input", 1, SystemExit(3))) as run:
        assert "sys.exit()" in str(run.error)


# -- what next() raises


class Witness(Middleware):
    """Notes what `next()` has raised."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        try:
            return await next()
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise

    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        try:
            return await next()
        except BaseException as error:
            self.seen.append(f"{type(error).__name__} in a step")
            raise


@pytest.fixture
def witness() -> Witness:
    return Witness()


def slow_shop(witness: Witness) -> App:
    app = App("shop", middleware=[witness])

    @step
    async def forever() -> None:
        await asyncio.sleep(3600)

    @app.function(int)
    async def waiting(ctx: Context[int]) -> None:
        await ctx.sleep("1h")

    @app.function(int)
    def waiting_blocking(ctx: SyncContext[int]) -> None:
        ctx.sleep("1h")

    @app.function(int)
    async def racing(ctx: Context[int]) -> str:
        return (await ctx.race(slow=forever(), quick=add(1, 1))).name

    return app


@pytest.mark.parametrize("name", ["waiting", "waiting_blocking"])
async def test_a_run_that_leaves_ends_its_wrapper_with_evicted(witness: Witness, name: str) -> None:
    app = slow_shop(witness)
    async with TestEngine(app) as engine:
        await engine.start(app.functions[f"shop/{name}"], 0)
    assert set(witness.seen) == {Evicted.__name__}


@pytest.mark.parametrize("name", ["waiting", "waiting_blocking"])
async def test_a_run_that_is_cancelled_ends_its_wrapper_with_that(witness: Witness, name: str) -> None:
    app = slow_shop(witness)
    async with TestEngine(app) as engine:
        run = await engine.start(app.functions[f"shop/{name}"], 0)
        await engine.cancel(run)
        assert (run.status, witness.seen[-1]) == ("cancelled", RunCancelled.__name__)


async def test_a_step_that_nobody_wants_any_more_ends_its_wrapper(witness: Witness) -> None:
    app = slow_shop(witness)
    async with TestEngine(app) as engine:
        run = await engine.start(app.functions["shop/racing"], 0)
        assert (run.output, witness.seen) == ("quick", ["CancelledError in a step"])


async def test_a_wrapper_that_gives_up_while_the_code_runs_ends_the_run() -> None:
    class Impatient(Middleware):
        async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await next()
            return 0

    app = App("shop", middleware=[Impatient()])

    @app.function(int)
    async def waiting(ctx: Context[int]) -> int:
        await ctx.sleep("1h")
        return 1

    async with TestEngine(app) as engine:
        run = await engine.start(waiting, 0)
        assert run.output == 0


# -- what middleware may decide


async def test_a_run_need_not_be_begun() -> None:
    class Closed(Middleware):
        async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
            return -1

    app = App("shop", middleware=[Closed()])

    @app.function(int)
    async def work(ctx: Context[int]) -> int:
        return await add(1, 1)

    async with TestEngine(app, crash_everywhere=True) as engine:
        run = await engine.start(work, 1)
        assert (run.output, run.executed) == (-1, [])


@crashing
async def test_events_that_are_kept_back_are_kept_back_on_a_replay_too(crashing: bool) -> None:
    class Half(Middleware):
        async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
            return await next(events[:1])

    app = App("shop", middleware=[Half()])

    @app.function(int)
    async def work(ctx: Context[int]) -> list[str]:
        ids = await ctx.send(Go(1), Go(2))
        return [*ids, str(await add(1, 1))]

    async with TestEngine(app, crash_everywhere=crashing) as engine:
        run = await engine.start(work, 1)
        assert run.output == [engine.sent[0].id, "2"]
        assert [event.data for event in engine.sent] == [1]


async def test_a_durable_call_in_middleware_raises() -> None:
    class Calling(Middleware):
        async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
            return await add(1, 1)

    app = App("shop", middleware=[Calling()])

    @app.function(int)
    async def work(ctx: Context[int]) -> int:
        return 1

    async with TestEngine(app) as engine:
        run = await engine.start(work, 1)
        assert "step 'add' was called in middleware" in str(run.error)


@crashing
async def test_a_failure_handler_reads_the_input_and_the_failure_of_its_run(crashing: bool) -> None:
    seen: list[tuple[int, Any]] = []
    app = App("shop", middleware=[Mark()])

    async def handle(ctx: Context[int], error: BaseException) -> None:
        assert isinstance(error, StepFailed)
        seen.append((ctx.data, error.data))

    @app.function(int, on_failure=handle)
    async def failing(ctx: Context[int]) -> int:
        return await refuse(ctx.data)

    async with TestEngine(app, crash_everywhere=crashing) as engine:
        run = await engine.start(failing, 4)
        assert run.status == "failed"
        assert set(map(repr, seen)) == {"(4, {'number': 4})"}
