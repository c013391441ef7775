"""What can be listed and followed, as values: which runs and events, and what the engine's answers mean. No sockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict
from urllib.parse import quote, urlencode

from msgspec import Struct, field

from onward.calls import POLL_MS, TERMINAL, Answer, Request, RunRecord, RunStatus, StepRecord, answered, gone_on
from onward.function import Function

if TYPE_CHECKING:
    from datetime import datetime


class RunsWanted(TypedDict, total=False):
    """Which runs are meant: all that is said has to be true of a run.

    `status` has any of these; `event` is the id of an event, its name, or the beginning of names and a star; `key` is
    that of the event or of a concurrency limit; of `tags` a run has all; `id` is how the run's id begins. Moments are
    from (inclusive) until (exclusive), and aware. `where` is an expression over `run` and `event`.
    """

    function: Function[Any, Any] | str | None
    status: RunStatus | Sequence[RunStatus] | None
    event: str
    key: str
    tags: Mapping[str, str] | None
    id: str
    created_from: datetime | None
    created_until: datetime | None
    ended_from: datetime | None
    ended_until: datetime | None
    where: str


class RunPage(Struct, frozen=True):
    """Some runs, newest first. `cursor` is where the next page begins; None after the last.

    A page may have fewer runs than were asked for, or none, and still a cursor. `unclear` counts the runs for which
    `where` could not be evaluated: they are left out.
    """

    runs: tuple[RunRecord, ...]
    cursor: str | None = None
    unclear: int = 0


class EventLine(Struct, frozen=True):
    """An event in a list. Moments are milliseconds; `run_count` counts the runs that are still kept."""

    id: str
    name: str
    key: str = ""
    ts_ms: int = 0
    received_at_ms: int = 0
    run_count: int = 0


class EventPage(Struct, frozen=True):
    """Some events, newest first. `cursor` as of a `RunPage`."""

    events: tuple[EventLine, ...]
    cursor: str | None = None


class EventRecord(Struct, frozen=True):
    """An event with its data, which is plain JSON, and the newest runs that it started."""

    id: str
    name: str
    key: str = ""
    ts_ms: int = 0
    meta: dict[str, str] = field(default_factory=dict[str, str])
    data: Any = None
    data_bytes: int = 0
    runs: tuple[RunRecord, ...] = ()


class FunctionRecord(Struct, frozen=True):
    """A function as its worker registered it. The last fields are only known of a function that was asked for alone.

    `recent` counts its newest runs by status; `limits` are those that can be set, as of a `QueueRecord`.
    """

    id: str
    app: str
    version: str = ""
    triggers: tuple[str, ...] = ()
    concurrency: tuple[dict[str, Any], ...] = ()
    on_failure: str | None = None
    sync: bool = False
    paused: bool = False
    labels: dict[str, str] = field(default_factory=dict[str, str])
    cancel_on: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    conditions: tuple[dict[str, Any], ...] = ()
    cancel_rules: tuple[dict[str, Any], ...] = ()
    start_timeout_ms: int | None = None
    finish_timeout_ms: int | None = None
    ticks: tuple[dict[str, Any], ...] = ()
    recent: dict[str, Any] = field(default_factory=dict[str, Any])
    limits: tuple[dict[str, Any], ...] = ()
    options: dict[str, Any] = field(default_factory=dict[str, Any])


class _Functions(Struct):
    functions: tuple[FunctionRecord, ...]


class _Steps(Struct):
    steps: tuple[StepRecord, ...]
    status: RunStatus
    end: str
    cursor: str | None = None


def selected(wanted: RunsWanted) -> dict[str, Any]:
    """Return which runs are meant, as the engine reads it."""
    said: dict[str, Any] = {
        "function": _id_of(wanted.get("function")),
        "status": _statuses(wanted.get("status")),
        "event": wanted.get("event"),
        "key": wanted.get("key"),
        "tag": [f"{key}={value}" for key, value in (wanted.get("tags") or {}).items()],
        "id": wanted.get("id"),
        "created_from_ms": moment(wanted.get("created_from")),
        "created_until_ms": moment(wanted.get("created_until")),
        "ended_from_ms": moment(wanted.get("ended_from")),
        "ended_until_ms": moment(wanted.get("ended_until")),
        "where": wanted.get("where"),
    }
    return {name: value for name, value in said.items() if value not in ("", [], None)}


def listing_runs(wanted: RunsWanted, limit: int, cursor: str | None) -> Request:
    """Ask for runs, newest first."""
    return _listing("/v1/runs", {**selected(wanted), "limit": limit, "cursor": cursor})


def listed_runs(answer: Answer) -> RunPage:
    """Return the page of runs."""
    return answered(answer, RunPage)


def listing_events(
    name: str, key: str, received_from: datetime | None, received_until: datetime | None, limit: int, cursor: str | None
) -> Request:
    """Ask for events, newest first."""
    wanted = {
        "name": name or None,
        "key": key or None,
        "received_from_ms": moment(received_from),
        "received_until_ms": moment(received_until),
    }
    return _listing("/v1/events", {**wanted, "limit": limit, "cursor": cursor})


def listed_events(answer: Answer) -> EventPage:
    """Return the page of events."""
    return answered(answer, EventPage)


def reading_event(event: str) -> Request:
    """Ask for an event."""
    return Request("GET", f"/v1/events/{quote(event)}")


def read_event(answer: Answer) -> EventRecord:
    """Return the event."""
    return answered(answer, EventRecord)


LISTING_FUNCTIONS: Final = Request("GET", "/v1/functions")


def listed_functions(answer: Answer) -> tuple[FunctionRecord, ...]:
    """Return all functions."""
    return answered(answer, _Functions).functions


def reading_function(function: Function[Any, Any] | str) -> Request:
    """Ask for a function."""
    return Request("GET", f"/v1/functions/{quote(_id_of(function))}")


def read_function(answer: Answer) -> FunctionRecord:
    """Return the function."""
    return answered(answer, FunctionRecord)


class Following:
    """A run's history as it grows: ask for `next` and `add` the answer until `is_over`. An answer comes when there is
    something new.
    """

    def __init__(self, run: str) -> None:
        self.is_over: bool = False
        self.status: RunStatus = "queued"
        self._path = f"/v1/runs/{quote(run, safe='')}/steps"
        self._cursor = "0"
        self._open: dict[str, StepRecord] = {}

    @property
    def next(self) -> Request:
        """Ask for what is new."""
        return Request("GET", f"{self._path}?cursor={quote(self._cursor)}&wait_ms={POLL_MS}", wait_ms=POLL_MS)

    def add(self, answer: Answer) -> Iterator[StepRecord]:
        """Take an answer; return the lines that are new or have gone on."""
        page = answered(answer, _Steps)
        self._cursor, self.status = page.end, page.status
        self.is_over = page.cursor is None and page.status in TERMINAL
        return map(self._noted, page.steps)

    def _noted(self, line: StepRecord) -> StepRecord:
        earlier = self._open.pop(line.key, None)
        if earlier is not None:
            line = gone_on(earlier, line)
        if line.status in {"waiting", "retrying", "closed"}:
            self._open[line.key] = line
        return line


def moment(at: datetime | None) -> int | None:
    """Return a moment in milliseconds."""
    return None if at is None else round(at.timestamp() * 1000)


def _listing(path: str, query: Mapping[str, Any]) -> Request:
    said = {name: value for name, value in query.items() if value is not None}
    return Request("GET", f"{path}?{urlencode(said, doseq=True)}")


def _statuses(status: RunStatus | Iterable[RunStatus] | None) -> list[str]:
    if status is None:
        return []
    return [status] if isinstance(status, str) else list(status)


def _id_of(function: Function[Any, Any] | str | None) -> str:
    return function if isinstance(function, str) else "" if function is None else function.id
