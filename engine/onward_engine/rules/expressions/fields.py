"""Closures that read fields and items. What is not there is null, whatever the reason."""

from __future__ import annotations

from typing import cast

from .frame import Evaluate, Frame
from .values import Value


def chain(slot: int, keys: tuple[str | int, ...]) -> Evaluate:
    """Return a variable, or what the keys lead to from there."""
    if not keys:
        return lambda frame: frame[slot]
    if len(keys) == 2 and isinstance(keys[0], str) and isinstance(keys[1], str):
        return _field_of_field(slot, keys[0], keys[1])
    first, rest = select(lambda frame: frame[slot], keys[0]), keys[1:]
    return first if not rest else _further(first, rest)


def _field_of_field(slot: int, key: str, field: str) -> Evaluate:
    """Return `event.data.field`, of which conditions are made."""

    def read(frame: Frame) -> Value:
        value = frame[slot]
        value = value.get(key) if isinstance(value, dict) else None
        return value.get(field) if isinstance(value, dict) else None

    return read


def _further(of: Evaluate, keys: tuple[str | int, ...]) -> Evaluate:
    def read(frame: Frame) -> Value:
        value = of(frame)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else item(value, key)
        return value

    return read


def select(of: Evaluate, field: str | int) -> Evaluate:
    """Return `of.field`."""

    def read(frame: Frame) -> Value:
        return item(of(frame), field)

    return read


def index(of: Evaluate, at: Evaluate) -> Evaluate:
    """Return `of[at]`."""
    return lambda frame: item(of(frame), at(frame))


def item(value: Value, key: Value) -> Value:
    """Return what stands at a key or a place; null if there is nothing."""
    if isinstance(value, dict):
        is_key = isinstance(key, str | int | float) and type(key) is not bool
        return value.get(cast("str", key)) if is_key else None  # 1.0 finds the key 1
    if isinstance(value, list) and (type(key) is int or (type(key) is float and key.is_integer())):
        return value[int(key)] if 0 <= key < len(value) else None
    return None


def has(of: Evaluate, field: str) -> Evaluate:
    """Return whether there is such a field; it may be null."""

    def is_there(frame: Frame) -> Value:
        value = of(frame)
        return isinstance(value, dict) and field in value

    return is_there
