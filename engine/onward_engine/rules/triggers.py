"""Which functions an event starts, found by its name and its data without looking at every function."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from onward_protocol.messages import AppManifest, Event, FunctionManifest, Trigger

from .conditions import TRIGGER, Subject, index_terms, problem
from .expressions import Expression, ExpressionError, condition
from .paths import canonical, find, index_key


def trigger_problem(function: FunctionManifest) -> str | None:
    """Say which trigger of a function can never be right; None if all can."""
    for trigger in function.triggers:
        if "*" in trigger.event[:-1]:
            return f"{function.id}, trigger {trigger.event!r}: a '*' stands elsewhere than at the end"
        if trigger.where and (found := problem(trigger.where, TRIGGER)):
            return f"{function.id}, option 'when' of its trigger {trigger.event}: {found}"
    return None


class Triggered(Struct, frozen=True):
    """What an event starts, ordered by id, and the functions that it may or may not start, each with the reason."""

    functions: tuple[FunctionManifest, ...]
    unclear: tuple[tuple[FunctionManifest, str], ...] = ()


_NO_LIMITS: Mapping[tuple[str, str], int] = {}


class Catalog:
    """All registered functions, indexed by id and by what triggers them.

    `functions` is keyed by id, `paused` are the ids of those that begin no new runs. `limits` are those that were set
    while the engine runs, by function id and option; they count instead of what the function declares.
    """

    def __init__(
        self,
        apps: Iterable[AppManifest] = (),
        paused: Iterable[str] = (),
        limits: Mapping[tuple[str, str], int] = _NO_LIMITS,
    ) -> None:
        """Build the index. It costs a pass over all functions, so keep it until a manifest changes."""
        self.paused: frozenset[str] = frozenset(paused)
        self.limits: Mapping[tuple[str, str], int] = dict(limits)
        self.functions: dict[str, FunctionManifest] = {}
        self._exact: dict[str, _Branch] = defaultdict(_Branch)
        self._prefixes: dict[str, _Branch] = defaultdict(_Branch)
        for app in apps:
            for function in app.functions:
                self._add(function)
        self._prefix_sizes = sorted({len(prefix) for prefix in self._prefixes})

    def starts(self, event: str) -> list[FunctionManifest]:
        """Return the functions that an event of this name may start, each once, ordered by id."""
        found = {function for branch in self._branches(event) for function in branch.functions}
        return [self.functions[function] for function in sorted(found)]

    def triggered(self, event: Event) -> Triggered:
        """Return the functions that this event starts."""
        subject = Subject(event)
        started: set[str] = set()
        unclear: dict[str, str] = {}
        for branch in self._branches(event.name):
            started |= branch.always
            for trigger in branch.candidates(subject):
                if trigger.function not in started:
                    _try(trigger, subject, started, unclear)
        return Triggered(
            tuple(self.functions[function] for function in sorted(started)),
            tuple((self.functions[id], reason) for id, reason in sorted(unclear.items()) if id not in started),
        )

    def _branches(self, event: str) -> Iterator[_Branch]:
        if event in self._exact:
            yield self._exact[event]
        for size in self._prefix_sizes:
            if event[:size] in self._prefixes:
                yield self._prefixes[event[:size]]

    def _add(self, function: FunctionManifest) -> None:
        self.functions[function.id] = function
        for trigger in function.triggers:
            is_prefix = trigger.event.endswith("*")
            branch = self._prefixes[trigger.event[:-1]] if is_prefix else self._exact[trigger.event]
            branch.add(function.id, trigger)


class _Conditioned(Struct, frozen=True):
    """A trigger that asks for more than the name."""

    function: str
    where: Expression | str  # an engine before this one may have taken a text that this one cannot read: then why


class _Branch:
    """The triggers for one name or prefix. Those with an equality are found by its path and value."""

    def __init__(self) -> None:
        self.functions: set[str] = set()
        self.always: set[str] = set()
        self._conditioned: dict[str, dict[bytes, list[_Conditioned]]] = {}

    def add(self, function: str, trigger: Trigger) -> None:
        """Add a trigger of a function."""
        self.functions.add(function)
        if not trigger.where:
            self.always.add(function)
            return
        path, value, where = _read(trigger.where)
        self._conditioned.setdefault(path, {}).setdefault(value, []).append(_Conditioned(function, where))

    def candidates(self, subject: Subject) -> Iterator[_Conditioned]:
        """Return the triggers whose equality holds, and those without one."""
        for path, values in self._conditioned.items():
            yield from values.get(index_key(find(subject.event.data, path)) if path else b"", ())


def _read(where: str) -> tuple[str, bytes, Expression | str]:
    try:
        expression = condition(where, TRIGGER)
    except ExpressionError as error:
        return "", b"", str(error)
    term = next(iter(index_terms(expression)), None)
    return ("", b"", expression) if term is None else (term.path, index_key(canonical(term.value)), expression)


def _try(trigger: _Conditioned, subject: Subject, started: set[str], unclear: dict[str, str]) -> None:
    if isinstance(trigger.where, str):
        unclear[trigger.function] = trigger.where
        return
    try:
        if trigger.where.holds(subject.document):
            started.add(trigger.function)
    except ExpressionError as error:
        unclear[trigger.function] = str(error)
