"""What starts functions: events, schedules, and several of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar, Union

from msgspec import Struct
from onward_protocol import messages

E_co = TypeVar("E_co", covariant=True)
T = TypeVar("T")

TICK: Final = "onward/tick"
"""The name of the events that schedules make."""


class Source(Struct, frozen=True):
    """One thing that starts a function: events of a name, or (with `schedule`) the clock, and the type of the data."""

    event: str
    type: Any
    where: str = ""
    schedule: messages.Schedule | None = None


class Trigger(Generic[E_co]):
    """What starts a function. `a | b` stands for both, and the function's data is of either type."""

    def __init__(self, *sources: Source) -> None:
        self.sources: Final = sources

    def __or__(self, other: Trigger[T]) -> Trigger[E_co | T]:
        return Trigger(*self.sources, *other.sources)

    @property
    def data_type(self) -> Any:
        """The type of the data, a union if there are several."""
        return Union[tuple(source.type for source in self.sources)]  # noqa: UP007 - of as many as there are


def triggers_of(sources: tuple[Source, ...], when: str) -> tuple[messages.Trigger, ...]:
    """Return what the engine is told about events. `when` has to hold for all of them."""
    return tuple(messages.Trigger(one.event, _both(one.where, when)) for one in sources if one.schedule is None)


def schedules_of(sources: tuple[Source, ...]) -> tuple[messages.Schedule, ...]:
    """Return what the engine is told about schedules."""
    return tuple(one.schedule for one in sources if one.schedule is not None)


def types_of(sources: tuple[Source, ...]) -> Mapping[str, Any]:
    """Return the type of the data by the name of the event, prefixes among them."""
    return {one.event: one.type for one in sources}


def type_for(types: Mapping[str, Any], event: str) -> Any:
    """Return the type of an event's data: that of its very name, or of the longest prefix; None if there is none."""
    if event in types:
        return types[event]
    fitting = [name for name in types if name.endswith("*") and event.startswith(name[:-1])]
    return types[max(fitting, key=len)] if fitting else None


def _both(own: str, other: str) -> str:
    return f"({own}) && ({other})" if own and other else own or other
