"""The durable calls of a run, as the journal sees them. Both contexts stand on these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from onward_protocol import messages

from onward.config import option_ms
from onward.durations import SLEEP_MS_MAX, Duration
from onward.errors import ConfigError, InvokeFailed, invoke_failed, step_failed
from onward.events import Event, at_ms, draft_of
from onward.values.names import check_name
from onward.values.paths import canonical_json, path_problem, value_at

if TYPE_CHECKING:
    from datetime import datetime

    from onward.host import Host


async def sleep(host: Host, duration: Duration, id: str) -> None:
    """Continue no earlier than `duration` from now."""
    await _wait(host, id or "sleep", messages.Sleep(option_ms("ctx.sleep", "duration", duration)))


async def sleep_until(host: Host, when: datetime, id: str) -> None:
    """Continue no earlier than `when`."""
    until_ms = at_ms(when)
    if until_ms - host.now_ms() > SLEEP_MS_MAX:
        raise ConfigError(f"ctx.sleep_until: {when.isoformat()} is more than 366 days away.", code="E0105")
    await _wait(host, id or "sleep", messages.Sleep(0, until_ms))


async def wait_for_event(host: Host, wait: messages.EventWait, id: str) -> messages.Event | None:
    """Return the event that ended the wait, None when its time was over."""
    entry = await _wait(host, id or f"wait:{wait.event}", wait)
    if not isinstance(entry, messages.Arrived):
        return None
    host.cursors.consume(wait.event, entry.event.ord)
    return entry.event


def event_wait(
    host: Host, event: str, match: str, data: Any, timeout: Duration | None, *, where: str = "", lookback: bool
) -> messages.EventWait:
    """Return what to wait for: an event whose value at `match` equals that in `data`, the run's own event data, and
    that `where` is true of.
    """
    owner = f"ctx.wait_for_event('{event}')"
    return messages.EventWait(
        event=event,
        match=_matches(owner, match, data),
        timeout_ms=None if timeout is None else option_ms(owner, "timeout", timeout),
        after=host.cursors.after(event) if lookback else None,
        where=where,
    )


async def invoke(host: Host, wait: messages.Invoke, id: str) -> bytes:
    """Return the child's encoded output. Raises `InvokeFailed`."""
    entry = await host.wait(_named(id or f"invoke:{wait.function}"), wait)
    match entry:
        case messages.Returned():
            return entry.value
        case messages.Failed():
            raise invoke_failed(entry.failure, function=wait.function)
        case _:
            raise InvokeFailed(wait.function, "TimedOut", "it did not end within the timeout")


async def send(host: Host, events: Iterable[Event[Any]], id: str) -> tuple[str, ...]:
    """Send events exactly once; return their ids."""
    drafts = [draft_of(event) for event in events]
    if not drafts:
        return ()
    return await host.send(_named(id or f"send:{drafts[0].name}"), drafts)


async def _wait(host: Host, name: str, wait: messages.Wait) -> messages.EngineEntry:
    entry = await host.wait(_named(name), wait)
    if isinstance(entry, messages.Failed):
        raise step_failed(entry.failure, step=name)
    return entry


def _named(name: str) -> str:
    check_name("durable call", name)
    return name


def _matches(owner: str, match: str, data: Any) -> tuple[messages.Match, ...]:
    if not match:
        return ()
    if problem := path_problem(match):
        raise ConfigError(f"{owner}, option 'match': {problem}.", code="E0103")
    return (messages.Match(match, canonical_json(value_at(data, match))),)
