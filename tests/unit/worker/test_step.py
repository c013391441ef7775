import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from onward import App, ConfigError, Retry, StepInsideStep, step
from onward import host as hosts
from onward.values.results import LossyResultWarning, result_codec

from .immediate_host import ImmediateHost, running

app = App("steps")


@dataclass
class Page:
    url: str


@step
async def load(url: str) -> Page:
    return Page(url)


@step(id="plain", barrier=True, retry=Retry(attempts=1))
def fetch(url: str, *, upper: bool = False) -> Page:
    return Page(url.upper() if upper else url)


@step
async def outer() -> Page:
    return await load("inner")


@app.function(int)
async def main(ctx: Any) -> None: ...


@pytest.fixture
def host() -> Iterator[ImmediateHost]:
    host = ImmediateHost()
    with running(main, host, input=b"\x01"):
        yield host


async def test_outside_a_run_a_step_is_its_function() -> None:
    assert await load("u") == Page("u")
    assert fetch("u", upper=True) == Page("U")
    assert await fetch.aio("u") == Page("u")
    assert load.fn is not load


async def test_inside_a_run_a_step_is_asked_for_under_its_name(host: ImmediateHost) -> None:
    assert await load("u") == Page("u")
    assert await fetch.aio("u", upper=True) == Page("U")
    (first, call), (second, plain) = host.asked
    assert (first, call.name, call.args, call.barrier, call.executor) == ("load", "load", ("u",), False, "loop")
    assert (second, plain.name, plain.kwargs, plain.barrier, plain.executor) == (
        "plain",
        "fetch",
        {"upper": True},
        True,
        "thread",
    )


async def test_a_step_without_a_policy_has_the_functions(host: ImmediateHost) -> None:
    await load("u")
    await fetch.aio("u")
    assert [call.retry.attempts for _, call in host.asked] == [host.retry.attempts, 1]


async def test_with_options_changes_a_copy(host: ImmediateHost) -> None:
    await load.with_options(id="again", barrier=True)("u")
    await fetch.with_options(executor="loop").aio("u")
    await load("u")
    assert [(name, call.barrier, call.executor) for name, call in host.asked] == [
        ("again", True, "loop"),
        ("plain", True, "loop"),
        ("load", False, "loop"),
    ]


async def test_the_result_is_a_copy_on_the_first_execution_too(host: ImmediateHost) -> None:
    page = Page("u")

    @step
    async def share() -> Page:
        return page

    copy = await share()
    assert copy == page
    assert copy is not page
    assert host.asked[0][1].name.endswith("share")


async def test_a_step_inside_a_step_is_refused(host: ImmediateHost) -> None:
    with pytest.raises(StepInsideStep, match="step 'load'"):
        await outer()
    assert [name for name, _ in host.asked] == ["outer"]


async def test_a_sync_step_that_would_stop_the_loop_is_refused(host: ImmediateHost) -> None:
    with pytest.raises(ConfigError, match=r"step 'plain' blocks.*await step.aio"):
        fetch("u")
    assert host.asked == []


def test_a_sync_step_blocks_its_thread_until_it_is_done(host: ImmediateHost) -> None:
    assert fetch("u") == Page("u")
    assert [name for name, _ in host.asked] == ["plain"]


def test_a_thread_of_somebody_else_sees_the_plain_function(host: ImmediateHost) -> None:
    seen: list[Page] = []
    thread = threading.Thread(target=lambda: seen.append(fetch("u")))
    thread.start()
    thread.join()
    assert (seen, host.asked) == ([Page("u")], [])


@pytest.mark.parametrize("name", ["x" * 161, "line\nbreak"])
def test_a_name_that_cannot_stand_in_a_key_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="step: the name"):
        step(id=name)(fetch.fn)


def test_an_async_step_in_a_thread_is_refused() -> None:
    with pytest.raises(ConfigError, match="step 'load', option 'executor'"):
        step(executor="thread")(load.fn)


def test_a_result_that_cannot_be_read_back_names_the_step() -> None:
    def half() -> Page | Fraction | ImmediateHost:
        return Fraction(1, 2)

    with pytest.raises(ConfigError, match=r"result of step 'half' cannot be kept"):
        result_codec(half, "step 'half'")


def test_an_untyped_result_that_loses_something_is_reported_once(recwarn: pytest.WarningsRecorder) -> None:
    encode, decode = result_codec(lambda: None, "step 'untyped'")
    with pytest.warns(LossyResultWarning, match="result of step 'untyped' loses its types"):
        data = encode({"pair": (1, 2)})
    assert decode(data) == {"pair": [1, 2]}
    encode({"pair": (1, 2)})
    assert not recwarn.list


def test_an_untyped_result_that_loses_nothing_is_not_reported() -> None:
    encode, decode = result_codec(lambda: None, "step 'plain data'")
    assert decode(encode({"a": [1, None, "x"]})) == {"a": [1, None, "x"]}


async def test_tasks_see_the_run_that_made_them(host: ImmediateHost) -> None:
    assert hosts.host.get() is host
    await asyncio.gather(load("a"), load("b"))
    assert len(host.asked) == 2
