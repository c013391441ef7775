"""What the engine watches runs for from their beginning on: see `rules.watches`."""

from __future__ import annotations

from onward_protocol.messages import CancelRule, Event, FunctionManifest, Sleep

from ...model import Run
from ...rules import conditions, watches
from ...rules.conditions import Subject
from ...rules.expressions import ExpressionError
from ..port import Unclear
from ..tables import OpenWait
from .context import Work


def open_all(work: Work, run: Run, function: FunctionManifest, event: Event | None) -> None:
    """Watch a new run for what its function says. `event` is the one that it begins with."""
    for index, rule in enumerate(function.cancel_on):
        due_at_ms = None if rule.timeout_ms is None else work.now_ms + rule.timeout_ms
        _open_rule(work, run, watches.rule_key(index), rule, event, due_at_ms)
    if function.start_timeout_ms is not None:
        _set(work, run, watches.START_KEY, function.start_timeout_ms)


def watch_gathering(work: Work, run: Run, function: FunctionManifest, event: Event) -> None:
    """Watch a run that gathers events for those that cancel it. Nothing of it is late before it is to begin."""
    for index, rule in enumerate(function.cancel_on):
        _open_rule(work, run, watches.rule_key(index), rule, event)


def rebind(work: Work, run: Run, function: FunctionManifest, event: Event) -> None:
    """Let another event be the one that a run begins with."""
    for index, rule in enumerate(function.cancel_on):
        wait = work.tables.wait(run.ord, watches.rule_key(index))
        if wait is not None:
            _open_rule(work, run, wait.key, rule, event, wait.due_at_ms)


def begin(work: Work, run: Run) -> None:
    """Watch how long a run takes, now that its first worker has it."""
    function = work.tables.catalog().functions.get(run.function)
    if function is None:
        return
    if function.start_timeout_ms is not None:
        work.tables.drop_wait(run.ord, watches.START_KEY)
    if function.finish_timeout_ms is not None:
        _set(work, run, watches.FINISH_KEY, function.finish_timeout_ms)


def _set(work: Work, run: Run, key: str, limit_ms: int) -> None:
    work.tables.put_wait(OpenWait(run.ord, key, Sleep(limit_ms), work.now_ms + limit_ms))


def _open_rule(
    work: Work, run: Run, key: str, rule: CancelRule, event: Event | None, due_at_ms: int | None = None
) -> None:
    """A rule that cannot be read on the run's own event cancels nothing, and somebody hears of it."""
    wait = watches.wait_of(rule, event, run.input)
    if wait.where:
        try:
            wait = conditions.bound(wait, _own(run, event))
        except ExpressionError as error:
            reason = f"option 'cancel_on', event {rule.event}: {error}"
            work.notices.unclear.append(Unclear(run.function, event.id if event else "", reason, run.id))
            return
    work.tables.put_wait(OpenWait(run.ord, key, wait, due_at_ms))


def _own(run: Run, event: Event | None) -> conditions.Document:
    return Subject(event).document if event else conditions.document_of_input(run.input)
