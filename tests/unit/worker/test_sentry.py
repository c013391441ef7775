"""Reports to Sentry: each error once, with its traceback and where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from onward import App, Context, NonRetryable, Retry, SyncContext, step
from onward.middleware import Sentry
from onward.testing import TestEngine
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport


class Post(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event: Any = envelope.get_event()
        self.events.append(event)

    @property
    def reports(self) -> list[tuple[str, str]]:
        """The type of each error, and the step that it came from."""
        return [(event["exception"]["values"][-1]["type"], event["tags"].get("step", "")) for event in self.events]


@pytest.fixture
def post() -> Iterator[Post]:
    made = Post()
    sentry_sdk.init(dsn="http://key@127.0.0.1:1/1", transport=made, default_integrations=False)
    yield made
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


@step(retry=Retry(attempts=3, backoff=0.001))
async def flaky() -> None:
    raise ConnectionError("gone")


@step(retry=Retry(attempts=3, backoff=0.001, never_on=KeyError))
def hopeless(kind: str) -> None:
    raise KeyError("x") if kind == "key" else NonRetryable("never")


def shop(*middleware: Any) -> App:
    app = App("shop", middleware=middleware)

    @app.function(str)
    async def work(ctx: Context[str]) -> None:
        if ctx.data == "own":
            raise ValueError("of the function itself")
        await (flaky() if ctx.data == "flaky" else hopeless.aio(ctx.data))

    @app.function(str)
    def block(ctx: SyncContext[str]) -> None:
        hopeless(ctx.data)

    return app


@pytest.mark.parametrize(
    ("name", "data", "reported"),
    [
        ("work", "flaky", ("ConnectionError", "flaky")),
        ("work", "key", ("KeyError", "hopeless")),
        ("work", "never", ("NonRetryable", "hopeless")),
        ("block", "key", ("KeyError", "hopeless")),
        ("work", "own", ("ValueError", "")),
    ],
)
async def test_each_error_is_reported_once(post: Post, name: str, data: str, reported: tuple[str, str]) -> None:
    app = shop(Sentry())
    async with TestEngine(app, crash_everywhere=True) as engine:
        run = await engine.start(app.functions[f"shop/{name}"], data)
        await engine.advance("1m")
    assert run.status == "failed"
    assert post.reports == [reported]
    assert (post.events[0]["tags"]["run"], post.events[0]["tags"]["function"]) == (run.id, f"shop/{name}")


async def test_every_attempt_is_reported_if_that_is_asked_for(post: Post) -> None:
    app = shop(Sentry(final_attempt_only=False))
    async with TestEngine(app) as engine:
        await engine.start(app.functions["shop/work"], "flaky")
        await engine.advance("1m")
    assert [event["tags"]["attempt"] for event in post.events] == ["1", "2", "3"]


async def test_a_cancelled_run_is_no_error(post: Post) -> None:
    app = App("shop", middleware=[Sentry()])

    @app.function(str)
    async def wait(ctx: Context[str]) -> None:
        await ctx.sleep("1h")

    async with TestEngine(app) as engine:
        run = await engine.start(wait, "")
        await engine.cancel(run)
    assert (run.status, post.events) == ("cancelled", [])
