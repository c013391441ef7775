"""Tokens to a tree."""

from __future__ import annotations

from typing import NoReturn, cast

from .errors import ExpressionError
from .lexer import INT_MIN_DIGITS, Kind, Token, read_tokens
from .limits import DEPTH_MAX, SOURCE_CHARS_MAX
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
    MacroName,
    MapOf,
    Name,
    Negative,
    Node,
    Not,
    Operator,
    Select,
)

_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"==", "!=", "<", "<=", ">", ">=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let", "loop", "namespace",
    "package", "return", "var", "void", "while",
})  # fmt: skip


def parse(source: str) -> Node:
    """Return the tree of an expression. Raises `ExpressionError`."""
    if len(source) > SOURCE_CHARS_MAX:
        raise ExpressionError(f"{len(source)} characters are too many; at most {SOURCE_CHARS_MAX} are possible")
    parser = _Parser(read_tokens(source))
    node = parser.choice()
    if parser.next.kind is not Kind.END:
        parser.stop()
    return node


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._place]

    def choice(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ExpressionError(f"it is nested deeper than {DEPTH_MAX} levels", self.next.at)
        test = self._logic(stop=True)
        sign = self._take("?")
        if sign:
            then = self._logic(stop=True)
            self._expect(":")
            test = Choice(test, then, self.choice(), sign.at)
        self._depth -= 1
        return test

    def stop(self) -> NoReturn:
        if self.next.kind is Kind.END:
            raise ExpressionError("it ends too early", self.next.at)
        raise ExpressionError(f"{self.next.text!r} cannot stand here", self.next.at)

    def _logic(self, *, stop: bool) -> Node:
        operand, sign = (self._and, "||") if stop else (self._relation, "&&")
        at = self.next.at
        parts = [operand()]
        while self._take(sign):
            parts.append(operand())
        return Logic(stop, tuple(parts), at) if len(parts) > 1 else parts[0]

    def _and(self) -> Node:
        return self._logic(stop=False)

    def _relation(self) -> Node:
        return self._binary(0)

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self.next.kind is not Kind.LITERAL and self.next.text in _LEVELS[level]:
            sign = self._advance()
            left = Binary(cast("Operator", sign.text), left, self._binary(level + 1), sign.at)
        return left

    def _unary(self) -> Node:
        sign = self.next
        if not (self._take("!") or self._take("-")):
            return self._members(self._primary())
        is_odd = True
        while self._take(sign.text):
            is_odd = not is_odd  # as everywhere in CEL, two of them are none, whatever stands behind them
        if sign.text == "-" and is_odd and self._is_number():
            return self._negative_number(sign.at)
        node = self._negative_number(sign.at) if self._take("-") else self._members(self._primary())
        if not is_odd:
            return node
        return Not(node, sign.at) if sign.text == "!" else Negative(node, sign.at)

    def _negative_number(self, at: int) -> Node:
        """Read a number behind its minus: only there may it be the smallest of all."""
        if not self._is_number():
            self.stop()
        return self._members(Literal(-cast("float", self._advance().value), at))

    def _is_number(self) -> bool:
        return type(self.next.value) is int or type(self.next.value) is float

    def _members(self, node: Node) -> Node:
        while True:
            if self._take("."):
                node = self._member(node)
            elif sign := self._take("["):
                node = Index(node, self.choice(), sign.at)
                self._expect("]")
            else:
                return node

    def _member(self, of: Node) -> Node:
        name = self._advance()
        if name.kind is not Kind.NAME or name.text == "in":
            raise ExpressionError('behind a dot comes a name; write ["..."] for any other key', name.at)
        if not self._take("("):
            return Select(of, name.text, name.at)
        args = self._items(")")
        return self._macro(of, name, args) if name.text in _MACROS else Call(name.text, (of, *args), name.at)

    def _macro(self, of: Node, name: Token, args: tuple[Node, ...]) -> Node:
        if not 2 <= len(args) <= (3 if name.text == "map" else 2) or not isinstance(args[0], Name):
            raise ExpressionError(f"write {name.text}(x, ...), x being a name for each item", name.at)
        macro, variable = cast("MacroName", name.text), args[0].name
        if macro != "map":
            return Macro(macro, of, variable, args[1], None, name.at)
        return Macro(macro, of, variable, args[1] if len(args) == 3 else None, args[-1], name.at)

    def _primary(self) -> Node:
        token = self._advance()
        match token.text if token.kind is Kind.SIGN else token.kind:
            case Kind.LITERAL:
                return _literal(token)
            case Kind.NAME:
                return self._named(token)
            case "(":
                node = self.choice()
                self._expect(")")
                return node
            case "[":
                return ListOf(self._items("]"), token.at)
            case "{":
                return self._map(token.at)
            case _:
                self._place -= 1
                return self.stop()

    def _named(self, name: Token) -> Node:
        if name.text in _RESERVED:
            raise ExpressionError(f"{name.text!r} is a reserved word", name.at)
        if not self._take("("):
            return Name(name.text, name.at)
        args = self._items(")")
        if name.text != "has":
            return Call(name.text, args, name.at)
        if len(args) != 1 or not isinstance(args[0], Select):
            raise ExpressionError("has() takes one field, as in has(event.data.user)", name.at)
        return Has(args[0].of, args[0].field, name.at)

    def _items(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._take(end):
            items.append(self.choice())
            if not self._take(","):
                self._expect(end)
                break
        return tuple(items)

    def _map(self, at: int) -> Node:
        pairs: list[tuple[Node, Node]] = []
        while not self._take("}"):
            key = self.choice()
            self._expect(":")
            pairs.append((key, self.choice()))
            if not self._take(","):
                self._expect("}")
                break
        return MapOf(tuple(pairs), at)

    def _advance(self) -> Token:
        token = self.next
        if token.kind is Kind.END:
            self.stop()
        self._place += 1
        return token

    def _take(self, sign: str) -> Token | None:
        token = self.next
        if token.kind is Kind.SIGN and token.text == sign:
            self._place += 1
            return token
        return None

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            if self.next.kind is Kind.END:
                self.stop()
            raise ExpressionError(f"{sign!r} is missing", self.next.at)


def _literal(token: Token) -> Node:
    if token.value == INT_MIN_DIGITS and type(token.value) is int:
        raise ExpressionError("the number does not fit into 64 bits", token.at)
    return Literal(token.value, token.at)
