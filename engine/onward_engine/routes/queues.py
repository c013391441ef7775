"""The queues of functions: how much waits for what, and the limits that can be set while everything runs."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict

from ..commit import Refused
from ..model import Run, Status
from ..queues import Key, Option, Queue
from ..rules.flow.facts import STATES
from ..views import LimitChangeLine, LimitLine, options_of
from .bulk import BulkAnswer, BulkSelection, change_many
from .fields import Count, Cursor, lines
from .parts import Parts
from .refusals import BAD_REQUEST, IMPOSSIBLE_LIMIT, UNKNOWN_FUNCTION, UNKNOWN_OPTION, problem_of
from .route import Asked, Nothing, Route

PURGED = "purged"
"""Why runs are cancelled that were purged, if nobody has said."""

_KEYS_MAX = 50
_BY_CHARS_MAX = 200


class QueueQuery(Struct, frozen=True):
    """Which part of the queues."""

    cursor: Annotated[str, Meta(description="What the page before this one gave.")] = ""
    limit: Count = 50


class QueueLine(Struct, frozen=True, kw_only=True):
    """The queue of a function: how many runs may be claimed (`ready`), may be later, wait for a limit (`limited`), are
    paused (`held`), or wait for more events (`gathering`). More than 100,000 of a kind are not counted. `waiting` is
    their sum, `oldest_at_ms` since when the one waits that was accepted first.
    """

    function: str
    app: str
    paused: bool
    waiting: int
    ready: int
    later: int
    limited: int
    held: int
    gathering: int
    oldest_at_ms: int | None


class QueueList(Struct, frozen=True):
    """Queues, by function. The cursor asks for the next page; null: these were the last."""

    queues: list[QueueLine]
    cursor: str | None


class QueueView(QueueLine, frozen=True, kw_only=True):
    """The queue of a function with its limits, and all options that order or restrain it, as its code has them."""

    limits: list[LimitLine]
    options: dict[str, Any]


class KeyLine(Struct, frozen=True, kw_only=True):
    """The runs of a function that wait for one value of a limit's key: 10,000 of them are counted at most. `taken`
    places are held by `holders`, of which these are the first; `offered` ones are kept for runs that nobody has claimed
    yet. `value` is empty if the limit has no key. `limit` is null if the code has no such limit any more. With the
    option `fair` these are all runs that wait and take their turns by this value; it has no places.
    """

    key: str
    option: str
    scope: str
    expression: str
    value: str
    waiting: int
    taken: int
    offered: int
    limit: int | None
    holders: list[str]


class KeyList(Struct, frozen=True):
    """Keys, in order. The cursor asks for the next page; null: these were the last."""

    keys: list[KeyLine]
    cursor: str | None


class LimitRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which limit counts from now on, whatever the code says; null: what that says. `option` is `concurrency:0`,
    `concurrency:1`, `throttle` or `rate_limit`. `by` is kept: who has asked for it.
    """

    option: str
    limit: Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)] | None
    by: str = ""


class PurgeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which runs that have not begun are cancelled: all of the function, or those with this key."""

    key: Annotated[str, Meta(description="With this value of the key of a limit, or of their event.")] = ""
    reason: str = PURGED
    dry_run: Annotated[bool, Meta(description="Change nothing, and say what would be changed.")] = False
    cursor: Cursor = 0


class ScaleQuery(Struct, frozen=True):
    """Of which app; without one, of all."""

    app: str = ""


class ScaleView(Struct, frozen=True):
    """How much there is to do. `backlog` are the runs that could begin now if there were slots, `running` the busy
    slots, `demand` both; `slots` are those of the connected workers, `desired` is how many such workers the demand
    takes.
    """

    demand: int
    backlog: int
    running: int
    slots: int
    oldest_wait_ms: int
    desired: int


async def list_queues(parts: Parts, asked: Asked[QueueQuery, Nothing]) -> QueueList:
    """List queues."""
    limit = lines(asked.query.limit)
    found = await parts.queues.page(asked.query.cursor, limit)
    return QueueList([_line(one) for one in found], found[-1].function.id if len(found) == limit else None)


async def show_queue(parts: Parts, asked: Asked[Nothing, Nothing]) -> QueueView:
    """Show the queue of a function."""
    queue = await _found(parts, asked.id)
    limits = [limit_line(one) for one in await parts.queues.options(queue.function)]
    return QueueView(**asdict(_line(queue)), limits=limits, options=options_of(queue.function))


async def list_keys(parts: Parts, asked: Asked[QueueQuery, Nothing]) -> KeyList:
    """List the keys for which runs of a function wait."""
    limit = lines(asked.query.limit, _KEYS_MAX)
    queue = await _found(parts, asked.id)
    found = await parts.queues.keys(queue.function, asked.query.cursor, limit)
    return KeyList([_key_line(one) for one in found], found[-1].line.key if len(found) == limit else None)


async def set_limit(parts: Parts, asked: Asked[Nothing, LimitRequest]) -> LimitLine:
    """Set a limit."""
    wanted, option = asked.body, asked.body.option
    option = "concurrency:0" if option == "concurrency" else option
    if len(wanted.by) > _BY_CHARS_MAX:
        raise BAD_REQUEST.problem(f"'by' has more than {_BY_CHARS_MAX} characters.")
    try:
        done = await parts.control.set_limit(asked.id, option, wanted.limit, wanted.by)
    except Refused as error:
        raise problem_of(error) from error
    match done.verdict:
        case "unknown_function":
            raise UNKNOWN_FUNCTION.problem(f"There is no function {asked.id}.")
        case "unknown_option":
            raise UNKNOWN_OPTION.problem(f"{asked.id} has no limit {option!r}.")
        case "impossible":
            raise IMPOSSIBLE_LIMIT.problem(f"{done.reason}.")
        case "set":
            queue = await _found(parts, asked.id)
            return next(limit_line(one) for one in await parts.queues.options(queue.function) if one.option == option)


async def purge_queue(parts: Parts, asked: Asked[Nothing, PurgeRequest]) -> BulkAnswer:
    """Cancel what waits."""
    wanted = asked.body
    await _found(parts, asked.id)
    selection = BulkSelection(function=asked.id, key=wanted.key, dry_run=wanted.dry_run, cursor=wanted.cursor)

    async def cancel(run: Run) -> None:
        await parts.ingest.cancel(run.id, wanted.reason, 0, is_for_waiting=True)

    return await change_many(parts, selection, [Status.QUEUED], cancel, lambda run: run.epoch == 0)


async def show_scale(parts: Parts, asked: Asked[ScaleQuery, Nothing]) -> ScaleView:
    """Show how much there is to do."""
    return ScaleView(**asdict(await parts.queues.scale(asked.query.app)))


def limit_line(one: Option) -> LimitLine:
    """Return a limit that can be set, as people see it."""
    changes = [LimitChangeLine(change.at_ms, change.by, change.before, change.after) for change in one.changes]
    return LimitLine(option=one.option, limit=one.limit, declared=one.declared, override=one.override, changes=changes)


async def _found(parts: Parts, function: str) -> Queue:
    found = await parts.queues.find(function)
    if found is None:
        raise UNKNOWN_FUNCTION.problem(f"There is no function {function}.")
    return found


def _line(queue: Queue) -> QueueLine:
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    counts |= {one.state: one.runs for one in queue.backlog}
    return QueueLine(
        function=queue.function.id,
        app=queue.app,
        paused=queue.is_paused,
        waiting=sum(counts.values()),
        oldest_at_ms=min((one.oldest_at_ms for one in queue.backlog), default=None),
        **counts,
    )


def _key_line(one: Key) -> KeyLine:
    return KeyLine(
        key=one.line.key,
        option=one.option,
        scope=one.named.scope,
        expression=one.named.expression,
        value=one.named.value,
        waiting=one.line.waiting,
        taken=one.holders.taken,
        offered=one.holders.offered,
        limit=one.limit,
        holders=list(one.holders.runs),
    )


_ONE = "/v1/queues/{id:path}"

ROUTES = (
    Route("GET", "/v1/queues", list_queues, "List the queues of all functions, by function."),
    Route(
        "GET",
        f"{_ONE}/keys",
        list_keys,
        "List the values of keys for which runs of a function wait, at most 50 at a time.",
        refusals=(UNKNOWN_FUNCTION,),
    ),
    Route(
        "POST",
        f"{_ONE}/limits",
        set_limit,
        "Set a limit of a function, or set it back to what its code says. It counts at once and for good, also when "
        "workers register again.",
        refusals=(UNKNOWN_FUNCTION, UNKNOWN_OPTION, IMPOSSIBLE_LIMIT),
    ),
    Route(
        "POST",
        f"{_ONE}/purge",
        purge_queue,
        "Cancel runs of a function that have not begun, at most 1,000 in a request.",
        status=202,
        refusals=(UNKNOWN_FUNCTION,),
    ),
    Route("GET", _ONE, show_queue, "Show the queue of a function.", refusals=(UNKNOWN_FUNCTION,)),
    Route("GET", "/v1/scale", show_scale, "Show how much there is to do, for whoever starts and stops workers."),
)
