"""A function that another process executes: which functions can be found there, and who brings a call to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final

from msgspec import Struct

from onward.errors import ConfigError
from onward.values.callables import place_of
from onward.values.serde import Decoder


class Address(Struct, frozen=True):
    """Where a function stands: its module, and its name path in there, such as "Shop.charge"."""

    module: str
    path: str


class Elsewhere:
    """The function of a step, called in another process if somebody carries calls there, and otherwise here."""

    __slots__ = ("address", "decode", "fn", "label")

    def __init__(self, fn: Callable[..., Any], label: str, decode: Decoder) -> None:
        self.fn: Final = fn
        self.label: Final = label
        self.decode: Final = decode
        """Reads what comes back, which is what will be kept."""
        self.address: Final = address_of(fn, label)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return its result, or raise what it raises, wherever that is."""
        carry = carrier.get()
        return self.fn(*args, **kwargs) if carry is None else carry(self, args, kwargs)


Carry = Callable[[Elsewhere, tuple[Any, ...], Mapping[str, Any]], Any]

carrier: ContextVar[Carry | None] = ContextVar("onward_carrier", default=None)
"""Brings the calls of the attempt that executes here to another process, and blocks until they are back."""


def address_of(fn: Callable[..., Any], label: str) -> Address:
    """Return where `fn` stands. Raises `ConfigError` naming `label` if it does not stand in a module by its name, or if
    there are no processes that could be ended.
    """
    if not hasattr(os, "killpg"):
        raise ConfigError(f"{label}, option 'executor': processes for steps need a POSIX system.", code="E0130")
    if getattr(sys, "frozen", False) or not sys.executable:  # it would start all of the program again, and again
        raise ConfigError(f"{label}, option 'executor': a frozen program has no interpreter to start.", code="E0130")
    address = Address(getattr(fn, "__module__", None) or "", getattr(fn, "__qualname__", ""))
    is_bound = not isinstance(getattr(fn, "__self__", None), ModuleType | None)  # C's are bound to their module
    if not address.module or not address.path or "<" in address.path or is_bound:
        raise _lost(fn, label, "it does not stand in a module by a name of its own")
    return address


def check_address(fn: Callable[..., Any], label: str) -> None:
    """Raise `ConfigError` naming `label` if `fn` is not what stands at its address, once its module is complete."""
    address = address_of(fn, label)
    module = sys.modules.get(address.module)
    if address.module == "__main__" and not hasattr(module, "__file__"):
        raise _lost(fn, label, "the program that was started is no file")
    if module is not None and function_at(module, address.path) is not fn:
        raise _lost(fn, label, f"{address.module}.{address.path} is something else")


def function_at(module: ModuleType, path: str) -> Any:
    """Return the function, without what `step` has made of it; None if nothing has this name."""
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name, None)
    return getattr(found, "fn", found)


def _lost(fn: Callable[..., Any], label: str, why: str) -> ConfigError:
    what = f"no other process would find {getattr(fn, '__qualname__', repr(fn))}: {why}"
    return ConfigError(f"{label}, option 'executor': {what}.", code="E0130", where=place_of(fn))
