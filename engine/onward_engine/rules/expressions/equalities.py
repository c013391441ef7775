"""The equalities that must hold whenever an expression does: what an index can look up before anything is evaluated."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from .chains import Chain, chain_of
from .nodes import Binary, Literal, Logic, Node
from .values import Value


class Term(Struct, frozen=True):
    """What stands at `path` of the data of `variable` equals `value`, or what stands at `other_path` of the data of
    `other`.
    """

    variable: str
    path: tuple[str | int, ...]
    value: Value = None
    other: str = ""
    other_path: tuple[str | int, ...] = ()


def terms_of(node: Node) -> tuple[Term, ...]:
    """Return the terms of an expression, in the order of its text.

    A false part makes a conjunction false, whatever error another part has; so an event that does not have these
    values never satisfies the whole.
    """
    return tuple(term for part in _parts(node) for term in _terms(part))


def _parts(node: Node) -> Iterator[Node]:
    if isinstance(node, Logic) and not node.stop:
        for part in node.parts:
            yield from _parts(part)
    else:
        yield node


def _terms(node: Node) -> Iterator[Term]:
    if not isinstance(node, Binary) or node.operator != "==":
        return
    for side, other in ((node.left, node.right), (node.right, node.left)):
        chain, theirs = _data_of(side), _data_of(other)
        if chain is None:
            continue
        if isinstance(other, Literal):
            yield Term(chain.name, chain.keys, other.value)
        elif theirs and theirs.name != chain.name:
            yield Term(chain.name, chain.keys, other=theirs.name, other_path=theirs.keys)


def _data_of(node: Node) -> Chain | None:
    """Return the chain behind `data` of a variable."""
    chain = chain_of(node)
    if chain is None or chain.keys[:1] != ("data",) or len(chain.keys) < 2:
        return None
    return Chain(chain.name, chain.keys[1:], chain.at)
