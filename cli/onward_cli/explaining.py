"""`worker runs why`: why a run does not start, or what it waits for."""

from __future__ import annotations

from typing import Any

from onward import SyncClient
from onward.queues import AwaitedRecord, BlockingRecord, WhyRecord

from onward_cli.arguments import RunId
from onward_cli.connected import connected
from onward_cli.lines import clock_time
from onward_cli.options import Output, Watch
from onward_cli.output import Format, plain, write_one
from onward_cli.repeating import repeat

_AT_WORK = {
    "over": "nothing: it is over",
    "assigned": "nothing: a worker executes it",
    "parked": "what its code has asked for",
    "next": "nothing: it starts in a moment",
}


@connected
def why(client: SyncClient, run: RunId, *, output: Output = Format.TABLE, watch: Watch = False) -> None:
    """Say why a run does not start, or what it waits for, and until when as far as that can be known."""

    def show() -> None:
        record = client.why(run)
        write_one(_told(record) if output is Format.TABLE else {"id": record.run, **plain(record)}, output)

    repeat(show, is_watching=watch)


def _told(one: WhyRecord) -> dict[str, Any]:
    told = {
        "run": one.run,
        "function": one.function,
        "status": f"{one.status} (paused)" if one.is_paused else one.status,
        "waits for": one.waits_for or _AT_WORK.get(one.code, one.code),
        **(_limit(one.blocking) if one.blocking else {}),
        "position": one.position,
        "awaits": "; ".join(map(_awaited, one.awaited)) or None,
        "worker": one.worker,
        "version": one.version,
        "strikes": one.strikes or None,
        "because": one.cancel_reason or one.error,
        "until": None if one.until_at_ms is None else clock_time(one.until_at_ms),
        "goes on in": None if one.eta_ms is None else f"{one.eta_ms / 1000:g}s",
    }
    return {name: value for name, value in told.items() if value is not None}


def _limit(one: BlockingRecord) -> dict[str, Any]:
    if one.option == "throttle":
        return {}
    is_set = one.declared is not None and one.limit != one.declared
    return {
        "limit": f"{one.limit} (the code says {one.declared})" if is_set else one.limit,
        "held by": ", ".join(one.holders) + (" and others" if one.taken > len(one.holders) else "") or None,
    }


def _awaited(one: AwaitedRecord) -> str:
    until = "" if one.due_at_ms is None else f" until {clock_time(one.due_at_ms)}"
    return f"{one.kind}{' ' + one.about if one.about else ''} ({one.key}){until}"
