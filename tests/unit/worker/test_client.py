import asyncio
import base64
import inspect
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from onward import App, Client, EventType, NonRetryable, NotConnected, RunFailed, SyncClient, SyncContext
from onward.errors import EngineRefused
from onward.values.serde import encode
from onward_protocol.ids import is_id

from .http_script import Script, scripted


@dataclass
class Order:
    id: str
    total: Decimal


Placed = EventType("shop/placed", Order)
app = App("shop")
ORDER = Order("o1", Decimal("9.90"))
DONE = {"id": "run_1", "function": "shop/pay", "status": "completed", "attempt": 1, "created_at_ms": 5}


@app.function(Order)
def pay(ctx: SyncContext[Order]) -> Decimal:
    return ctx.data.total


class Calls:
    """Either client, called alike: `await calls.send(...)`; handles are wrapped too."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            method = getattr(self.target, name)
            if inspect.iscoroutinefunction(method):
                return _wrapped(await method(*args, **kwargs))
            return _wrapped(await asyncio.to_thread(method, *args, **kwargs))

        return call


def _wrapped(value: Any) -> Any:
    return Calls(value) if type(value).__name__ in {"RunHandle", "SyncRunHandle"} else value


@pytest.fixture
def engine() -> Iterator[Script]:
    with scripted() as script:
        yield script


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest, engine: Script) -> AsyncIterator[Calls]:
    if request.param == "async":
        async with Client(engine.url, "secret") as target:
            yield Calls(target)
    else:
        with SyncClient(engine.url, "secret") as target:
            yield Calls(target)


async def test_sent_events_come_back_with_their_runs(client: Calls, engine: Script) -> None:
    engine.reply(202, b'{"events": [{"id": "e1", "runs": ["run_1", "run_2"]}, {"id": "evt_2", "runs": []}]}')
    first, second = await client.send(Placed(ORDER, id="e1", key="ann"), Placed(ORDER))
    assert (first.id, [run.id for run in first.runs], second.id, second.runs) == ("e1", ["run_1", "run_2"], "evt_2", ())
    [asked] = engine.asked
    sent = msgspec.json.decode(asked.body)
    assert (asked.method, asked.path, asked.headers["authorization"]) == ("POST", "/e", "Bearer secret")
    assert sent[0] == {"name": "shop/placed", "data": {"id": "o1", "total": "9.90"}, "id": "e1", "key": "ann"}


async def test_every_request_can_be_repeated_because_ids_are_made_here(client: Calls, engine: Script) -> None:
    engine.reply(202, b'{"events": [{"id": "x", "runs": []}]}')
    engine.reply(202, {"run": "run_1"})
    await client.send(Placed(ORDER))
    await client.start(pay, ORDER)
    event, start = (msgspec.json.decode(asked.body) for asked in engine.asked)
    assert is_id(event[0]["id"], "evt")
    assert is_id(start["id"], "run")


async def test_a_signal_goes_to_a_run_or_to_whoever_waits_for_it(client: Calls, engine: Script) -> None:
    for _ in range(4):
        engine.reply(202, {"run": "run_1", "status": "delivered"})
    assert await client.signal("approved", True, run="run 1", id="a") == "run_1"
    await client.signal("go/on")
    handle = await client.start(pay, ORDER)
    await handle.signal("approved", {"by": "ann"})
    to_run, to_waiter, _, by_handle = engine.asked
    paths = [asked.path for asked in (to_run, to_waiter, by_handle)]
    assert paths == ["/v1/runs/run%201/signals/approved", "/v1/signals/go%2Fon", "/v1/runs/run_1/signals/approved"]
    assert msgspec.json.decode(to_run.body) == {"value_msgpack": base64.b64encode(encode(True)).decode(), "id": "a"}
    assert len(msgspec.json.decode(to_waiter.body)["id"]) == 32


async def test_a_callback_is_answered_by_its_token_or_its_address(client: Calls, engine: Script) -> None:
    for _ in range(2):
        engine.reply(202, b"Thank you.")
    await client.resolve_callback("tok", {"approved": True})
    await client.resolve_callback("https://engine.example/c/tok")
    assert [(asked.path, asked.body) for asked in engine.asked] == [
        ("/c/tok", b'{"approved":true}'),
        ("/c/tok", b"null"),
    ]


async def test_a_callback_that_was_answered_says_so(client: Calls, engine: Script) -> None:
    engine.reply(409, {"code": "callback_answered", "detail": "This was answered already."})
    with pytest.raises(EngineRefused, match="answered already") as caught:
        await client.resolve_callback("tok", 1)
    assert caught.value.status == 409


async def test_a_result_has_the_functions_type(client: Calls, engine: Script) -> None:
    engine.reply(202, {"run": "run_1"})
    engine.reply(200, {**DONE, "status": "parked"})
    engine.reply(200, DONE)
    engine.reply(200, encode(Decimal("9.90")), headers={"content-type": "application/msgpack"})
    handle = await client.start(pay, ORDER, key="k1")
    assert await handle.result() == Decimal("9.90")
    start, poll, again, output = engine.asked
    body = msgspec.json.decode(start.body)
    assert (body["function"], body["id"]) == ("shop/pay", "k1")
    assert base64.b64decode(body["input_msgpack"]) == encode(ORDER)
    assert poll.path == again.path == "/v1/runs/run_1?wait_ms=30000"
    assert (output.path, output.headers["accept"]) == ("/v1/runs/run_1/output", "application/msgpack")


async def test_run_starts_and_waits(client: Calls, engine: Script) -> None:
    engine.reply(202, {"run": "run_1"})
    engine.reply(200, DONE)
    engine.reply(200, encode({"total": 1}))
    assert await client.run("shop/pay", {"id": "o1"}) == {"total": 1}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "NonRetryable", "message": "no", "data": {"a": 1}}, NonRetryable("no", data={"a": 1})),
        ({"type": "Declined", "message": "no money"}, RunFailed("run_1", "Declined", "no money")),
    ],
)
async def test_a_failed_run_raises_its_error(client: Calls, engine: Script, error: Any, expected: Exception) -> None:
    engine.reply(202, {"run": "run_1"})
    engine.reply(200, {**DONE, "status": "failed", "error": error})
    with pytest.raises(type(expected)) as caught:
        await client.run(pay, ORDER)
    assert vars(caught.value) == vars(expected)


async def test_a_cancelled_run_does_not_cancel_who_asks(client: Calls, engine: Script) -> None:
    engine.reply(202, {"run": "run_1"})
    engine.reply(200, {**DONE, "status": "cancelled"})
    with pytest.raises(RunFailed) as caught:
        await client.run(pay, ORDER)
    assert caught.value.type == "RunCancelled"


async def test_a_result_can_be_waited_for_with_a_limit(client: Calls, engine: Script) -> None:
    engine.reply(202, {"run": "run_1"})
    with pytest.raises(TimeoutError, match="run run_1 is not over after 0 s; it goes on"):
        await client.run(pay, ORDER, timeout=0)


async def test_runs_are_read_listed_and_cancelled(client: Calls, engine: Script) -> None:
    engine.reply(200, {**DONE, "new_field": 1})
    engine.reply(200, {"runs": [DONE], "cursor": "7"})
    engine.reply(200, {"steps": [{"key": "pay@0#0", "kind": "step", "status": "done", "attempts": 2}]})
    engine.reply(202, {"status": "cancelling"})
    assert (await client.get_run("run_1")).is_over
    page = await client.list_runs(function=pay, status="failed", limit=1, cursor="9")
    assert (page.runs[0].id, page.cursor) == ("run_1", "7")
    assert [step.attempts for step in await client.steps("run_1")] == [2]
    await client.cancel("run/1")
    assert [asked.path for asked in engine.asked] == [
        "/v1/runs/run_1",
        "/v1/runs?function=shop%2Fpay&status=failed&limit=1&cursor=9",
        "/v1/runs/run_1/steps",
        "/v1/runs/run%2F1/cancel",
    ]


async def test_a_long_history_is_put_together_from_pages(client: Calls, engine: Script) -> None:
    def line(key: str, kind: str, status: str) -> dict[str, str]:
        return {"key": key, "kind": kind, "status": status}

    begun = [line("nap", "sleep", "waiting"), line("pay", "step", "retrying"), line("mail", "event", "closed")]
    engine.reply(200, {"steps": begun, "cursor": "7"})
    ended = [line("nap", "wait", "completed"), line("pay", "step", "failed"), line("mail", "wait", "completed")]
    engine.reply(200, {"steps": [*ended, line("ship", "step", "completed")], "cursor": None})
    assert [(step.key, step.kind, step.status) for step in await client.steps("run_1")] == [
        ("nap", "sleep", "completed"),
        ("pay", "step", "failed"),
        ("mail", "event", "closed"),
        ("ship", "step", "completed"),
    ]
    assert [asked.path for asked in engine.asked] == ["/v1/runs/run_1/steps", "/v1/runs/run_1/steps?cursor=7"]


async def test_a_refusal_has_the_engines_own_words(client: Calls, engine: Script) -> None:
    problem = {"title": "Not found", "detail": "There is no run run_1.", "code": "unknown_run", "status": 404}
    engine.reply(404, problem, headers={"content-type": "application/problem+json"})
    with pytest.raises(EngineRefused, match=r"^There is no run run_1\.$") as caught:
        await client.get_run("run_1")
    assert (caught.value.status, caught.value.code) == (404, "unknown_run")


async def test_an_answer_of_something_between_is_still_an_error(client: Calls, engine: Script) -> None:
    engine.reply(502, b"<html>Bad gateway</html>")
    engine.reply(200, b"<html>Please log in</html>")
    with pytest.raises(EngineRefused, match="answered with status 502"):
        await client.get_run("run_1")
    with pytest.raises(EngineRefused, match="is not understood"):
        await client.get_run("run_1")


async def test_a_connection_is_used_again(client: Calls, engine: Script) -> None:
    for _ in range(3):
        engine.reply(200, DONE)
        await client.get_run("run_1")
    assert len({asked.port for asked in engine.asked}) == 1


async def test_a_connection_that_the_engine_closed_is_replaced(client: Calls, engine: Script) -> None:
    engine.reply(200, DONE, hang_up=True)
    engine.reply(200, DONE)
    await client.get_run("run_1")
    await client.get_run("run_1")
    assert len({asked.port for asked in engine.asked}) == 2


async def test_a_closing_answer_is_not_kept(client: Calls, engine: Script) -> None:
    engine.reply(200, DONE, headers={"connection": "close"})
    engine.reply(200, DONE, chunks=10)
    await client.get_run("run_1")
    assert (await client.get_run("run_1")).id == "run_1"


async def test_chunked_answers_are_put_together(client: Calls, engine: Script) -> None:
    engine.reply(200, DONE, chunks=7)
    engine.reply(200, DONE)
    assert (await client.get_run("run_1")).id == "run_1"
    assert (await client.get_run("run_1")).id == "run_1"
    assert len({asked.port for asked in engine.asked}) == 1


@pytest.mark.parametrize("kind", [Client, SyncClient])
async def test_an_engine_that_is_not_there_is_named_with_what_to_do(kind: type[Any]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but not listening
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(NotConnected, match=rf"{url} cannot be reached: .*\. Start an engine with `worker dev"):
            await Calls(kind(url)).get_run("run_1")


async def test_something_that_does_not_speak_http_is_named() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        for kind in (Client, SyncClient):
            with pytest.raises(NotConnected, match="cannot be reached"):
                await Calls(kind(url)).get_run("run_1")


async def test_many_tasks_share_a_client(engine: Script) -> None:
    for _ in range(20):
        engine.reply(200, DONE)
    async with Client(engine.url) as client:
        records = await asyncio.gather(*(client.get_run("run_1") for _ in range(20)))
    assert len(records) == 20


async def test_a_cancelled_request_does_not_leave_its_connection_for_the_next(engine: Script) -> None:
    arrived = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()  # until the client hangs up
        closed.set()
        writer.close()

    closed = asyncio.Event()
    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    async with server, Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        task = asyncio.create_task(client.get_run("run_1"))
        await arrived.wait()
        task.cancel()
        await closed.wait()
        assert task.cancelled()


def test_a_client_may_be_used_in_one_loop_after_another(engine: Script) -> None:
    client = Client(engine.url)
    for _ in range(2):
        engine.reply(200, DONE, headers={"connection": "close"})
        assert asyncio.run(client.get_run("run_1")).id == "run_1"


async def test_a_function_starts_itself(engine: Script) -> None:
    own = App("own", url=engine.url)
    function = own.function(Order)(pay.fn)
    engine.reply(202, {"run": "run_1"})
    handle = await function.start(ORDER, key="k")
    assert (handle.id, msgspec.json.decode(engine.asked[0].body)["function"]) == ("run_1", "own/pay")
    await own.client.close()
