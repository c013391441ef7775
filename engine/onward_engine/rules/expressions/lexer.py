"""Text to tokens."""

from __future__ import annotations

import re
from enum import Enum, auto

from msgspec import Struct

from .errors import ExpressionError
from .values import INT_MAX, Value


class Kind(Enum):
    """What a token is."""

    LITERAL = auto()
    NAME = auto()
    SIGN = auto()
    END = auto()


class Token(Struct, frozen=True):
    """One word. `value` is that of a literal."""

    kind: Kind
    text: str
    at: int
    value: Value = None


_TOKEN = re.compile(
    r"""
    (?P<space>  [ \t\n\f\r]+ | //[^\n]* )
  | (?P<float>  (?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)? | \d+[eE][+-]?\d+ )
  | (?P<hex>    0x[0-9a-fA-F]+ )
  | (?P<int>    \d{1,4000} )
  | (?P<string> [bB]?[rR]?[bB]? (?: \"{3} | '{3} | " | ' ) )
  | (?P<name>   [A-Za-z_][A-Za-z0-9_]* )
  | (?P<sign>   \|\| | && | == | != | <= | >= | [-+*/%!<>?:.,()\[\]{}] )
    """,
    re.VERBOSE | re.ASCII,
)
_UNSIGNED = re.compile(r"[uU](?![A-Za-z0-9_])")
_ESCAPE = re.compile(
    r"""\\(?:([abfnrtv\\?"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))"""
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None}

INT_MIN_DIGITS = INT_MAX + 1
"""The one literal that is valid only behind a minus."""


def read_tokens(source: str) -> list[Token]:
    """Return the tokens of an expression and an END behind them. Raises `ExpressionError`."""
    tokens: list[Token] = []
    at = 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None:
            raise ExpressionError(f"{source[at]!r} means nothing here", at)
        if found.lastgroup == "string":
            token, at = _read_string(source, at, found[0])
            tokens.append(token)
            continue
        if found.lastgroup != "space":
            tokens.append(_token(found, at))
        at = found.end()
        if found.lastgroup in {"int", "hex"} and _UNSIGNED.match(source, at):
            raise ExpressionError("numbers without a sign, such as 1u, are not supported; leave out the u", at)
    return [*tokens, Token(Kind.END, "", len(source))]


def _token(found: re.Match[str], at: int) -> Token:
    text = found[0]
    match found.lastgroup:
        case "float":
            return Token(Kind.LITERAL, text, at, float(text))
        case "int" | "hex":
            return Token(Kind.LITERAL, text, at, _integer(text, at))
        case "name" if text in _WORDS:
            return Token(Kind.LITERAL, text, at, _WORDS[text])
        case "name":
            return Token(Kind.NAME, text, at)
        case _:
            return Token(Kind.SIGN, text, at)


def _integer(text: str, at: int) -> int:
    value = int(text, 16 if text.startswith("0x") else 10)
    if value > INT_MIN_DIGITS:
        raise ExpressionError("the number does not fit into 64 bits", at)
    return value


def _read_string(source: str, at: int, opening: str) -> tuple[Token, int]:
    prefix, quote = opening.rstrip("\"'").lower(), opening.lstrip("bBrR")
    if "b" in prefix:
        raise ExpressionError("bytes are not supported; events are JSON, which has none", at)
    start = at + len(opening)
    end = _end_of_string(source, start, quote, is_raw="r" in prefix)
    body = source[start:end]
    if end < 0 or (len(quote) == 1 and ("\n" in body or "\r" in body)):
        raise ExpressionError("the text that begins here has no end", at)
    after = end + len(quote)
    return Token(Kind.LITERAL, source[at:after], at, body if "r" in prefix else _unescaped(body, start)), after


def _end_of_string(source: str, start: int, quote: str, *, is_raw: bool) -> int:
    at = start
    while at < len(source):
        if source.startswith(quote, at):
            return at
        at += 2 if source[at] == "\\" and not is_raw else 1
    return -1


def _unescaped(body: str, start: int) -> str:
    parts: list[str] = []
    at = 0
    while (slash := body.find("\\", at)) >= 0:
        found = _ESCAPE.match(body, slash)
        if found is None:
            wrong = body[slash : slash + 2]
            raise ExpressionError(f"{wrong} is no escape; write r'...' to keep a backslash", start + slash)
        parts += body[at:slash], _escaped(found, start + slash)
        at = found.end()
    return "".join([*parts, body[at:]])


def _escaped(found: re.Match[str], at: int) -> str:
    if found[1]:
        return _PLAIN.get(found[1], found[1])
    code = int(found[5], 8) if found[5] else int(found[2] or found[3] or found[4], 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ExpressionError(f"{found[0]} is no character", at)
    return chr(code)
