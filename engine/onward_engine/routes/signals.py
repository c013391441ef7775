"""Signals: to one run, or to the oldest that waits for that name."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..commit import Refused
from ..rules.events import BadEvent
from .parts import Parts
from .reading import payload_of
from .refusals import CONFLICT, NOBODY_WAITS, RUN_OVER, SIGNALS_FULL, TOO_LARGE, UNKNOWN_RUN, problem_of
from .route import Asked, Nothing, Route


class SignalRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a signal says. `value` is JSON, `value_msgpack` the same as base64 of MessagePack; `id` makes a repeat
    harmless for a day.
    """

    value: Any = None
    value_msgpack: str = ""
    id: str = ""


class Signalled(Struct, frozen=True):
    """The run that has the signal. It was waiting for it, or will find it there."""

    run: str
    status: Literal["delivered", "kept"]


async def signal_run(parts: Parts, asked: Asked[Nothing, SignalRequest]) -> Signalled:
    """Send a signal to one run."""
    return await _send(parts, asked, asked.id)


async def signal_waiter(parts: Parts, asked: Asked[Nothing, SignalRequest]) -> Signalled:
    """Send a signal to the oldest run that waits for it."""
    return await _send(parts, asked, "")


async def _send(parts: Parts, asked: Asked[Nothing, SignalRequest], run: str) -> Signalled:
    name, wanted = asked.path["name"], asked.body
    try:
        value = payload_of(wanted.value, wanted.value_msgpack, "value")
        signalled = await parts.signals.send(name, value, run=run, id=wanted.id)
    except (BadEvent, Refused) as error:
        raise problem_of(error) from error
    match signalled.verdict:
        case "delivered" | "kept" as status:
            return Signalled(signalled.run, msgspec.convert(status, Literal["delivered", "kept"]))
        case "unknown":
            raise UNKNOWN_RUN.problem(f"There is no run {run}.")
        case "over":
            raise RUN_OVER.problem(f"Run {run} is over already.")
        case "not_waiting":
            raise NOBODY_WAITS.problem(f"No run waits for a signal {name!r}; name the run that it is for.")
        case "full":
            raise SIGNALS_FULL.problem(f"Run {run} has too many signals that it has not waited for.")
        case "conflict":
            raise CONFLICT.problem(f"The id {wanted.id} was used before for a signal with another value.")


ROUTES = (
    Route(
        "POST",
        "/v1/runs/{id}/signals/{name}",
        signal_run,
        "Send a signal to a run; one that does not wait for it yet finds it when it does.",
        status=202,
        refusals=(UNKNOWN_RUN, RUN_OVER, SIGNALS_FULL, CONFLICT, TOO_LARGE),
    ),
    Route(
        "POST",
        "/v1/signals/{name}",
        signal_waiter,
        "Send a signal to the oldest run that waits for it.",
        status=202,
        refusals=(NOBODY_WAITS, CONFLICT, TOO_LARGE),
    ),
)
