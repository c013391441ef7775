"""The text of a pattern to a graph of nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NoReturn, TypeAlias

from msgspec import Struct

from .errors import ExpressionError
from .limits import DEPTH_MAX, PATTERN_NODES_MAX

Ranges: TypeAlias = tuple[tuple[str, str], ...]

_LAST = chr(0x10FFFF)
_DIGITS: Ranges = (("0", "9"),)
_WORDS: Ranges = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_SPACES: Ranges = (("\t", "\n"), ("\f", "\r"), (" ", " "))
_CLASSES = {"d": _DIGITS, "w": _WORDS, "s": _SPACES}
_PLAIN = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_PUNCTUATION = frozenset(r"""\.+*?()|[]{}^$-/!"#%&',:;<=>@_`~ """)
_REPEATS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class Chars(Struct, frozen=True):
    """One character of a set."""

    ranges: Ranges
    negated: bool
    folded: bool
    next: int

    def holds(self, char: str) -> bool:
        """Tell whether the set has a character."""
        forms = (char, char.lower(), char.upper()) if self.folded else (char,)
        is_in = any(low <= form <= high for form in forms if len(form) == 1 for low, high in self.ranges)
        return is_in is not self.negated


class Split(Struct, frozen=True):
    """Two ways to go on."""

    next: int
    other: int


class Assertion(Struct, frozen=True):
    r"""`^`, `$`, `\b` or `\B`."""

    kind: str
    next: int


class Match(Struct, frozen=True):
    """The end."""


class Graph(Struct, frozen=True):
    """All nodes, by their numbers."""

    nodes: tuple[Chars | Split | Assertion | Match, ...]
    start: int


_Build: TypeAlias = Callable[["_Nodes", int], int]
"""Adds what leads to a node, and returns where it begins."""


class _Nodes(list["Chars | Split | Assertion | Match"]):
    def put(self, node: Chars | Split | Assertion | Match) -> int:
        if len(self) > PATTERN_NODES_MAX:
            raise ExpressionError("the pattern is too large; its repetitions count as often as they may repeat")
        self.append(node)
        return len(self) - 1


def read_pattern(text: str) -> Graph:
    """Return the graph of a pattern. Raises `ExpressionError`."""
    reader = _Reader(text)
    build = reader.alternatives()
    if reader.rest:
        reader.stop("has a ) without its (")
    nodes = _Nodes()
    start = build(nodes, nodes.put(Match()))
    return Graph(tuple(nodes), start)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._folded = text.startswith("(?i)")
        self._place = 4 if self._folded else 0
        self._depth = 0

    @property
    def rest(self) -> str:
        """The next character; empty at the end."""
        return self._text[self._place : self._place + 1]

    def alternatives(self) -> _Build:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self.stop(f"is nested deeper than {DEPTH_MAX} levels")
        ways = [self._sequence()]
        while self._take("|"):
            ways.append(self._sequence())
        self._depth -= 1
        return partial(_either, tuple(ways))

    def stop(self, problem: str) -> NoReturn:
        raise ExpressionError(f"the pattern {self._text!r} {problem}")

    def _sequence(self) -> _Build:
        parts: list[_Build] = []
        while self.rest and self.rest not in "|)":
            parts.append(self._repeated(self._atom()))
        return partial(_sequence, tuple(parts))

    def _repeated(self, build: _Build) -> _Build:
        bounds = self._bounds()
        if bounds is None:
            return build
        self._take("?")  # as few as possible: the same for whether there is a match
        if self._bounds() is not None:
            self.stop("repeats a repetition")
        return partial(_repeat, build, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        if self.rest and self.rest in _REPEATS:
            return _REPEATS[self._advance()]
        if self.rest != "{":
            return None
        inside, closed, _ = self._text[self._place + 1 :].partition("}")
        low, comma, high = inside.partition(",")
        if not closed or not _is_count(low) or (high and not _is_count(high)):
            return None
        self._place += len(inside) + 2
        bounds = int(low), (int(high) if high else None) if comma else int(low)
        if bounds[0] > 1000 or (bounds[1] or 0) > 1000 or (bounds[1] is not None and bounds[1] < bounds[0]):
            self.stop(f"cannot repeat {{{inside}}}")
        return bounds

    def _atom(self) -> _Build:  # noqa: PLR0911 - a line for each kind of character
        char = self._advance()
        match char:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return self._chars((("\0", "\t"), ("\v", _LAST)))
            case "^" | "$":
                return partial(_assert, char)
            case "*" | "+" | "?":
                return self.stop(f"has nothing in front of {char}")
            case "\\":
                return self._escape()
            case _:
                return self._chars(((char, char),))

    def _group(self) -> _Build:
        if self._take("?"):
            self._group_head()
        build = self.alternatives()
        if not self._take(")"):
            self.stop("has a ( without its )")
        return build

    def _group_head(self) -> None:
        if self._take(":"):
            return
        self._take("P")
        name, closed, _ = self._text[self._place + 1 :].partition(">")
        if self.rest != "<" or not closed or not name.isidentifier():
            self.stop("uses (?...), of which only (?:...), (?P<name>...) and (?i) at the beginning are supported")
        self._place += len(name) + 2

    def _escape(self) -> _Build:
        if self.rest and self.rest in "bB":
            return partial(_assert, self._advance())
        if self.rest and self.rest in "Az":
            return partial(_assert, "^" if self._advance() == "A" else "$")
        ranges, negated = self._escaped()
        return self._chars(ranges, negated=negated)

    def _escaped(self) -> tuple[Ranges, bool]:
        if self.rest and self.rest.lower() in _CLASSES:
            letter = self._advance()
            return _CLASSES[letter.lower()], letter.isupper()
        char = self._escaped_char()
        return ((char, char),), False

    def _escaped_char(self) -> str:
        if not self.rest:
            self.stop("ends with a backslash")
        char = self._advance()
        if char in _PLAIN:
            return _PLAIN[char]
        if char == "x":
            return self._hex()
        if char not in _PUNCTUATION:
            self.stop(f"uses \\{char}, which is not supported")
        return char

    def _hex(self) -> str:
        digits = self._text[self._place : self._place + 2]
        self._place += 2
        if digits.startswith("{"):
            digits, _, _ = self._text[self._place - 1 :].partition("}")
            self._place += len(digits)
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            self.stop("has a \\x without a character's number")

    def _class(self) -> _Build:
        negated = self._take("^")
        ranges = [*self._class_item()]
        while not self._take("]"):
            ranges += self._class_item()
        return self._chars(tuple(ranges), negated=negated)

    def _class_item(self) -> Ranges:
        if not self.rest:
            self.stop("has a [ without its ]")
        if self._text.startswith("[:", self._place):
            self.stop(r"uses [:...:], which is not supported; write \d, \w or the characters")
        char = self._advance()
        ranges, negated = self._escaped() if char == "\\" else (((char, char),), False)
        if negated:
            return _complement(ranges)
        if self.rest != "-" or self._text[self._place + 1 : self._place + 2] in {"]", ""}:
            return ranges
        self._place += 1
        return (self._range(ranges),)

    def _range(self, first: Ranges) -> tuple[str, str]:
        low = first[0][0]
        high = self._advance() if self.rest else ""
        high = self._escaped_char() if high == "\\" else high
        if first != ((low, low),) or high < low:
            self.stop("has a range whose end comes before its beginning")
        return low, high

    def _chars(self, ranges: Ranges, *, negated: bool = False) -> _Build:
        return partial(_chars, ranges, negated, self._folded)

    def _advance(self) -> str:
        char = self.rest
        self._place += 1
        return char

    def _take(self, char: str) -> bool:
        taken = self.rest == char
        self._place += taken
        return taken


def _chars(ranges: Ranges, negated: bool, folded: bool, nodes: _Nodes, then: int) -> int:
    return nodes.put(Chars(ranges, negated, folded, then))


def _assert(kind: str, nodes: _Nodes, then: int) -> int:
    return nodes.put(Assertion(kind, then))


def _sequence(parts: tuple[_Build, ...], nodes: _Nodes, then: int) -> int:
    for part in reversed(parts):
        then = part(nodes, then)
    return then


def _either(ways: tuple[_Build, ...], nodes: _Nodes, then: int) -> int:
    start = ways[-1](nodes, then)
    for way in reversed(ways[:-1]):
        start = nodes.put(Split(way(nodes, then), start))
    return start


def _repeat(build: _Build, low: int, high: int | None, nodes: _Nodes, then: int) -> int:
    if high is None:
        loop = nodes.put(Split(then, then))
        nodes[loop] = Split(build(nodes, loop), then)
        then = loop
    for _ in range((high or low) - low):
        then = nodes.put(Split(build(nodes, then), then))
    for _ in range(low):
        size = len(nodes)
        then = build(nodes, then)
        if len(nodes) == size:  # nothing, however often it is repeated
            break
    return then


def _complement(ranges: Ranges) -> Ranges:
    starts = ["\0", *(chr(ord(high) + 1) for _, high in ranges)]
    ends = [*(chr(ord(low) - 1) for low, _ in ranges), _LAST]
    return tuple(zip(starts, ends, strict=True))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 4
