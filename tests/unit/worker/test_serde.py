import enum
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from onward import CodecError, ConfigError, register_type
from onward.values.serde import check_type, decoder_for, encode, encode_json, json_decoder_for
from pydantic import BaseModel, Field


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Node:
    name: str
    at: datetime
    children: list["Node"] = field(default_factory=list["Node"])


class Struct(msgspec.Struct):
    x: int


class Dict(TypedDict):
    x: int
    tags: list[str]


class Pair(NamedTuple):
    left: int
    right: str


class Model(BaseModel):
    id: int = Field(alias="ID")
    at: datetime
    address: IPv4Address


@dataclass
class WithModel:
    model: Model | None


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]  # only compared


register_type(Point, lambda point: {"x": point.x}, lambda data: Point(data["x"]))

INDIA = timezone(timedelta(hours=5, minutes=30))
MODEL = Model(ID=1, at=datetime(2024, 1, 1, tzinfo=INDIA), address=IPv4Address("10.0.0.1"))

VALUES: list[tuple[Any, Any]] = [
    (None, None),
    (True, bool),
    (-(2**63), int),
    (2**64 - 1, int),
    (0.1, float),
    ("ä\0", str),
    (b"\xff\x00", bytes),
    ([1, 2], list[int]),
    ((1, "a"), tuple[int, str]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ({"a": None}, dict[str, int | None]),
    ({date(2024, 1, 1): [b"x"]}, dict[date, list[bytes]]),
    (datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=INDIA), datetime),
    (datetime(2024, 2, 29, 1, 2), datetime),  # noqa: DTZ001 - naive ones stay naive
    (time(1, 2), time),
    (timedelta(days=-3, microseconds=7), timedelta),
    (Decimal("9.90"), Decimal),
    (uuid.UUID(int=7), uuid.UUID),
    (Colour.RED, Colour),
    (Level.HIGH, Level),
    ("a", Literal["a", "b"]),
    (Node("a", datetime(2024, 1, 1, tzinfo=UTC), [Node("b", datetime(2024, 1, 2, tzinfo=UTC))]), Node),
    (Struct(1), Struct),
    (Dict(x=1, tags=["a"]), Dict),
    (Pair(1, "a"), Pair),
    (MODEL, Model),
    ([WithModel(MODEL), WithModel(None)], list[WithModel]),
    ({"a": Point(1)}, dict[str, Point]),
]


@pytest.mark.parametrize(("value", "annotation"), VALUES)
def test_a_value_comes_back_as_it_was(value: Any, annotation: Any) -> None:
    check_type(annotation, "value")
    copy = decoder_for(annotation)(encode(value))
    assert copy == value
    assert type(copy) is type(value)


@pytest.mark.parametrize(("value", "annotation"), VALUES)
def test_a_value_comes_back_from_json_too(value: Any, annotation: Any) -> None:
    assert json_decoder_for(annotation)(encode_json(value)) == value


def test_a_datetime_keeps_its_offset() -> None:
    copy = decoder_for(datetime)(encode(datetime(2024, 1, 1, tzinfo=INDIA)))
    assert copy.utcoffset() == timedelta(hours=5, minutes=30)


def test_json_that_became_messagepack_on_its_way_reads_the_same() -> None:
    node = Node("a", datetime(2024, 1, 1, tzinfo=INDIA))
    assert decoder_for(Node)(msgspec.msgpack.encode(msgspec.json.decode(encode_json(node)))) == node


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (2**64, "more than 64 bits"),
        ([-(2**63) - 1], "more than 64 bits"),
        (Fraction(1, 3), "no encoding for Fraction"),
        ({"a": [object()]}, "no encoding for object"),
        (lambda: 1, "no encoding for function"),
    ],
)
def test_what_cannot_be_encoded_is_named_with_its_reason(value: object, reason: str) -> None:
    with pytest.raises(
        CodecError, match=rf"result of step 'load' \({type(value).__name__}\) cannot be encoded: .*{reason}"
    ):
        encode(value, "result of step 'load'")


def test_an_encoder_that_fails_is_the_values_fault() -> None:
    class Grumpy:
        pass

    def refuse(_: Grumpy) -> None:
        raise KeyError("mood")

    register_type(Grumpy, refuse, lambda _: Grumpy())
    with pytest.raises(CodecError, match="mood"):
        encode(Grumpy())


def test_bytes_that_do_not_fit_the_annotation_are_named() -> None:
    words = r"result of step 'load' cannot be read with its annotation: Expected `int`.*fits the annotation"
    with pytest.raises(CodecError, match=words):
        decoder_for(int, "result of step 'load'")(encode("text"))


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Node | WithModel, "more than one dataclass"),
        (list[Fraction], "Fraction"),
        (dict[str, complex | None], "complex"),
    ],
)
def test_a_type_that_cannot_be_kept_is_found_before_there_is_a_value(annotation: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"result of step 'load' cannot be kept: .*{reason}"):
        check_type(annotation, "result of step 'load'")


def test_a_subclass_of_a_registered_type_is_encoded_like_it() -> None:
    class Special(Point):
        pass

    assert decoder_for(Point)(encode(Special(3))) == Point(3)


@pytest.mark.parametrize("cls", [Node, Decimal, Pair, int])
def test_registering_what_is_native_is_refused_because_it_would_be_ignored(cls: type[Any]) -> None:
    with pytest.raises(ConfigError, match="would be ignored"):
        register_type(cls, str, cls)


def test_text_and_number_subclasses_are_kept_as_their_base() -> None:
    class Markup(str):
        __slots__ = ()

    assert decoder_for(Any)(encode([Markup("a")])) == ["a"]
