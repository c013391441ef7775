"""Whether a program of flow control was played as its functions say, told from who began, parked and ended when: from
none of the books in which the engine keeps places, lines and counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import msgspec
from onward_engine.model import Assignment, Run, Status
from onward_engine.store.port import Claim, Ingest, Op, PauseRun, StartRun
from onward_protocol.ids import derived_id
from onward_protocol.messages import AppManifest, DebounceRule, FunctionManifest, ThrottleRule

from tests.support.flow_turns import Burst, Turns

Data = Mapping[str, Any]
INSIDE = (Status.ASSIGNED, Status.ORPHANED)
LATE_MS = 5
"""A throttle may let somebody in so much later than it could: one after the other."""


class Arrival(NamedTuple):
    """An event that began a run of a function, or was skipped."""

    at_ms: int
    data: Data
    run: str


@dataclass
class Judge:
    """Looks on while a program is played. `problems` says what went wrong."""

    app: AppManifest
    has_changes: bool = False
    problems: list[str] = field(default_factory=list[str])
    _has_room_since: dict[str, int] = field(default_factory=dict[str, int])
    _skipped: set[str] = field(default_factory=set[str])
    _paused: set[str] = field(default_factory=set[str])
    _data: dict[str, Data] = field(default_factory=dict[str, Data])
    _arrivals: defaultdict[str, list[Arrival]] = field(default_factory=lambda: defaultdict(list))
    _joined: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _starts: defaultdict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    _turns: defaultdict[Hashable, Turns] = field(default_factory=lambda: defaultdict(Turns))
    _bursts: dict[Hashable, Burst] = field(default_factory=dict[Hashable, Burst])

    def look(self, op: Op[Any], outcome: Any, runs: Collection[Run], waiting: Sequence[Run]) -> None:
        """Look at what an operation did. `runs` are all runs, `waiting` those that nobody has begun and that could be
        begun if there is room.
        """
        match op:
            case Ingest() if not any(accepted.conflict for accepted in outcome):
                self._skipped |= {run.id for run in runs if run.status is Status.SKIPPED}
                for new, accepted in zip(op.events, outcome, strict=True):
                    if not accepted.duplicate:
                        self._arrive(op.now_ms, new.event.id, new.event.name, new.event.data, accepted.runs)
                self.problems += self._pairs(runs)
            case PauseRun():
                self._paused.add(op.run)
            case StartRun():
                self._data[op.run] = msgspec.msgpack.decode(op.input)
            case Claim():
                for assignment in assignments(outcome):
                    if assignment.run.epoch == 1:
                        self._begin(op.now_ms, assignment.run, waiting)
            case _:
                pass
        if not self.has_changes:
            self.problems += self._crowds(runs)

    def end(self, runs: Sequence[Run]) -> list[str]:
        """Return all that went wrong, when everything is over."""
        for function in self.app.functions:
            own = [run for run in runs if run.function == function.id]
            self.problems += [f"{function.id}: {problem}" for problem in self._history(function, own)]
        return self.problems

    # -- what happens

    def _arrive(self, at_ms: int, event: str, name: str, raw: bytes, runs: Sequence[str]) -> None:
        data: Data = msgspec.json.decode(raw)
        triggered = [one for one in self.app.functions if any(trigger.event == name for trigger in one.triggers)]
        if len(runs) != len(triggered):
            self.problems.append(f"{event} has {runs} of {[one.id for one in triggered]}")
        for function in triggered:
            own = derived_id("run", event, function.id)
            if own in runs:
                self._data[own] = data
                self._arrivals[function.id].append(Arrival(at_ms, data, own))
            self._joined[function.id].append(event)
            if function.debounce and not function.idempotency:
                self._extend(at_ms, function.id, function.debounce, own, runs, data)

    def _extend(self, at_ms: int, function: str, rule: DebounceRule, own: str, runs: Sequence[str], data: Data) -> None:
        value = (function, value_of(data, rule.key))
        burst = self._bursts.get(value)
        if own in runs and own not in self._skipped:
            self._bursts[value] = Burst(own, rule, at_ms)
        elif burst is not None and burst.run in runs and at_ms < burst.until_ms:
            burst.extend(at_ms)

    def _begin(self, at_ms: int, run: Run, waiting: Sequence[Run]) -> None:
        function = self._function(run)
        self._starts[run.function].append((at_ms, run.id))
        if function.debounce or function.batch:
            early = [one for one in self._bursts.values() if one.run == run.id and at_ms < one.until_ms]
            self.problems += [f"{run.id} began before {one.until_ms}" for one in early]
            return
        line = self._line(run)
        alike = [one for one in waiting if one.function == run.function and self._line(one) == line]
        self._judge_order(function, run, [one for one in alike if one.id not in self._paused])  # those lost their turn

    def _judge_order(self, function: FunctionManifest, run: Run, waiting: Sequence[Run]) -> None:
        if function.fair is None:
            passed = [one for one in waiting if self._order(function, one) < self._order(function, run)]
            self.problems += [f"{run.id} began before {one.id}, which stood before it" for one in passed]
        elif not function.fair.weight and _is_one_line(function):
            turns, source = self._turns[function.id, self._line(run)], function.fair.key
            self.problems += turns.begin(self._value(run, source), {self._value(one, source) for one in waiting})

    def _order(self, function: FunctionManifest, run: Run) -> tuple[int, int, int]:
        shift = self._data[run.id]["p"] if function.priority else 0
        if shift == "urgent":
            return 0, 0, run.ord
        return 1, run.created_at_ms - shift * 1_000 if function.priority else 0, run.ord

    # -- what is true at any moment

    def rest(self, now_ms: int, runs: Collection[Run], waiting: Sequence[Run]) -> None:
        """Look at who waits although everything that is due has been fired, and a worker has asked for more in vain."""
        crowds = self._count(runs)
        for run in waiting if not self.has_changes else ():
            function = self._function(run)
            limits = [*(limit.limit for limit in function.concurrency), 1]  # as `_lanes` names them
            is_full = any(crowds[lane] >= limit for (lane, _), limit in zip(self._lanes(run), limits, strict=False))
            if is_full or (function.throttle and self._is_throttled(now_ms, function, function.throttle, run)):
                self._has_room_since.pop(run.id, None)
            elif now_ms - self._has_room_since.setdefault(run.id, now_ms) >= (LATE_MS if function.throttle else 0):
                self.problems.append(f"{run.id} waits at {now_ms} although there is room for it")

    def _is_throttled(self, now_ms: int, function: FunctionManifest, rule: ThrottleRule, run: Run) -> bool:
        value = self._value(run, rule.key)
        starts = [at_ms for at_ms, one in self._starts[function.id] if value_of(self._data[one], rule.key) == value]
        interval_ms, on_time_ms = rule.period_ms / rule.limit, 0.0
        for at_ms in starts:
            on_time_ms = max(on_time_ms, at_ms) + interval_ms
        return now_ms < on_time_ms - (rule.burst - 1) * interval_ms

    def _count(self, runs: Iterable[Run]) -> Counter[Hashable]:
        """Return how many are inside of each limit."""
        crowds: Counter[Hashable] = Counter()
        for run in runs:
            is_begun = bool(run.started_at_ms) and not run.status.is_terminal
            for lane, is_whole in self._lanes(run):
                crowds[lane] += run.status in INSIDE or (is_whole and is_begun)
        return crowds

    def _crowds(self, runs: Iterable[Run]) -> Iterator[str]:
        for lane, count in self._count(runs).items():
            if count > self._limit(lane):
                yield f"{count} are inside of {lane}, where {self._limit(lane)} may be"

    def _pairs(self, runs: Iterable[Run]) -> Iterator[str]:
        """Return the singletons of which events have started two that are to go on."""
        going = Counter(
            (run.function, self._value(run, function.singleton.key))
            for run in runs
            if (function := self._function(run)).singleton and run.events and not run.status.is_terminal
            if run.cancel_reason is None
        )
        yield from (f"{count} of {value} go on" for value, count in going.items() if count > 1)

    def _lanes(self, run: Run) -> list[tuple[Hashable, bool]]:
        """Name the limits that a run is under, and whether it keeps its place while it is parked."""
        function = self._function(run)
        scopes = {"function": function.id, "app": "app", "environment": "all"}
        lanes: list[tuple[Hashable, bool]] = [
            ((scopes[limit.scope], limit.key, self._value(run, limit.key)), limit.of == "run")
            for limit in function.concurrency
        ]
        if function.singleton:
            lanes.append((("singleton", function.id, self._value(run, function.singleton.key)), True))
        return lanes

    def _line(self, run: Run) -> Hashable:
        """Two runs of a function with the same line are under the same limits."""
        throttle = self._function(run).throttle
        return tuple(self._lanes(run)), self._value(run, throttle.key if throttle else "")

    def _limit(self, lane: Any) -> int:
        scope, source, _ = lane
        if scope == "singleton":
            return 1
        return max(
            limit.limit
            for function in self.app.functions
            for limit in function.concurrency
            if limit.key == source and scope in (function.id, {"app": "app", "environment": "all"}.get(limit.scope))
        )

    def _value(self, run: Run, source: str) -> Hashable:
        return value_of(self._data[run.id], source)

    def _function(self, run: Run) -> FunctionManifest:
        return next(one for one in self.app.functions if one.id == run.function)

    # -- what is true of the whole

    def _history(self, function: FunctionManifest, runs: Sequence[Run]) -> Iterator[str]:
        skipped = {run.id for run in runs if run.status is Status.SKIPPED}
        arrivals = self._arrivals[function.id]
        begun = [one for one in arrivals if one.run not in skipped]
        if skipped and not (function.rate_limit or function.singleton):
            yield f"{skipped} were skipped"
        if not self.has_changes:
            yield from self._pace(function)
            yield from _rate(function, arrivals, skipped)
        yield from _repeats(function, begun)
        if function.batch or (function.debounce and function.debounce.deliver == "all"):
            yield from self._deliveries(function, runs)

    def _pace(self, function: FunctionManifest) -> Iterator[str]:
        rule = function.throttle
        starts: defaultdict[Hashable, list[int]] = defaultdict(list)
        for at_ms, run in self._starts[function.id] if rule else ():
            starts[value_of(self._data[run], rule.key if rule else "")].append(at_ms)
        for value, moments in starts.items():
            for first, began_ms in enumerate(moments):
                for count, at_ms in enumerate(moments[first:]):
                    if rule and (at_ms - began_ms) * rule.limit < (count + 1 - rule.burst) * rule.period_ms:
                        yield f"{count + 1} runs of {value} began within {at_ms - began_ms} ms"

    def _deliveries(self, function: FunctionManifest, runs: Sequence[Run]) -> Iterator[str]:
        delivered = Counter(event for run in runs for event in run.events)
        yield from (f"{event} was delivered {count} times" for event, count in delivered.items() if count > 1)
        if not function.idempotency:
            yield from (f"{event} is in no run" for event in self._joined[function.id] if not delivered[event])
        if function.batch:
            yield from (f"{run.id} has {len(run.events)}" for run in runs if len(run.events) > function.batch.size)


def _is_one_line(function: FunctionManifest) -> bool:
    """Tell whether all runs of a function are under the same limits: tenants take turns over all that it runs, not over
    each part of it.
    """
    keys = [limit.key for limit in (*function.concurrency, function.throttle, function.singleton) if limit]
    return not any(keys)


def assignments(outcome: object) -> list[Assignment]:
    """Return what a claim has taken; nothing if it was no claim."""
    found = cast("tuple[object, ...]", outcome) if isinstance(outcome, tuple) else ()
    return [one for one in found if isinstance(one, Assignment)]


def value_of(data: Data, source: str) -> Hashable:
    """Return the value of a key: a path into the data, or a list of them."""
    return tuple(data[path.strip().rpartition(".")[2]] for path in source.strip("[]").split(",") if path)


def _rate(function: FunctionManifest, arrivals: Sequence[Arrival], skipped: set[str]) -> Iterator[str]:
    """Return what was let through too much, and what was skipped although there was room."""
    rule = function.rate_limit
    for number, one in enumerate(arrivals) if rule else ():
        assert rule is not None, "there is a rule"
        value = value_of(one.data, rule.key)
        before = sum(
            other.run not in skipped and one.at_ms - other.at_ms < rule.period_ms
            for other in arrivals[:number]
            if value_of(other.data, rule.key) == value
        )
        if one.run not in skipped and before >= rule.limit:
            yield f"{one.run} began although {before} of {value} had"
        if one.run in skipped and before < rule.limit and not function.singleton:
            yield f"{one.run} was skipped although only {before} of {value} had begun"


def _repeats(function: FunctionManifest, begun: Sequence[Arrival]) -> Iterator[str]:
    """Return who began a run although its key was remembered."""
    rule = function.idempotency
    newest: dict[Hashable, int] = {}
    for one in begun if rule else ():
        assert rule is not None, "there is a rule"
        value = value_of(one.data, rule.key)
        if one.at_ms - newest.get(value, -rule.ttl_ms) < rule.ttl_ms:
            yield f"{one.run} began although {value} was remembered"
        newest[value] = one.at_ms
