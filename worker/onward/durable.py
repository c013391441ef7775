"""The durable calls of a run, as the journal sees them. Both contexts stand on these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from onward_protocol import messages

from onward.config import option_ms
from onward.durations import SLEEP_MS_MAX, Duration
from onward.errors import ConfigError, InvokeFailed, invoke_failed, step_failed
from onward.events import Event, at_ms, check_events, draft_of, settled
from onward.values.names import check_name, check_text
from onward.values.paths import canonical_json, path_problem, value_at

if TYPE_CHECKING:
    from datetime import datetime

    from onward.host import Answer, Host
    from onward.middleware.chain import Chain

TOKEN_BYTES: Final = 32
"""Of chance in a callback's token: nobody finds one by trying."""


async def sleep(host: Host, duration: Duration, id: str) -> None:
    """Continue no earlier than `duration` from now."""
    await _wait(host, id or "sleep", messages.Sleep(option_ms("ctx.sleep", "duration", duration)))


async def sleep_until(host: Host, when: datetime, id: str) -> None:
    """Continue no earlier than `when`."""
    until_ms = at_ms(when)
    if until_ms - host.now_ms() > SLEEP_MS_MAX:
        raise ConfigError(f"ctx.sleep_until: {when.isoformat()} is more than 366 days away.", code="E0105")
    await _wait(host, id or "sleep", messages.Sleep(0, until_ms))


def timeout_of(duration: Duration, id: str) -> tuple[str, messages.Sleep]:
    """Return name and wait of a durable timeout."""
    return _named(id or "timeout"), messages.Sleep(option_ms("ctx.timeout", "duration", duration))


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
    check_text(f"{owner}, option 'where'", where)
    return messages.EventWait(
        event=event,
        match=_matches(owner, match, data),
        timeout_ms=_timeout_ms(owner, timeout),
        after=host.cursors.after(event) if lookback else None,
        where=where,
    )


async def invoke(host: Host, wait: messages.Invoke, id: str, chain: Chain | None = None) -> bytes:
    """Return the child's encoded output. `chain` is the middleware of its function. Raises `InvokeFailed`."""
    entry = await host.wait(_named(id or f"invoke:{wait.function}"), wait, chain)
    match entry:
        case messages.Returned():
            return entry.value
        case messages.Failed():
            raise invoke_failed(entry.failure, function=wait.function)
        case _:
            raise InvokeFailed(wait.function, "TimedOut", "it did not end within the timeout")


async def wait_for_signal(host: Host, wait: messages.SignalWait, id: str) -> bytes | None:
    """Return the encoded value of the signal that ended the wait, None when its time was over."""
    return value_of(await _wait(host, id or f"signal:{wait.name}", wait))


def signal_wait(name: str, timeout: Duration | None) -> messages.SignalWait:
    """Return what to wait for: a signal of this name to this run."""
    check_name("ctx.wait_for_signal", name)
    return messages.SignalWait(name, _timeout_ms(f"ctx.wait_for_signal('{name}')", timeout))


async def callback(host: Host, timeout: Duration | None, id: str) -> tuple[str, str, Answer]:
    """Open a callback; return its address, its token, and what will be posted there."""
    import secrets  # hashes take 8 ms that `import onward` need not pay

    token = secrets.token_urlsafe(TOKEN_BYTES)
    entry, answer = await host.callback(_named(id or "callback"), token, _timeout_ms("ctx.callback", timeout))
    word = value_of(entry)
    assert word is not None, "a callback is opened or the run fails"
    token, url = msgspec.msgpack.decode(word, type=tuple[str, str])  # on a replay the first ones
    return url, token, answer


async def start(host: Host, function: str, input: bytes, id: str, chain: Chain | None = None) -> str:
    """Start a child run that goes its own way; return its id. Raises `InvokeFailed`."""
    entry = await host.start(_named(id or f"start:{function}"), function, input, chain)
    if isinstance(entry, messages.Returned):
        return msgspec.msgpack.decode(entry.value, type=str)
    assert isinstance(entry, messages.Failed), "the engine starts a run or says why not"
    raise invoke_failed(entry.failure, function=function)


def value_of(entry: object) -> bytes | None:
    """Return what a wait has ended with; None when its time was over."""
    return entry.value if isinstance(entry, messages.Returned) else None


async def send(host: Host, events: Iterable[Event[Any]], id: str) -> tuple[str, ...]:
    """Send events exactly once; return their ids."""
    given = tuple(events)
    check_events("ctx.send", given)
    chosen = tuple(settled(event, host.now_ms()) for event in given)
    drafts = [draft_of(event) for event in chosen]
    if not drafts:
        return ()
    return await host.send(_named(id or f"send:{drafts[0].name}"), drafts, chosen)


async def _wait(host: Host, name: str, wait: messages.Wait) -> messages.EngineEntry:
    entry = await host.wait(_named(name), wait)
    if isinstance(entry, messages.Failed):
        raise step_failed(entry.failure, step=name)
    return entry


def _timeout_ms(owner: str, timeout: Duration | None) -> int | None:
    return None if timeout is None else option_ms(owner, "timeout", timeout)


def _named(name: str) -> str:
    check_name("durable call", name)
    return name


def _matches(owner: str, match: str, data: Any) -> tuple[messages.Match, ...]:
    if not match:
        return ()
    if problem := path_problem(match):
        raise ConfigError(f"{owner}, option 'match': {problem}.", code="E0103")
    return (messages.Match(match, canonical_json(value_at(data, match))),)
