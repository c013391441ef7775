"""Signals and callbacks over HTTP, as clients and strangers see them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from onward_engine.engine import Engine
from onward_protocol.messages import Ack, Assign, CallbackWait, Returned, SignalWait, WaitOpened, Wake, Welcome

from tests.support import Network, simulate
from tests.unit.engine.peer import Peer, engine, send
from tests.unit.engine.web import Answer, ask

TOKEN = "t" * 43
URL = f"https://engine.example/c/{TOKEN}"


def with_worker(check: Callable[[Engine, Peer], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Run a check against an engine with one worker."""

    async def main(_: Network) -> None:
        async with engine(**settings) as running:
            await check(running, await Peer(running).connect())

    simulate(main)


async def waiting(running: Engine, worker: Peer, *waits: WaitOpened) -> Assign:
    """Return a run that has opened these waits."""
    run = await worker.next(Assign, await send(running))
    worker.report(run.run, run.epoch, 1, *waits)
    await worker.next(Ack, run.run)
    return run


async def answering(
    running: Engine, token: str = TOKEN, body: bytes = b'{"ok":true}', headers: dict[str, str] | None = None
) -> Answer:
    """Answer a callback, with no token of the engine's."""
    return await ask(running.app, "POST", f"/c/{token}", body, headers)


def test_a_signal_wakes_the_run_that_waits_for_it() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        run = await waiting(running, worker, WaitOpened("s", SignalWait("go")))
        answer = await ask(running.app, "POST", f"/v1/runs/{run.run}/signals/go", {"value": {"n": 1}})
        assert (answer.status, answer.json) == (202, {"run": run.run, "status": "delivered"})
        wake = await worker.next(Wake, run.run)
        assert wake.entries == (Returned(1, "s", msgspec.msgpack.encode({"n": 1}), wake.entries[0].at_ms),)

    with_worker(check)


def test_a_signal_without_a_run_finds_the_one_that_waits() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        run = await waiting(running, worker, WaitOpened("s", SignalWait("go")))
        packed = base64.b64encode(msgspec.msgpack.encode(b"bytes")).decode()
        answer = await ask(running.app, "POST", "/v1/signals/go", {"value_msgpack": packed})
        assert (answer.status, answer.json["run"]) == (202, run.run)
        refused = await ask(running.app, "POST", "/v1/signals/go", {})
        assert (refused.status, refused.json["code"]) == (404, "nobody_waits")
        assert "'go'" in refused.json["detail"]

    with_worker(check)


def test_a_signal_to_a_run_that_does_not_wait_is_kept_and_to_one_that_is_over_refused() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        run = await waiting(running, worker, WaitOpened("s", SignalWait("other")))
        answer = await ask(running.app, "POST", f"/v1/runs/{run.run}/signals/go", {})
        assert answer.json["status"] == "kept"
        await ask(running.app, "POST", f"/v1/runs/{run.run}/cancel", {"cleanup_ms": 0})
        over = await ask(running.app, "POST", f"/v1/runs/{run.run}/signals/go", {})
        assert (over.status, over.json["code"]) == (409, "run_over")
        unknown = await ask(running.app, "POST", "/v1/runs/run_x/signals/go", {})
        assert (unknown.status, unknown.json["code"]) == (404, "unknown_run")

    with_worker(check)


def test_an_id_makes_a_repeat_harmless_and_another_value_a_conflict() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        run = await waiting(running, worker, WaitOpened("s", SignalWait("go")))
        path = f"/v1/runs/{run.run}/signals/go"
        answers = [await ask(running.app, "POST", path, {"value": value, "id": "a"}) for value in (1, 1, 2)]
        assert [answer.status for answer in answers] == [202, 202, 409]
        assert answers[0].json["run"] == answers[1].json["run"]
        assert await running.store.items("signal", run.run) == []

    with_worker(check)


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/v1/signals/a%00b", {}, 404, "No run waits"),
        ("/v1/signals/a\nb", {}, 400, "The signal's name contains a character"),
        ("/v1/signals/" + "n" * 300, {}, 400, "300 bytes long"),
        ("/v1/signals/go", {"id": "i" * 300}, 400, "The id is 300 bytes long"),
        ("/v1/signals/go", {"value": "v" * 600_000}, 413, "512 KiB are allowed"),
        ("/v1/signals/go", {"value_msgpack": "?"}, 400, "not base64"),
        ("/v1/signals/go", {"value_msgpack": "\u00e9"}, 400, "not base64"),
        ("/v1/signals/go", b'{"value":18446744073709551616}', 400, "more than 64 bits"),
    ],
)
def test_a_bad_signal_is_refused_with_one_clear_sentence(path: str, body: Any, status: int, sentence: str) -> None:
    async def check(running: Engine, _: Peer) -> None:
        answer = await ask(running.app, "POST", path, body)
        assert answer.status == status
        assert sentence in answer.json["detail"]

    with_worker(check)


def test_a_callback_is_answered_once_without_a_token_of_the_engines() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        run = await waiting(running, worker, WaitOpened("c", CallbackWait(TOKEN, None, URL)))
        assert (await answering(running)).status == 202
        again = await answering(running, body=b"{}")
        assert (again.status, again.json["code"]) == (409, "callback_answered")
        opened, answered = await worker.next(Wake, run.run), await worker.next(Wake, run.run)
        [entry] = answered.entries
        assert getattr(opened.entries[0], "key", "") == "c!open"
        assert entry == Returned(2, "c", b"\x81\xa2ok\xc3", entry.at_ms)

    with_worker(check, dev=False, token="secret")


def test_nobody_learns_more_than_that_a_token_is_unknown() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        await waiting(running, worker, WaitOpened("c", CallbackWait(TOKEN, None, URL)))
        answers = [await answering(running, token) for token in ("x" * 43, TOKEN[:-1], "short", "a%2Fb", "ü" * 40)]
        assert {(answer.status, answer.json["code"]) for answer in answers} == {(404, "unknown_callback")}
        assert len({answer.body for answer in answers}) == 1

    with_worker(check, dev=False, token="secret")


def test_what_comes_with_an_unknown_token_is_not_looked_at() -> None:
    async def check(running: Engine, _: Peer) -> None:
        assert (await answering(running, "x" * 43, body=b"no JSON")).status == 404

    with_worker(check, dev=False, token="secret")


def test_looking_at_a_callback_does_not_answer_it() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        await waiting(running, worker, WaitOpened("c", CallbackWait(TOKEN, None, URL)))
        seen = await ask(running.app, "GET", f"/c/{TOKEN}")
        assert (seen.status, seen.headers["allow"]) == (405, "POST")
        assert b"one answer" in seen.body
        assert (await answering(running)).status == 202

    with_worker(check)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 202), (b"null", 202), (b"{", 400), (b"1" * 30, 400), (b'"' + b"y" * 600_000 + b'"', 413)],
)
def test_an_answer_is_json_of_a_limited_size(body: bytes, status: int) -> None:
    async def check(running: Engine, worker: Peer) -> None:
        await waiting(running, worker, WaitOpened("c", CallbackWait(TOKEN, None, URL)))
        assert (await answering(running, body=body)).status == status
        assert (await answering(running)).status == (409 if status == 202 else 202)

    with_worker(check)


def test_web_pages_and_any_media_type_may_answer_a_callback() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        await waiting(running, worker, WaitOpened("c", CallbackWait(TOKEN, None, URL)))
        headers = {"origin": "https://forms.example", "content-type": "text/plain", "host": "engine.example"}
        assert (await answering(running, headers=headers)).status == 202

    with_worker(check)


def test_a_worker_hears_where_callbacks_are_answered() -> None:
    async def check(_: Engine, worker: Peer) -> None:
        assert (await worker.next(Welcome)).callback_url == "https://engine.example"

    with_worker(check, public_url="https://engine.example")
