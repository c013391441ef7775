"""Regular expressions without backtracking: whatever pattern and text are, each character is looked at once.

The syntax is that of RE2 without what needs tables of Unicode or captures. A pattern becomes a graph of nodes; the sets
of nodes that can be reached at the same time become states when they are first met, and stay.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from .errors import ExpressionError
from .limits import PATTERN_NODES_MAX
from .pattern_parser import Assertion, Chars, Graph, Match, Split, read_pattern

_WAYS_MAX = 2000  # what is remembered of a pattern: enough for all states of a common one

_START, _WORD, _OTHER = "start", "word", "other"


class _State:
    """Where the search may be, before what needs no character. `before` says what the last character was."""

    __slots__ = ("before", "is_end", "next", "nodes")

    def __init__(self, nodes: frozenset[int], before: str) -> None:
        self.nodes = nodes
        self.before = before
        self.is_end: bool | None = None  # whether the text may end here; None: not asked yet
        self.next: dict[str, _State | None] = {}  # None: found


_UNKNOWN: Final = _State(frozenset(), "")


class Pattern:
    """A compiled pattern. Searching from several threads at once is safe: they may only repeat each other's work."""

    def __init__(self, graph: Graph) -> None:
        self._graph: Final = graph
        self._states: dict[tuple[frozenset[int], str], _State] = {}
        self._ways = 0
        self.weight: Final = 1 + len(graph.nodes) // 16  # about what a character costs when all states are new

    def search(self, text: str) -> bool:
        """Tell whether the pattern matches anywhere in `text`."""
        state = self._state(frozenset(), _START)
        for char in text:
            following = state.next.get(char, _UNKNOWN)
            if following is _UNKNOWN:
                following = self._follow(state, char)
            if following is None:
                return True
            state = following
        if state.is_end is None:
            state.is_end = self._is_found(self._reach(state, None))
        return state.is_end

    def _follow(self, state: _State, char: str) -> _State | None:
        reached = self._reach(state, char)
        following = None
        if not self._is_found(reached):
            nodes = [self._graph.nodes[place] for place in reached]
            moved = {node.next for node in nodes if isinstance(node, Chars) and node.holds(char)}
            following = self._state(frozenset(moved), _kind(char))
        self._ways += 1
        state.next[char] = following
        return following

    def _state(self, nodes: frozenset[int], before: str) -> _State:
        if self._ways > _WAYS_MAX:
            self._ways, self._states = 0, {}
        return self._states.setdefault((nodes, before), _State(nodes, before))

    def _is_found(self, reached: set[int]) -> bool:
        return any(isinstance(self._graph.nodes[place], Match) for place in reached)

    def _reach(self, state: _State, char: str | None) -> set[int]:
        """Return all nodes that stand before `char`; None is the end of the text."""
        reached: set[int] = set()
        open_places = [*state.nodes, self._graph.start]
        while open_places:
            place = open_places.pop()
            if place in reached:
                continue
            reached.add(place)
            node = self._graph.nodes[place]
            if isinstance(node, Split):
                open_places += node.next, node.other
            elif isinstance(node, Assertion) and _holds(node.kind, state.before, char):
                open_places.append(node.next)
        return reached


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """Return the pattern. Raises `ExpressionError`."""
    graph = read_pattern(text)
    if len(graph.nodes) > PATTERN_NODES_MAX:
        raise ExpressionError("the pattern is too large; its repetitions count as often as they may repeat")
    return Pattern(graph)


def _holds(assertion: str, before: str, char: str | None) -> bool:
    at_border = (before == _WORD) != (char is not None and _kind(char) == _WORD)
    match assertion:
        case "^":
            return before == _START
        case "$":
            return char is None
        case "b":
            return at_border
        case _:
            return not at_border


def _kind(char: str) -> str:
    return _WORD if char == "_" or (char.isascii() and char.isalnum()) else _OTHER
