"""Steps whose bodies run in processes: what they may do, and what becomes of the run when such a process fails."""

import logging
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from onward import App, ConfigError, Context, StepFailed, SyncContext, step
from onward.attempt import StepAttempt
from onward.middleware import StructLog
from onward.processes.call import RemoteCall
from onward.processes.elsewhere import Elsewhere
from onward.testing import TestEngine, TestRun
from onward.values.results import result_codec
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from tests.support import crunching
from tests.support.crunching import Matrix

MAIN = """
import asyncio
from dataclasses import dataclass

from onward import App, Context, step
from onward.testing import TestEngine

functions = App("script")


@dataclass
class Pair:
    first: int


@step(executor="process")
def doubled(pair: Pair) -> Pair:
    return Pair(2 * pair.first)


@functions.function(int)
async def double(ctx: Context[int]) -> int:
    return (await doubled.aio(Pair(ctx.data))).first


async def main() -> None:
    async with TestEngine(functions) as engine:
        print((await engine.start(double, 21)).output)


if __name__ == "__main__":
    asyncio.run(main())
"""


async def outcome_of(body: Callable[[], Coroutine[Any, Any, Any]], **options: Any) -> TestRun[Any]:
    app = App("crunch", middleware=[StructLog()])

    @app.function(int)
    async def main(ctx: Context[int]) -> Any:
        return await body()

    async with TestEngine(app, **options) as engine:
        return await engine.start(main, 0)


async def failure_of(body: Callable[[], Coroutine[Any, Any, Any]]) -> StepFailed:
    run = await outcome_of(body)
    assert isinstance(run.error, StepFailed)
    return run.error


async def test_a_step_in_a_process_takes_and_returns_values_of_any_class_of_a_module() -> None:
    run = await outcome_of(lambda: crunching.transposed.aio(Matrix([[1, 2], [3, 4]])), crash_everywhere=True)
    assert run.output == {"rows": [[1, 3], [2, 4]]}
    assert run.executions == {"transposed@0#0": 1}


async def test_a_process_is_another_one_and_is_used_again() -> None:
    async def twice() -> list[int]:
        return [(await crunching.place.aio())[0] for _ in range(2)]

    first, second = (await outcome_of(twice)).output
    assert first == second != os.getpid()


async def test_a_function_in_threads_calls_steps_in_processes() -> None:
    app = App("crunch")

    @app.function(int)
    def main(ctx: SyncContext[int]) -> list[int]:
        return list(ctx.map(crunching.halves, range(0, 8, 2), limit=4))

    async with TestEngine(app) as engine:
        assert (await engine.start(main, 0)).output == [0, 1, 2, 3]


async def test_an_exception_comes_back_as_what_it_is_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    failed = await failure_of(lambda: crunching.halves.aio(3))
    assert (failed.type, failed.message) == ("Odd", "3 is odd")
    assert "raise Odd(number" in caplog.text


@pytest.mark.parametrize(
    ("what", "type"),
    [
        ("local", "Local"),
        ("exit", "SystemExit"),
        ("final", "NonRetryable"),
        ("unicode", "UnicodeDecodeError"),
        ("cancelled", "CancelledError"),
        ("interrupted", "KeyboardInterrupt"),
    ],
)
async def test_every_exception_survives_the_way(what: str, type: str) -> None:
    assert (await failure_of(lambda: crunching.raises.aio(what))).type == type


@pytest.mark.parametrize("how", ["exit", "segfault", "kill"])
async def test_a_process_that_dies_fails_the_attempt_and_no_more(how: str) -> None:
    async def both() -> list[Any]:
        return [await crunching.dies.aio(how), await crunching.halves.aio(4)]

    assert (await outcome_of(both)).output == [f"second attempt after {how}", 2]


@pytest.mark.parametrize(
    ("how", "words"), [("exit", "status 3"), ("segfault", "SIGSEGV"), ("kill", "SIGKILL, which is what happens when")]
)
async def test_the_failure_says_how_the_process_died(how: str, words: str) -> None:
    failed = await failure_of(lambda: crunching.dies.with_options(retry=crunching.ONCE).aio(how))
    assert failed.type == "ProcessDied"
    assert "the process of step 'dies'" in failed.message
    assert words in failed.message


async def test_the_next_attempt_finds_what_the_one_that_died_has_left() -> None:
    run = await outcome_of(lambda: crunching.counts.aio(8))
    assert run.output == [5, "counts", "counts@0#0", run.id, 2, 2]


@pytest.mark.parametrize("how", ["returns", "exits", "raises"])
async def test_a_body_that_forks_answers_once(how: str) -> None:
    """What its other process says would be kept as the result of the next step."""

    async def three() -> list[str]:
        return [await crunching.forks.aio(word, how) for word in "abc"]

    assert (await outcome_of(three)).output == ["a", "b", "c"]


async def test_a_line_of_the_log_that_cannot_be_read_fails_no_attempt(caplog: pytest.LogCaptureFixture) -> None:
    assert (await outcome_of(crunching.logs_what_cannot_be_read.aio)).output == "done"
    assert "a line of a step's log is lost" in caplog.text


async def test_a_field_of_the_log_that_cannot_be_read_fails_no_attempt() -> None:
    async def body() -> int:
        with bound_contextvars(what=crunching.OneWay()):
            return await crunching.halves.aio(4)

    assert (await outcome_of(body)).output == 2


async def test_a_durable_call_in_a_process_is_refused() -> None:
    failed = await failure_of(crunching.calls_a_step.aio)
    assert failed.type == "StepInsideStep"
    assert "inside the body of step 'calls_a_step'" in failed.message


async def test_what_cannot_be_taken_to_a_process_fails_with_the_name_of_the_step() -> None:
    taken = await failure_of(lambda: crunching.takes_anything.aio(lambda: 1))
    assert "an argument of step 'takes_anything' cannot be taken to another process" in taken.message
    returned = await failure_of(crunching.returns_a_lock.aio)
    assert "result of step 'returns_a_lock' (lock) cannot be encoded" in returned.message


async def test_the_log_of_a_process_is_the_log_of_its_step(caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs([merge_contextvars]) as lines, caplog.at_level(logging.INFO):
        run = await outcome_of(lambda: crunching.logs.aio("hello"))
    [record] = [record for record in caplog.records if record.name == "crunching"]
    assert (record.getMessage(), record.levelno) == ("a record says hello", logging.WARNING)
    [line] = [line for line in lines if line["event"] == "a line"]
    assert (line["run"], line["step"], line["word"]) == (run.id, "logs", "hello")


async def test_a_test_may_replace_the_body() -> None:
    def tenfold(number: int) -> int:
        return number * 10

    run = await outcome_of(lambda: crunching.halves.aio(3), steps={"halves": tenfold})
    assert run.output == 30


def test_outside_of_a_run_such_a_step_is_its_function() -> None:
    assert crunching.place()[0] == os.getpid()


@pytest.mark.parametrize("arguments", [["script.py"], ["-m", "script"]], ids=["file", "module"])
def test_steps_of_the_program_that_was_started_work_too(tmp_path: Path, arguments: list[str]) -> None:
    import subprocess

    script = tmp_path / "script.py"
    script.write_text(MAIN)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=50
    )
    assert done.stdout.splitlines().count("42") == 1, done.stderr


def test_a_file_of_the_user_s_that_is_called_like_one_of_python_s_is_in_nobody_s_way(tmp_path: Path) -> None:
    import subprocess

    for name in ("json.py", "queue.py", "select.py"):
        (tmp_path / name).write_text("raise RuntimeError('this is not the module that was meant')")
    (tmp_path / "main.py").write_text(MAIN)
    first = "import onward.processes.call, onward.testing, sys; sys.path.insert(0, '')"
    run = f"{first}; from main import *; asyncio.run(main())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", run], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=50
    )
    assert done.stdout.splitlines().count("42") == 1, done.stderr


def test_a_text_that_looks_like_the_main_module_needs_no_file_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    fn = crunching.takes_anything.fn
    target = Elsewhere(fn, "step 's'", result_codec(fn, "step 's'")[1])
    assert RemoteCall(StepAttempt(id="s"), lambda: None).carry(target, ("__main__",), {}) == "__main__"


# -- declarations


def declare_inside() -> Any:
    def inner() -> None: ...

    return step(executor="process")(inner)


class Shop:
    @staticmethod
    @step(executor="process")
    def charge(total: int) -> int:
        return total + 1

    def method(self) -> None: ...


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (declare_inside, "step 'inner', option 'executor': no other process would find"),
        (lambda: step(executor="process")(lambda: 1), "no other process would find"),
        (lambda: step(executor="process")(Shop().method), "no other process would find"),
        (lambda: step(executor="process")(outcome_of), "an async step runs on the loop, not in a process"),
        (lambda: step(executor="fork")(len), "'fork' is none of 'thread', 'process' and 'loop'"),  # type: ignore[call-overload]
    ],
)
def test_what_cannot_run_in_a_process_is_refused_where_it_is_written(declare: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        declare()


replaced = step(executor="process")(crunching.factorial)


def test_a_function_that_something_else_stands_in_for_is_found_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced.check()
    monkeypatch.setattr(crunching, "factorial", print)
    with pytest.raises(ConfigError, match=r"tests\.support\.crunching\.factorial is something else"):
        replaced.check()


def test_a_system_without_groups_of_processes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "killpg")
    with pytest.raises(ConfigError, match="need a POSIX system"):
        step(executor="process")(crunching.factorial)


def test_a_frozen_program_has_no_interpreter_for_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ConfigError, match="a frozen program has no interpreter"):
        step(executor="process")(crunching.factorial)


def test_steps_with_other_options_and_static_methods_are_found() -> None:
    crunching.halves.with_options(id="other").check()
    Shop.charge.check()
