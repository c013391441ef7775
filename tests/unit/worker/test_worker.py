"""The embeddable worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from onward import App, ConfigError, Context, NotConnected, Worker, step
from onward.checkpoint import Checkpoint as Setting
from onward.checkpoint import CheckpointOption
from onward_protocol.codec import decode_entries
from onward_protocol.messages import Bye, Checkpoint, Hello, RunCompleted

from tests.support import Network, simulate
from tests.unit.worker.engine_end import Dock, assign

opened: list[str] = []


@asynccontextmanager
async def pool(app: App) -> AsyncGenerator[str]:
    opened.append("open")
    yield "the pool"
    opened.append("close")


app = App("shop", lifespan=pool)
other = App("desk")


@step
async def tick() -> None: ...


@app.function(str)
async def state(ctx: Context[str]) -> str:
    return str(ctx.state)


@other.function(str)
async def echo(ctx: Context[str]) -> str:
    return ctx.data


@pytest.mark.parametrize(
    ("target", "ids"),
    [
        (app, {"shop/state"}),
        (echo, {"desk/echo"}),
        ([app, other], {"shop/state", "desk/echo"}),
        ([state, echo], {"shop/state", "desk/echo"}),
    ],
)
def test_it_runs_an_app_a_function_or_a_list_of_these(target: object, ids: set[str]) -> None:
    assert set(Worker(target).functions) == ids


def test_it_offers_what_it_runs_and_gives_the_lifespan_to_every_run() -> None:
    async def main(network: Network) -> None:
        dock = Dock()
        async with Worker([app, other], concurrency=7, labels={"zone": "a"}, dial=dock.dial) as worker:
            peer = await dock.accept()
            hello = await peer.welcome()
            assert ([one.name for one in hello.apps], hello.slots, hello.labels) == (["shop", "desk"], 7, {"zone": "a"})
            peer.send(assign("run_1", "shop/state", "x"))
            frame = await peer.next(Checkpoint)
            assert frame.outcome == RunCompleted(b"\xa8the pool")
            states = [worker.state]
            peer.wire.cut()
            answering = asyncio.create_task(acknowledge_everything(dock))
            states.append(worker.state)
        assert [*states, worker.state] == ["connected", "connected", "stopped"]
        assert opened == ["open", "close"]
        answering.cancel()

    opened.clear()
    simulate(main)


async def steps_in_the_first_frame(setting: CheckpointOption | None, own: CheckpointOption | None) -> int:
    """Run two steps in a worker with such a setting, as a function with such a setting of an App with another one."""
    counting = App("count", checkpoint=Setting.PERFORMANT)

    @counting.function(int, checkpoint=own)
    async def twice(ctx: Context[int]) -> None:
        await tick()
        await tick()

    dock = Dock()
    async with Worker(counting, checkpoint=setting, dial=dock.dial) as worker:
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "count/twice", 1))
        frame = await peer.next(Checkpoint)
        worker.stop(drain=False)
        peer.wire.cut()
        answering = asyncio.create_task(acknowledge_everything(dock))
    answering.cancel()
    return len(decode_entries(frame.entries))


@pytest.mark.parametrize(
    ("setting", "own", "steps"),
    [
        (None, None, 2),
        (Setting.SAFE, None, 1),
        ("safe", None, 1),
        ("buffered_steps=5", None, 2),
        (Setting.SAFE, Setting.PERFORMANT, 2),
        (Setting.PERFORMANT, True, 1),
    ],
)
def test_its_setting_replaces_that_of_the_app_and_not_that_of_a_function(
    setting: CheckpointOption | None, own: CheckpointOption | None, steps: int
) -> None:
    async def main(network: Network) -> int:
        return await steps_in_the_first_frame(setting, own)

    assert simulate(main) == steps


async def acknowledge_everything(dock: Dock) -> None:
    from onward_protocol.messages import Ack

    peer = await dock.accept()
    await peer.welcome()
    while True:
        frame = await peer.next(Checkpoint)
        peer.send(Ack(frame.run, frame.epoch, frame.seq))


def test_it_does_not_wait_for_an_engine_to_start_or_to_stop() -> None:
    async def main(network: Network) -> None:
        dock = Dock()
        dock.refuse(100)
        async with Worker(echo, dial=dock.dial):
            await asyncio.sleep(1)

    simulate(main)


def test_a_stop_before_the_start_is_not_forgotten() -> None:
    async def main(network: Network) -> None:
        worker = Worker(echo, dial=Dock().dial)
        worker.stop()
        await worker.run()
        assert worker.state == "stopped"

    simulate(main)


def test_stop_says_goodbye() -> None:
    async def main(network: Network) -> None:
        dock = Dock()
        worker = Worker(echo, dial=dock.dial)
        running = asyncio.create_task(worker.run())
        peer = await dock.accept()
        await peer.welcome()
        await asyncio.sleep(1)
        worker.stop()
        await peer.next(Bye)
        await running

    simulate(main)


def test_an_engine_that_does_not_want_it_is_an_error_for_who_embeds_it() -> None:
    async def main(network: Network) -> None:
        dock = Dock()
        running = asyncio.create_task(Worker(echo, dial=dock.dial).run())
        peer = await dock.accept()
        await peer.next(Hello)
        peer.session.refuse("forbidden", "wrong app")
        peer.flush()
        with pytest.raises(NotConnected, match="wrong app"):
            await running

    simulate(main)


def test_two_workers_of_one_app_are_two_instances() -> None:
    assert Worker(echo).instance != Worker(echo).instance


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"concurrency": 0}, "E0105"),
        ({"drain_timeout": "soon"}, "E0104"),
        ({"url": "http://engine.example"}, "E0404"),
        ({"url": "engine:8484"}, "E0114"),
    ],
)
def test_a_wrong_option_is_told_when_the_worker_is_made(options: dict[str, object], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Worker(echo, **options)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_another_address_keeps_the_apps_own_token() -> None:
    own = App("own", url="http://127.0.0.1:1", token="onw_own")
    own.function(str, id="f")(echo.fn)
    assert Worker(own).url == "http://127.0.0.1:1"
    assert Worker(own, url="http://127.0.0.1:2").url == "http://127.0.0.1:2"
    assert Worker(own, url="http://127.0.0.1:2").token() == "onw_own"


def test_plain_http_to_another_machine_can_be_allowed() -> None:
    assert Worker(echo, url="http://engine.example", insecure=True).url == "http://engine.example"


def test_a_worker_without_functions_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="no functions"):
        Worker(App("empty"))


def test_several_lifespans_are_a_mistake() -> None:
    @asynccontextmanager
    async def second(app: App) -> AsyncGenerator[None]:
        yield

    third = App("third", lifespan=second)
    third.function(str, id="f")(echo.fn)
    with pytest.raises(ConfigError, match="shop, third"):
        Worker([app, third])


@pytest.mark.parametrize("is_opening", [True, False])
async def test_what_a_lifespan_raises_stays_as_it_is_and_is_told_apart_from_our_mistakes(is_opening: bool) -> None:
    @asynccontextmanager
    async def pool(app: App) -> AsyncGenerator[None]:
        if is_opening:
            raise ConnectionError("no database")
        yield
        raise ConnectionError("gone")

    broken = App("broken", lifespan=pool)
    broken.function(str, id="f")(echo.fn)
    worker = Worker(broken, url="http://127.0.0.1:9")
    worker.stop()
    with pytest.raises(ConnectionError) as raised:
        await worker.run()
    assert raised.value.__notes__ == ["the App's lifespan failed"]
