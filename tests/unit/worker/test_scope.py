"""Scopes: calls of an integration that finds its results again, whatever order its tasks come in."""

import asyncio
from random import Random
from typing import Any

import pytest
from onward.config import Retry
from onward.errors import ConfigError
from onward.host import Host
from onward.values.names import check_scope
from onward_protocol.messages import StepDone

from tests.support.paper_engine import PaperEngine, Program, call, finished, until


def agent_program(ran: list[Any], order: Random, *, dies_after: int = 0) -> Program:
    async def ask(tool: str, number: int) -> str:
        ran.append((tool, number))
        return f"{tool} {number}: {len(ran)}"

    async def agent(host: Host, name: str) -> list[str]:
        with host.scope(name):
            questions = [("find", 1), ("find", 2), ("find", 2), ("buy", 1)]
            shuffled = order.sample(range(4), 4)
            tasks = {n: asyncio.create_task(host.step(call(ask, *questions[n], id=questions[n][0]))) for n in shuffled}
            await asyncio.gather(*tasks.values())
            return sorted(task.result() for task in tasks.values())

    async def function(host: Host) -> Any:
        return await asyncio.gather(agent(host, "agent"), agent(host, "agent"))

    return Program(function)


@pytest.mark.parametrize("seed", range(10))
async def test_agents_beside_each_other_get_their_own_answers_again(seed: int) -> None:
    ran: list[Any] = []
    engine = PaperEngine(agent_program(ran, Random(seed)), auto=False)
    run = engine.start()
    await until(lambda: engine.sent)
    for _ in range(4):
        engine.store()
        await asyncio.sleep(0)
    engine.auto = True
    stored = {entry.key: entry.output for entry in run.written if isinstance(entry, StepDone)}
    engine.restart()
    await finished(engine)
    after = {entry.key: entry.output for entry in run.written if isinstance(entry, StepDone)}
    assert len(after) == 8
    assert stored.items() <= after.items()
    assert len(set(after.values())) == 8, "no answer was given twice"


async def test_a_key_tells_the_place_the_call_and_its_number_among_equals() -> None:
    engine = PaperEngine(agent_program([], Random(1)))
    run = engine.start()
    await finished(engine)
    keys = sorted(entry.key for entry in run.written if isinstance(entry, StepDone))
    first = [key for key in keys if "@scope:agent@0.0#0:" in key]
    assert [key.partition("@")[0] for key in first] == ["buy", "find", "find", "find"]
    assert sorted(key.rpartition("#")[2] for key in first) == ["0", "0", "0", "1"]
    assert len(keys) == 8


async def test_a_failed_attempt_in_a_scope_is_repeated() -> None:
    ran: list[int] = []

    async def flaky() -> str:
        ran.append(1)
        if len(ran) == 1:
            raise ValueError
        return "done"

    async def function(host: Host) -> Any:
        with host.scope("agent"):
            return await host.step(call(flaky, id="s", retry=Retry(attempts=2, backoff=0)))

    engine = PaperEngine(Program(function))
    engine.start()
    assert await finished(engine) == "done"


async def test_behind_a_scope_keys_are_those_of_the_place_again() -> None:
    async def ask() -> None: ...

    async def function(host: Host) -> None:
        with host.scope("agent"):
            await host.step(call(ask, id="s"))
        await host.step(call(ask, id="s"))

    engine = PaperEngine(Program(function))
    run = engine.start()
    await finished(engine)
    assert [entry.key for entry in run.written if isinstance(entry, StepDone)][-1] == "s@0#0"


def test_the_name_of_a_scope_leaves_room_for_the_calls() -> None:
    with pytest.raises(ConfigError, match="more than 40 bytes"):
        check_scope("x" * 41)
