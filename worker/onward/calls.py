"""The engine's HTTP API as values: what is asked, and what an answer means. No sockets here; both clients stand on
this.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec
from msgspec import Struct, field, structs
from onward_protocol.messages import Failure

from onward.durations import Duration, duration_ms
from onward.errors import EngineRefused, RunFailed, from_failure
from onward.events import Event, check_events, draft_of
from onward.function import Function
from onward.ids import new_id
from onward.values.serde import encode, encode_json

T = TypeVar("T")

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
POLL_MS: Final = 30_000
"""An answer that takes longer is asked for again: proxies give up on silent requests after a minute."""

RunStatus = Literal["queued", "assigned", "orphaned", "parked", "ready", "completed", "failed", "cancelled", "skipped"]
TERMINAL: Final = frozenset({"completed", "failed", "cancelled", "skipped"})


class Request(Struct, frozen=True):
    """One HTTP request. All of them may be repeated: events and runs carry ids that make a repeat harmless."""

    method: str
    path: str
    body: bytes = b""
    accept: str = JSON
    wait_ms: int = 0


class Answer(Struct, frozen=True):
    """One HTTP response."""

    status: int
    body: bytes


class RecordedError(Struct, frozen=True):
    """Why a run or a step failed."""

    type: str
    message: str
    data: Any = None
    stack: str = ""


class RunRecord(Struct, frozen=True):
    """A run as the engine shows it. Moments are milliseconds on its clock; `output` is plain data, for people.
    `strikes` counts the workers that died under it, one after the other, without progress. In a list the input, the
    output and what follows it are left out.
    """

    id: str
    function: str
    status: RunStatus
    attempt: int
    created_at_ms: int
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    steps: int = 0
    output: Any = None
    error: RecordedError | None = None
    strikes: int = 0
    worker: str | None = None
    tags: dict[str, str] = field(default_factory=dict[str, str])
    origin: str | None = None
    version: str | None = None
    paused: bool = False
    events: tuple[str, ...] = ()
    input: Any = None
    output_bytes: int = 0
    cancel_reason: str | None = None
    skip_reason: str | None = None
    parent: str | None = None
    waiting_for: str | None = None
    progress: Any = None

    @property
    def is_over(self) -> bool:
        """True once nothing about the run can change."""
        return self.status in TERMINAL


class StepRecord(Struct, frozen=True):
    """One line of a run's history. `about` is the event, signal or function that is waited for; `began_at_ms` is None
    if that is not known.
    """

    key: str
    kind: str
    status: str
    attempts: int = 0
    at_ms: int = 0
    took_ms: int = 0
    output: Any = None
    error: RecordedError | None = None
    began_at_ms: int | None = None
    about: str | None = None


class WorkerRecord(Struct, frozen=True):
    """A connected worker as the engine sees it. `free` are the slots that nothing was sent for."""

    instance: str
    apps: tuple[str, ...] = ()
    slots: int = 0
    free: int = 0
    held: int = 0
    draining: bool = False
    connected_at_ms: int = 0
    labels: dict[str, str] = {}


class Accepted(Struct, frozen=True):
    """An accepted event and the runs that it started; a delayed one starts them at `due_at_ms`."""

    id: str
    runs: tuple[str, ...] = ()
    due_at_ms: int = 0


class BulkResult(Struct, frozen=True):
    """How many runs were meant, and some of them."""

    count: int
    sample: tuple[str, ...] = ()


class _BulkPart(Struct):
    count: int
    sample: tuple[str, ...]
    cursor: str | None = None


class _Events(Struct):
    events: tuple[Accepted, ...]


class _Started(Struct):
    run: str


class _Steps(Struct):
    steps: tuple[StepRecord, ...]
    cursor: str | None = None


class _Workers(Struct):
    workers: tuple[WorkerRecord, ...]


class _Problem(Struct):
    title: str = ""
    detail: str = ""
    code: str = ""


def sending(events: Sequence[Event[Any]]) -> Request:
    """Ask to accept events, all or none."""
    check_events("send", events)
    return Request("POST", "/e", msgspec.json.encode([_outgoing(event) for event in events]))


def sent(answer: Answer) -> tuple[Accepted, ...]:
    """Return what became of the events, in their order."""
    return answered(answer, _Events).events


def starting(function: Function[Any, Any] | str, packed: bytes, key: str) -> Request:
    """Ask to start a run with an input as it is stored."""
    body = {"function": _id_of(function), "input_msgpack": b64encode(packed).decode(), "id": key or new_id("run")}
    return Request("POST", "/v1/runs", msgspec.json.encode(body))


def started(answer: Answer) -> str:
    """Return the id of the run that was started, now or by an earlier request with the same key."""
    return answered(answer, _Started).run


def reading(run: str, wait_ms: int = 0) -> Request:
    """Ask for a run; with `wait_ms` the engine answers when the run is over, or after so long."""
    return Request(
        "GET", f"/v1/runs/{quote(run, safe='')}" + (f"?wait_ms={wait_ms}" if wait_ms else ""), wait_ms=wait_ms
    )


def read(answer: Answer) -> RunRecord:
    """Return the run."""
    return answered(answer, RunRecord)


def reading_output(run: str) -> Request:
    """Ask for a completed run's output."""
    return Request("GET", f"/v1/runs/{quote(run, safe='')}/output", accept=MSGPACK)


def output(answer: Answer) -> bytes:
    """Return the output as it is stored."""
    return _succeeded(answer).body


class History:
    """A run's history, put together from pages: ask for `next` and `add` the answer until `is_whole`."""

    def __init__(self, run: str) -> None:
        self.is_whole: bool = False
        self._path = f"/v1/runs/{quote(run, safe='')}/steps"
        self._cursor: str | None = None
        self._lines: dict[str, StepRecord] = {}

    @property
    def next(self) -> Request:
        """Ask for the next page."""
        return Request("GET", self._path + ("" if self._cursor is None else f"?cursor={quote(self._cursor)}"))

    @property
    def lines(self) -> tuple[StepRecord, ...]:
        """What there is up to now, oldest first."""
        return tuple(self._lines.values())

    def add(self, answer: Answer) -> None:
        """Take a page. A line of an earlier page that it has again went on meanwhile."""
        page = answered(answer, _Steps)
        for line in page.steps:
            earlier = self._lines.get(line.key)
            self._lines[line.key] = line if earlier is None else gone_on(earlier, line)
        self._cursor = page.cursor
        self.is_whole = page.cursor is None


def gone_on(earlier: StepRecord, line: StepRecord) -> StepRecord:
    """The end of a wait does not say what it was for, and means nothing once the code has given the wait up."""
    if earlier.status == "closed":
        return earlier
    if line.kind == "wait":
        line = structs.replace(line, kind=earlier.kind, about=earlier.about)
    return line if line.began_at_ms else structs.replace(line, began_at_ms=earlier.began_at_ms)


def cancelling(run: str, reason: str = "", cleanup: Duration | None = None) -> Request:
    """Ask to cancel a run."""
    body = msgspec.json.encode(_cancellation(reason, cleanup))
    return Request("POST", f"/v1/runs/{quote(run, safe='')}/cancel", body)


def _cancellation(reason: str, cleanup: Duration | None) -> dict[str, Any]:
    said = {"reason": reason} if reason else {}
    return said if cleanup is None else {**said, "cleanup_ms": duration_ms(cleanup)}


def cancelled(answer: Answer) -> None:
    """Check that the cancellation was accepted."""
    _succeeded(answer)


def pausing(run: str) -> Request:
    """Ask to hold a run."""
    return Request("POST", f"/v1/runs/{quote(run, safe='')}/pause")


def resuming(run: str) -> Request:
    """Ask to let a held run go on."""
    return Request("POST", f"/v1/runs/{quote(run, safe='')}/resume")


def pausing_function(function: Function[Any, Any] | str, *, is_paused: bool) -> Request:
    """Ask that a function begins no new runs, or begins them again."""
    return Request("POST", f"/v1/functions/{quote(_id_of(function))}/{'pause' if is_paused else 'resume'}")


def accepted(answer: Answer) -> None:
    """Check that the engine did what it was asked for."""
    _succeeded(answer)


def rerunning(run: str, key: str) -> Request:
    """Ask for a run like this one."""
    return Request("POST", f"/v1/runs/{quote(run, safe='')}/rerun", msgspec.json.encode({"id": key or uuid4().hex}))


def forking(run: str, step: str, packed: bytes | None, key: str) -> Request:
    """Ask for a run that goes on from a step of this one, with another input if there is one, as it is stored."""
    body = {"step": step, "id": key or uuid4().hex}
    if packed is not None:
        body["input_msgpack"] = b64encode(packed).decode()
    return Request("POST", f"/v1/runs/{quote(run, safe='')}/fork", msgspec.json.encode(body))


class Bulk:
    """A change of many runs, in as many requests as it takes: ask for `next` and `add` the answer until `is_whole`.

    Each request names where the one before has ended, so that a repeat changes nothing twice.
    """

    def __init__(self, path: str, selection: Mapping[str, Any], *, dry_run: bool) -> None:
        self.is_whole: bool = False
        self.result: BulkResult = BulkResult(0)
        self._path = path
        self._body = {**selection, "dry_run": dry_run}

    @property
    def next(self) -> Request:
        """Ask for the next part."""
        return Request("POST", self._path, msgspec.json.encode(self._body))

    def add(self, answer: Answer) -> None:
        """Take an answer."""
        part = answered(answer, _BulkPart)
        self.result = BulkResult(self.result.count + part.count, self.result.sample or part.sample)
        self.is_whole = part.cursor is None
        if part.cursor is not None:
            self._body["cursor"] = int(part.cursor)


def cancelling_many(selection: Mapping[str, Any], reason: str, cleanup: Duration | None, *, dry_run: bool) -> Bulk:
    """Ask to cancel the runs of a selection."""
    return Bulk("/v1/bulk/cancel", {**selection, **_cancellation(reason, cleanup)}, dry_run=dry_run)


def rerunning_many(selection: Mapping[str, Any], key: str, *, dry_run: bool) -> Bulk:
    """Ask to start the runs of a selection once more."""
    return Bulk("/v1/bulk/rerun", {**selection, "request": key or uuid4().hex}, dry_run=dry_run)


def signalling(name: str, value: object, run: str, id: str) -> Request:
    """Ask to send a signal to a run, or to the oldest that waits for it."""
    path = f"/v1/runs/{quote(run, safe='')}/signals/" if run else "/v1/signals/"
    packed = encode(value, f"value of signal '{name}'")
    body = {"value_msgpack": b64encode(packed).decode(), "id": id or uuid4().hex}
    return Request("POST", path + quote(name, safe=""), msgspec.json.encode(body))


def signalled(answer: Answer) -> str:
    """Return the run that has the signal."""
    return answered(answer, _Started).run


def resolving(token: str, value: object) -> Request:
    """Ask to answer a callback, named by its token or by its whole address."""
    return Request("POST", "/c/" + quote(token.rpartition("/")[2], safe=""), encode_json(value, "answer to a callback"))


def resolved(answer: Answer) -> None:
    """Check that the answer was taken."""
    _succeeded(answer)


def listing_workers() -> Request:
    """Ask who is connected."""
    return Request("GET", "/v1/workers")


def listed_workers(answer: Answer) -> tuple[WorkerRecord, ...]:
    """Return the connected workers."""
    return answered(answer, _Workers).workers


def failure_of_run(record: RunRecord) -> Exception:
    """Return why a run that is over has no output. A cancelled one gives `RunFailed`: `CancelledError` would end the
    asking task.
    """
    if record.status == "skipped":
        return RunFailed(record.id, "RunSkipped", record.skip_reason or "the run was skipped")
    if record.error is None:
        return RunFailed(record.id, "RunCancelled", "the run was cancelled")
    error = record.error
    data = msgspec.msgpack.encode(error.data) if error.data is not None else b""
    return from_failure(Failure(error.type, error.message, data, error.stack), name=record.id)


def typed_output(function: Function[Any, Any] | None, data: bytes) -> Any:
    """Return a stored output with the function's type; plain data if the function is only known by its id."""
    return msgspec.msgpack.decode(data) if function is None else function.read_output(data)


def poll_ms(run: str, timeout: Duration | None, waited_ms: int) -> int:
    """Return how long the next request for a run's end may wait. Raises `TimeoutError` when the time is over."""
    if timeout is None:
        return POLL_MS
    left_ms = duration_ms(timeout) - waited_ms
    if left_ms <= 0:
        raise TimeoutError(f"run {run} is not over after {duration_ms(timeout) / 1000:g} s; it goes on")
    return min(POLL_MS, left_ms)


def _id_of(function: Function[Any, Any] | str) -> str:
    return function if isinstance(function, str) else function.id


def _outgoing(event: Event[Any]) -> dict[str, Any]:
    draft = draft_of(event)
    fields: dict[str, Any] = {
        "name": draft.name,
        "data": msgspec.Raw(draft.data),
        "id": draft.id or new_id("evt"),
        "ts": draft.ts_ms or None,
        "key": draft.key or None,
        "meta": draft.meta or None,
        "at_ms": event.at_ms or None,
        "delay_ms": event.delay_ms or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def answered(answer: Answer, kind: type[T]) -> T:
    """Return what the engine answered. Raises `EngineRefused` if it said no."""
    body = _succeeded(answer).body
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise EngineRefused(f"the engine's answer is not understood: {error}.", status=answer.status) from error


def _succeeded(answer: Answer) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    problem = _problem(answer.body)
    sentence = problem.detail or problem.title or f"the engine answered with status {answer.status}."
    raise EngineRefused(sentence, status=answer.status, code=problem.code)


def _problem(body: bytes) -> _Problem:
    """Return what the engine says; something between us and the engine may answer with anything."""
    try:
        return msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:
        return _Problem()
