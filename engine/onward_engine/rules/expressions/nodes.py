"""What an expression says, as a tree. `at` is the place in the text that an error names."""

from __future__ import annotations

from typing import Literal as OneOf
from typing import TypeAlias

from msgspec import Struct

from .values import Value

Operator: TypeAlias = OneOf["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%"]
MacroName: TypeAlias = OneOf["all", "exists", "exists_one", "filter", "map"]


class Literal(Struct, frozen=True):
    """A value that stands in the text."""

    value: Value
    at: int


class Name(Struct, frozen=True):
    """A variable."""

    name: str
    at: int


class Select(Struct, frozen=True):
    """`of.field`."""

    of: Node
    field: str
    at: int


class Index(Struct, frozen=True):
    """`of[index]`."""

    of: Node
    index: Node
    at: int


class Has(Struct, frozen=True):
    """`has(of.field)`."""

    of: Node
    field: str
    at: int


class Not(Struct, frozen=True):
    """`!of`."""

    of: Node
    at: int


class Negative(Struct, frozen=True):
    """`-of`."""

    of: Node
    at: int


class Binary(Struct, frozen=True):
    """`left operator right`."""

    operator: Operator
    left: Node
    right: Node
    at: int


class Logic(Struct, frozen=True):
    """`a && b && c`: `stop` is the value that decides, false here and true for `||`."""

    stop: bool
    parts: tuple[Node, ...]
    at: int


class Choice(Struct, frozen=True):
    """`test ? then : other`."""

    test: Node
    then: Node
    other: Node
    at: int


class Call(Struct, frozen=True):
    """`function(args)`, or `arg.function(args)` with its subject as the first argument."""

    function: str
    args: tuple[Node, ...]
    at: int


class ListOf(Struct, frozen=True):
    """`[a, b]`."""

    items: tuple[Node, ...]
    at: int


class MapOf(Struct, frozen=True):
    """`{key: value}`."""

    pairs: tuple[tuple[Node, Node], ...]
    at: int


class Macro(Struct, frozen=True):
    """`of.filter(variable, test)`; only `map` has a `result`, and may have no `test`."""

    name: MacroName
    of: Node
    variable: str
    test: Node | None
    result: Node | None
    at: int


Node: TypeAlias = (
    Literal | Name | Select | Index | Has | Not | Negative | Binary | Logic | Choice | Call | ListOf | MapOf | Macro
)
