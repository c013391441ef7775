"""Shapes: what comes back from a step, a child, a client or an event is the same value of the same type, the first time
and after a crash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest
from onward import App, CodecError, Context, Event, EventType, Function, Retry, register_type
from pydantic import BaseModel

from tests.acceptance.house import House
from tests.support.processes import note

functions = App("shapes")


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Line:
    item: str
    price: Decimal


@dataclass
class Order:
    lines: list[Line]
    due: date | None = None
    tags: set[str] = field(default_factory=set[str])


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int = 0


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


class Address(TypedDict):
    street: str
    number: int


class Pair(NamedTuple):
    left: int
    right: str


class User(BaseModel):
    name: str
    born: date


class Money:
    """A class of the user's, which only `register_type` makes keepable."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return self.cents

    def __repr__(self) -> str:
        return f"Money({self.cents})"


register_type(Money, lambda money: money.cents, Money)

BERLIN_WINTER = timezone(timedelta(hours=1))
SHAPES: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "bool": (bool, True),
    "int": (int, -7),
    "largest-int": (int, 2**64 - 1),
    "smallest-int": (int, -(2**63)),
    "float": (float, 0.1),
    "whole-float": (float, 3.0),
    "infinity": (float, float("inf")),
    "text": (str, "Grüße 👋 \x00 \u2028"),
    "empty-text": (str, ""),
    "long-text": (str, "x" * 1_000_000),
    "bytes": (bytes, bytes(range(256))),
    "list": (list[int], [1, 2, 3]),
    "empty-list": (list[str], []),
    "nested": (dict[str, list[dict[str, int]]], {"a": [{"b": 1}, {}]}),
    "int-keys": (dict[int, str], {1: "one"}),
    "uuid-keys": (dict[UUID, int], {UUID(int=5): 5}),
    "tuple": (tuple[int, str], (1, "a")),
    "open-tuple": (tuple[int, ...], (1, 2, 3)),
    "set": (set[int], {3}),
    "frozenset": (frozenset[str], frozenset({"a"})),
    "datetime-utc": (datetime, datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)),
    "datetime-offset": (datetime, datetime(2026, 1, 2, 3, 4, 5, tzinfo=BERLIN_WINTER)),
    "datetime-naive": (datetime, datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001 - as users have them
    "date": (date, date(2024, 2, 29)),
    "time": (time, time(23, 59, 59, 999999)),
    "timedelta": (timedelta, timedelta(days=-1, microseconds=1)),
    "decimal": (Decimal, Decimal("0.10")),
    "uuid": (UUID, UUID(int=2**127)),
    "enum": (Color, Color.RED),
    "int-enum": (Level, Level.HIGH),
    "literal": (Literal["yes", "no"], "yes"),
    "optional": (int | None, None),
    "union": (int | str | list[int], "7"),
    "dataclass": (Order, Order([Line("a", Decimal("1.50"))], date(2026, 1, 1), {"x"})),
    "struct": (Point, Point(1, 2)),
    "tagged-union": (Cat | Dog, Dog("Rex")),
    "typed-dict": (Address, Address(street="Main", number=5)),
    "named-tuple": (Pair, Pair(1, "b")),
    "pydantic": (User, User(name="Ann", born=date(2000, 1, 1))),
    "pydantic-list": (list[User], [User(name="Ann", born=date(2000, 1, 1))]),
    "registered": (Money, Money(199)),
    "registered-inside": (dict[str, Money], {"due": Money(5)}),
    "untyped": (Any, {"a": [1, 2.5, None, "x"]}),
}
each_shape = pytest.mark.parametrize("shape", SHAPES)

Seen = EventType("shapes/seen", str)


def described(value: object) -> str:
    """Return a value's type and content, so that True and 1, or 3 and 3.0, are not taken for the same."""
    text = repr(value)
    return f"{type(value).__qualname__}:{text if len(text) < 500 else hash_of(text)}"


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def maker(annotation: Any, value: Any) -> Callable[[], Any]:
    def make() -> Any:
        return value

    make.__annotations__["return"] = annotation
    return make


# -- a step's result


@functions.function(str)
async def keep(ctx: Context[str]) -> str:
    annotation, value = SHAPES[ctx.data]
    result = await ctx.step.run("make", maker(annotation, value))
    note("saw", ctx.data, described(result).encode("unicode_escape").decode())
    await ctx.wait_for_event(Seen)  # the worker is killed here
    return described(result)


@pytest.fixture(scope="module")
def after_a_crash(house: House) -> dict[str, str]:
    """What the code of all shapes saw at the end, after its worker was killed and everything was replayed."""
    runs = {shape: house.start(keep, shape) for shape in SHAPES}
    for run in runs.values():
        house.wait_status(run, "parked", "failed")
    house.replace_worker()
    house.send(Seen("now"))
    return {shape: house.result(run) for shape, run in runs.items()}


@pytest.mark.every_store
@each_shape
def test_a_result_is_the_same_the_first_time_and_after_a_crash(
    house: House, after_a_crash: dict[str, str], shape: str
) -> None:
    expected = described(SHAPES[shape][1])
    assert after_a_crash[shape] == expected
    line = f"saw {shape} {expected.encode('unicode_escape').decode()}"
    assert (house.lines(f"saw {shape} "), house.count(line)) == ([line.removeprefix(f"saw {shape} ")], 2)


# -- what goes into a run and comes out


def echo_of(shape: str) -> Function[Any, Any]:
    async def echo(ctx: Context[Any]) -> Any:
        assert described(ctx.data) == described(SHAPES[shape][1])
        return ctx.data

    echo.__annotations__["return"] = SHAPES[shape][0]
    return functions.function(SHAPES[shape][0], id=f"echo-{shape}")(echo)


ECHOES = {shape: echo_of(shape) for shape in SHAPES}


@functions.function(str)
async def parent(ctx: Context[str]) -> str:
    return described(await ctx.invoke(ECHOES[ctx.data], SHAPES[ctx.data][1]))


@each_shape
def test_an_input_and_a_result_are_the_same_at_both_ends_for_a_client_and_a_parent(house: House, shape: str) -> None:
    expected = described(SHAPES[shape][1])
    assert described(house.run(ECHOES[shape], SHAPES[shape][1])) == expected
    assert house.run(parent, shape) == expected


# -- events


def event_of(shape: str) -> EventType[Any]:
    event = EventType[Any](f"shapes/{shape}", SHAPES[shape][0])

    async def receive(ctx: Context[Any]) -> str:
        return described(ctx.data)

    functions.on(event, id=f"receive-{shape}")(receive)
    return event


IN_EVENTS = [shape for shape in SHAPES if shape not in {"infinity", "long-text"}]
"""JSON has no infinity, and events have less space."""

EVENTS = {shape: event_of(shape) for shape in IN_EVENTS}


@pytest.mark.parametrize("shape", IN_EVENTS)
def test_the_data_of_an_event_is_the_same_at_both_ends(house: House, shape: str) -> None:
    value = SHAPES[shape][1]
    [run] = house.send(EVENTS[shape](value))
    assert house.result(run) == described(value)


# -- what cannot be kept


@functions.function(int, retry=Retry(attempts=1))
async def hopeless(ctx: Context[int]) -> str:
    await ctx.step.run(f"hopeless-{ctx.data}", HOPELESS[ctx.data][0])
    return "kept"


def to_socket() -> Any:
    import socket

    with socket.socket() as one:
        return one


def to_itself() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


HOPELESS: list[tuple[Callable[[], Any], str]] = [
    (to_socket, "socket"),
    (lambda: 2**64, "an integer has more than 64 bits"),
    (lambda: "\ud800", "surrogates"),
    (to_itself, "recursion"),
]


@pytest.mark.parametrize("number", range(len(HOPELESS)))
def test_a_result_that_cannot_be_kept_fails_its_step_by_name_and_reason(house: House, number: int) -> None:
    error = house.failure(house.start(hopeless, number))
    assert (getattr(error, "type", ""), getattr(error, "name", "")) == ("CodecError", f"hopeless-{number}")
    assert HOPELESS[number][1] in str(error)


@functions.function(str)
async def wrongly_annotated(ctx: Context[str]) -> Any:
    return await ctx.step.run("seven", maker(int, ctx.data)) + 1


def test_a_result_of_another_type_than_its_annotation_is_never_handed_to_code(house: House) -> None:
    error = house.failure(house.start(wrongly_annotated, "7"))
    assert isinstance(error, CodecError)
    assert "result of step 'seven' cannot be read with its annotation: Expected `int`, got `str`" in str(error)


@functions.function(int)
async def returns_nonsense(ctx: Context[int]) -> Any:
    return HOPELESS[ctx.data][0]()


def test_a_run_whose_result_cannot_be_kept_fails_and_says_which_function(house: House) -> None:
    error = house.failure(house.start(returns_nonsense, 0))
    assert isinstance(error, CodecError)
    assert "function 'shapes/returns_nonsense'" in str(error)


def test_an_input_that_does_not_fit_fails_the_run_with_the_reason(house: House) -> None:
    error = house.failure(house.client.start("shapes/echo-int", "seven"))
    assert isinstance(error, CodecError)
    assert "input of function 'shapes/echo-int' cannot be read with its annotation: Expected `int`" in str(error)


def test_an_event_whose_data_has_another_shape_fails_the_run_with_the_reason(house: House) -> None:
    [run] = house.send(Event("shapes/dataclass", {"lines": "none"}))
    assert "Expected `array`, got `str` - at `$.lines`" in str(house.failure(run))


def test_infinity_in_an_event_is_null_and_says_so_to_a_function_that_wants_a_number(house: House) -> None:
    [run] = house.send(Event("shapes/float", float("inf")))
    assert "Expected `float`, got `null`" in str(house.failure(run))
