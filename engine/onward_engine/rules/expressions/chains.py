"""Fields of variables: `event.data.user.id`, and which of them an expression reads."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

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


class Chain(Struct, frozen=True):
    """A variable and the keys that lead on from it."""

    name: str
    keys: tuple[str | int, ...]
    at: int


def chain_of(node: Node) -> Chain | None:
    """Return a node as a chain of constant keys; None for anything else."""
    keys: list[str | int] = []
    while not isinstance(node, Name):
        if isinstance(node, Select):
            keys.append(node.field)
        elif isinstance(node, Index) and isinstance(node.index, Literal) and type(node.index.value) in {str, int}:
            keys.append(_key(node.index))
        else:
            return None
        node = node.of
    return Chain(node.name, tuple(reversed(keys)), node.at)


def chains_in(node: Node, hidden: frozenset[str] = frozenset()) -> Iterator[Chain]:
    """Return what an expression reads of its variables, each chain as far as its keys are known beforehand.

    `hidden` are the names that macros use for their items.
    """
    chain = _tested(node) if isinstance(node, Has) else chain_of(node)
    if chain is not None:
        if chain.name not in hidden:
            yield chain
        return
    if isinstance(node, Macro):
        yield from chains_in(node.of, hidden)
        hidden |= {node.variable}
    for child in _inside(node):
        yield from chains_in(child, hidden)


def _tested(node: Has) -> Chain | None:
    chain = chain_of(node.of)
    return Chain(chain.name, (*chain.keys, node.field), chain.at) if chain else None


def _inside(node: Node) -> tuple[Node, ...]:  # noqa: C901, PLR0911 - a line for each kind of node
    match node:
        case Select() | Has() | Not() | Negative():
            return (node.of,)
        case Index():
            return node.of, node.index
        case Binary():
            return node.left, node.right
        case Logic():
            return node.parts
        case Choice():
            return node.test, node.then, node.other
        case Call():
            return node.args
        case ListOf():
            return node.items
        case MapOf():
            return tuple(part for pair in node.pairs for part in pair)
        case Macro():
            return tuple(part for part in (node.test, node.result) if part is not None)
        case Literal() | Name():
            return ()


def _key(literal: Literal) -> str | int:
    assert isinstance(literal.value, str | int), "checked by the caller"
    return literal.value
