"""A tree to closures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from . import builders, comparisons, fields, logic, macros
from .calls import call
from .chains import Chain, chain_of
from .errors import ExpressionError
from .frame import FIRST_SLOT, Evaluate
from .limits import DEPTH_MAX
from .nodes import (
    Binary,
    Call,
    Choice,
    Has,
    Index,
    ListOf,
    Literal,
    Logic,
    Macro,
    MapOf,
    Name,
    Negative,
    Node,
    Not,
    Select,
)
from .values import Value

FIELDS = ("name", "data", "id", "ts", "key", "meta")
"""What every variable has, being an event."""

Shapes: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""The fields of variables that are something else."""


class Scope(Struct, frozen=True):
    """The names that can be used at a place, each with its slot, and how deep the place is."""

    slots: dict[str, int]
    events: frozenset[str]
    depth: int = 0

    def inside(self) -> Scope:
        """Return the scope one level further in."""
        return Scope(self.slots, self.events, self.depth + 1)

    def of_item(self, variable: str, slot: int) -> Scope:
        """Return the scope inside of a macro."""
        return Scope({**self.slots, variable: slot}, self.events - {variable}, self.depth + 1)


class Compiler:
    """Makes closures, and counts the slots that they need."""

    def __init__(self, variables: tuple[str, ...], shapes: Shapes = ()) -> None:
        """Begin with the variables, which have the first slots in their order."""
        self._variables: Final = variables
        self._fields: Final = {**dict.fromkeys(variables, FIELDS), **dict(shapes)}
        self._nodes = 0
        self.slots = FIRST_SLOT + len(variables)

    def compile(self, node: Node) -> Evaluate:
        """Return the closure of a whole expression. Raises `ExpressionError`."""
        slots = {name: slot for slot, name in enumerate(self._variables, FIRST_SLOT)}
        return self._closure(node, Scope(slots, frozenset(self._variables)))

    def _closure(self, node: Node, scope: Scope) -> Evaluate:  # noqa: C901, PLR0911, PLR0912 - a line for each kind
        if scope.depth > DEPTH_MAX:
            raise ExpressionError(f"it is nested deeper than {DEPTH_MAX} levels", node.at)
        self._nodes += 1
        inner = scope.inside()
        match node:
            case Literal():
                return _constant(node.value)
            case Name() | Select() | Index():
                return self._read(node, scope)
            case Has():
                return fields.has(self._closure(node.of, inner), node.field)
            case Not():
                return logic.negation(self._closure(node.of, inner), node.at)
            case Negative():
                return builders.negative(self._closure(node.of, inner), node.at)
            case Binary():
                return _binary(node, self._closure(node.left, inner), self._closure(node.right, inner))
            case Logic():
                return logic.join(self._closures(node.parts, inner), stop=node.stop, at=node.at)
            case Choice():
                test, then, other = self._closures((node.test, node.then, node.other), inner)
                return logic.choice(test, then, other, node.at)
            case Call():
                return call(node, self._closures(node.args, inner))
            case ListOf():
                return builders.items(self._closures(node.items, inner))
            case MapOf():
                keys = self._closures((key for key, _ in node.pairs), inner)
                values = self._closures((value for _, value in node.pairs), inner)
                return builders.pairs(list(zip(keys, values, strict=True)), node.at)
            case Macro():
                return self._macro(node, inner)

    def _closures(self, nodes: Iterable[Node], scope: Scope) -> list[Evaluate]:
        return [self._closure(node, scope) for node in nodes]

    def _read(self, node: Name | Select | Index, scope: Scope) -> Evaluate:
        chain = chain_of(node)
        if chain is not None:
            self._nodes += len(chain.keys)
            return fields.chain(self._slot(chain, scope), chain.keys)
        assert not isinstance(node, Name), "a name alone is a chain"
        of = self._closure(node.of, scope.inside())
        if isinstance(node, Select):
            return fields.select(of, node.field)
        return fields.index(of, self._closure(node.index, scope.inside()))

    def _slot(self, chain: Chain, scope: Scope) -> int:
        if chain.name not in scope.slots:
            names = ", ".join(scope.slots)
            raise ExpressionError(f"there is no variable {chain.name}; there is {names}", chain.at)
        if chain.name in scope.events and chain.keys and chain.keys[0] not in (known := self._fields[chain.name]):
            raise ExpressionError(f"{chain.name} has no field {chain.keys[0]}; it has {', '.join(known)}", chain.at)
        return scope.slots[chain.name]

    def _macro(self, node: Macro, scope: Scope) -> Evaluate:
        of = self._closure(node.of, scope)
        slot, self.slots = self.slots, self.slots + 1
        inside, nodes = scope.of_item(node.variable, slot), self._nodes
        test = self._closure(node.test, inside) if node.test else None
        result = self._closure(node.result, inside) if node.result else None
        loop = macros.Loop(node.name, of, slot, test, result, 1 + self._nodes - nodes, node.at)
        match node.name:
            case "all" | "exists":
                return macros.search(loop, stop=node.name == "exists")
            case "exists_one":
                return macros.exists_one(loop)
            case "filter":
                return macros.keep(loop)
            case "map":
                return macros.change(loop)


def _binary(node: Binary, left: Evaluate, right: Evaluate) -> Evaluate:
    match node.operator:
        case "==" | "!=":
            return _equality(node, left, right)
        case "<" | "<=" | ">" | ">=":
            return _order(node, left, right)
        case "in":
            texts = _texts(node.right)
            return comparisons.is_one_of(left, texts) if texts else comparisons.is_in(left, right, node.at)
        case "+":
            return builders.addition(left, right, node.at)
        case _:
            return builders.arithmetic(node.operator, left, right, node.at)


def _equality(node: Binary, left: Evaluate, right: Evaluate) -> Evaluate:
    wanted = node.operator == "=="
    if isinstance(node.right, Literal):
        return comparisons.equality_with(left, node.right.value, wanted=wanted)
    if isinstance(node.left, Literal):
        return comparisons.equality_with(right, node.left.value, wanted=wanted)
    return comparisons.equality(left, right, wanted=wanted, at=node.at)


def _order(node: Binary, left: Evaluate, right: Evaluate) -> Evaluate:
    number = node.right.value if isinstance(node.right, Literal) else None
    if type(number) is int or type(number) is float:
        return comparisons.order_with(node.operator, left, number, node.at)
    return comparisons.order(node.operator, left, right, node.at)


def _texts(node: Node) -> list[Value]:
    """Return the items of a list that holds only constant texts."""
    if not isinstance(node, ListOf):
        return []
    values = [item.value for item in node.items if isinstance(item, Literal) and isinstance(item.value, str)]
    return list(values) if len(values) == len(node.items) else []


def _constant(value: Value) -> Evaluate:
    return lambda _: value
