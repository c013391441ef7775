"""An expression as the rest of the engine uses it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from .chains import Chain, chains_in
from .compiler import Compiler, Shapes
from .equalities import Term, terms_of
from .errors import ExpressionError
from .frame import FIRST_SLOT, Evaluate
from .limits import STEPS_MAX
from .nodes import Binary, Call, Choice, ListOf, Literal, Macro, MapOf, Negative, Node
from .parser import parse
from .values import Value, kind

_CACHED_MAX = 2048
"""Some kilobytes each."""

_ARITHMETIC = frozenset("+-*/%")
_OTHER_RESULTS = frozenset({"size", "int", "double", "string", "timestamp", "duration"})


class Expression:
    """A compiled expression. Evaluating it changes nothing, always takes the same steps for the same values, and may
    happen in several threads at once.

    `terms` are the equalities that hold whenever it does, `reads` is what it reads of its variables.
    """

    __slots__ = ("_evaluate", "_spare", "reads", "source", "terms")

    def __init__(self, source: str, node: Node, evaluate: Evaluate, spare: int) -> None:
        self.source: Final = source
        self.terms: Final[tuple[Term, ...]] = terms_of(node)
        self.reads: Final[tuple[Chain, ...]] = tuple(chains_in(node))
        self._evaluate = evaluate
        self._spare: Final[list[Value]] = [None] * spare

    def value(self, *variables: Value) -> Value:
        """Evaluate with these values, in the order of the variables. Raises `ExpressionError`."""
        try:
            return self._evaluate([STEPS_MAX, *variables, *self._spare])
        except ExpressionError as error:
            error.source = self.source
            raise
        except RecursionError:  # events are checked when they come in, the input of a run is not
            raise ExpressionError("it compares values that are nested too deeply", 0, self.source) from None

    def holds(self, *variables: Value) -> bool:
        """Tell whether it is true; null is not. Raises `ExpressionError`, also for what is neither true nor false."""
        value = self.value(*variables)
        if value is True:
            return True
        if value is False or value is None:
            return False
        raise ExpressionError(f"it gives {kind(value)}, not true or false", 0, self.source)


@lru_cache(_CACHED_MAX)
def expression(source: str, variables: tuple[str, ...]) -> Expression:
    """Compile an expression over these variables, each an event. Raises `ExpressionError`."""
    return _compiled(source, variables, is_condition=False)


@lru_cache(_CACHED_MAX)
def condition(source: str, variables: tuple[str, ...], shapes: Shapes = ()) -> Expression:
    """Compile the same, and refuse what can never be true or false. `shapes` has the fields of those variables that are
    no events.
    """
    return _compiled(source, variables, shapes, is_condition=True)


def _compiled(source: str, variables: tuple[str, ...], shapes: Shapes = (), *, is_condition: bool) -> Expression:
    try:
        node = parse(source)
        compiler = Compiler(variables, shapes)
        evaluate = compiler.compile(node)
        if is_condition and not _may_be_truth(node):
            raise ExpressionError("it can never be true or false", node.at)
    except ExpressionError as error:
        error.source = source
        raise
    return Expression(source, node, evaluate, compiler.slots - FIRST_SLOT - len(variables))


def _may_be_truth(node: Node) -> bool:  # noqa: PLR0911 - a line for each kind of node
    match node:
        case Literal():
            return isinstance(node.value, bool)
        case Binary():
            return node.operator not in _ARITHMETIC
        case Call():
            return node.function not in _OTHER_RESULTS
        case Choice():
            return _may_be_truth(node.then) and _may_be_truth(node.other)
        case Macro():
            return node.name not in {"filter", "map"}
        case ListOf() | MapOf() | Negative():
            return False
        case _:
            return True
