"""Random expressions, patterns and events. Types mostly fit: an expression that is an error at once says little."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from onward_engine.rules.expressions import Value

from tests.support.cel import VARIABLES, Source

Make: TypeAlias = Callable[[int], Source]
"""Makes an expression of at most so many levels."""

FIELDS = ("a", "b", "c", "n", "s", "t", "m")
TEXTS = ("", "a", "b", "ab", "abc", "user-1", "héllo", "12", " -7", "1.5", "true", "2026-01-31T08:00:00Z", "1h30m")
INTS = (0, 1, 2, 3, -1, -7, 10, 100, 2**31, 2**53, 2**63 - 1, -(2**63))
DOUBLES = (0.0, 1.0, 1.5, -2.5, 2.0, 0.1, 1e6, 123456.75, 1e-5, 1e300)


def random_event(random: Random) -> dict[str | int, Value]:
    """Return an event as conditions see it; its data is an object most of the time."""
    data = _map(random, 3) if random.random() < 0.95 else random_value(random, 2)
    return {"name": "shop/order", "data": data, "id": "e1", "ts": 1_700_000_000_000, "key": "", "meta": {"a": "b"}}


def random_value(random: Random, depth: int) -> Value:
    """Return any JSON value."""
    kind = random.randrange(9 if depth else 6)
    match kind:
        case 0:
            return random.choice((None, True, False))
        case 1 | 2:
            return random.choice(INTS[:8]) if random.random() < 0.9 else random.choice(INTS)
        case 3:
            return random.choice(DOUBLES)
        case 4 | 5:
            return random.choice(TEXTS)
        case 6 | 7:
            return [random_value(random, depth - 1) for _ in range(random.randrange(4))]
        case _:
            return _map(random, depth - 1)


def _map(random: Random, depth: int) -> dict[str | int, Value]:
    """Return an object whose fields mostly have the type that expressions expect of them."""
    return {field: _field(random, field, depth) for field in FIELDS if random.random() < 0.8}


def _field(random: Random, field: str, depth: int) -> Value:
    if random.random() < 0.1 or not depth:
        return random_value(random, depth)
    match field:
        case "a" | "b" | "n":
            return random.choice((*INTS[:8], *INTS[:8], *DOUBLES))
        case "c" | "s":
            return random.choice(TEXTS)
        case "t":
            return [_field(random, random.choice("nsm"), depth - 1) for _ in range(random.randrange(5))]
        case _:
            return _map(random, depth - 1)


# -- expressions


def random_source(random: Random) -> Source:
    """Return an expression, a condition most of the time."""
    maker = _Maker(random)
    make = maker.truth if random.random() < 0.8 else maker.anything
    return make(random.choice((1, 2, 2, 3, 3, 4)))


class _Maker:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._items: list[str] = []

    def truth(self, depth: int) -> Source:
        if depth <= 0:
            return self._word("true", "false")
        makers: tuple[Make, ...] = (
            *(self._comparison,) * 5,
            *(self._joined,) * 4,
            *(self._loop,) * 2,
            lambda depth: self._spelt("!{}", self.truth(depth - 1)),
            lambda depth: self._choice(self.truth, depth),
            self._membership,
            self._text_test,
            self._has,
            lambda depth: self._spelt("bool({})", self.text(depth - 1)),
        )
        return self._slipped(self._random.choice(makers), depth)

    def number(self, depth: int) -> Source:
        if depth <= 0 or self._random.random() < 0.4:
            return self._either(self._number_field, self._number_field, self._int, self._double)(depth)
        makers: tuple[Make, ...] = (
            self._arithmetic,
            self._arithmetic,
            lambda depth: self._spelt("-({})", self.number(depth - 1)),
            lambda depth: self._spelt(
                self._random.choice(("int({})", "double({})")), self._either(self.number, self.text)(depth - 1)
            ),
            lambda depth: self._spelt("size({})", self._either(self.text, self.list)(depth - 1)),
            lambda depth: self._spelt("{}.size()", self._either(self.text, self.list)(depth - 1)),
            lambda depth: self._choice(self.number, depth),
        )
        return self._slipped(self._random.choice(makers), depth)

    def text(self, depth: int) -> Source:
        if depth <= 0 or self._random.random() < 0.6:
            return self._either(self._text_field, self._text_field, self._text)(depth)
        makers: tuple[Make, ...] = (
            lambda depth: self._spelt("({} + {})", self.text(depth - 1), self.text(depth - 1)),
            lambda depth: self._spelt("string({})", self._either(self.number, self.text, self.truth)(depth - 1)),
            lambda depth: self._choice(self.text, depth),
        )
        return self._slipped(self._random.choice(makers), depth)

    def list(self, depth: int) -> Source:
        if depth <= 0 or self._random.random() < 0.5:
            return self._fitting("t")
        makers: tuple[Make, ...] = (
            self._written_list,
            lambda depth: self._spelt("({} + {})", self.list(depth - 1), self.list(depth - 1)),
            self._filtered,
        )
        return self._random.choice(makers)(depth)

    def time(self, depth: int) -> Source:
        moment = self._spelt("timestamp({})", self._either(self._int, self._moment)(0))
        span = self._spelt("duration({})", self._word("'1h'", "'90m'", "'-1.5s'", "'250ms'", "'x'"))
        if depth <= 0:
            return self._random.choice((moment, span))
        sign = self._random.choice("+-")
        return self._spelt(
            f"({{}} {sign} {{}})", self._random.choice((moment, span)), self._random.choice((moment, span))
        )

    def anything(self, depth: int) -> Source:
        return self._either(self.truth, self.number, self.text, self.list, self.time, self._written_map)(depth)

    # -- parts

    def _slipped(self, make: Make, depth: int) -> Source:
        """Make something of another type now and then."""
        return make(depth) if self._random.random() < 0.96 else self.anything(depth - 1)

    def _either(self, *makers: Make) -> Make:
        return self._random.choice(makers)

    def _comparison(self, depth: int) -> Source:
        sign = self._random.choice(("==", "==", "!=", "<", "<=", ">", ">="))
        make = self._random.choice((self.number, self.number, self.text, self.time))
        left, right = make(depth - 1), make(depth - 1)
        if sign in {"==", "!="} and self._random.random() < 0.3:
            right = self._either(self.anything, lambda _: self._word("null"))(depth - 1)
        return self._spelt(f"({{}} {sign} {{}})", left, right)

    def _joined(self, depth: int) -> Source:
        sign = self._random.choice(("&&", "||"))
        parts = [self.truth(depth - 1) for _ in range(self._random.choice((2, 2, 3)))]
        return self._spelt("(" + f" {sign} ".join(["{}"] * len(parts)) + ")", *parts)

    def _choice(self, make: Make, depth: int) -> Source:
        return self._spelt("({} ? {} : {})", self.truth(depth - 1), make(depth - 1), make(depth - 1))

    def _membership(self, depth: int) -> Source:
        container = self._either(self.list, self._written_list, self._written_map, self._read)(depth - 1)
        return self._spelt("({} in {})", self._either(self.number, self.text)(depth - 1), container)

    def _text_test(self, depth: int) -> Source:
        name = self._random.choice(("startsWith", "endsWith", "contains"))
        if self._random.random() < 0.25:
            return self._spelt(
                "{}.matches({})", self.text(depth - 1), self._word("'^a'", "r'\\d+$'", "'b|é'", "'(?i)A.?C'")
            )
        return self._spelt(f"{{}}.{name}({{}})", self.text(depth - 1), self.text(depth - 1))

    def _has(self, depth: int) -> Source:
        of, field = self._read(depth), self._random.choice(FIELDS)
        return Source(f"has({of.plain}.{field})", f"is_there({of.guarded}, '{field}')")

    def _loop(self, depth: int) -> Source:
        name = self._random.choice(("exists", "exists", "all", "exists_one"))
        return self._with_item(name, self._either(self.list, self._written_map)(depth - 1), self.truth, depth)

    def _filtered(self, depth: int) -> Source:
        of = self.list(depth - 1)
        if self._random.random() < 0.5:
            return self._with_item("filter", of, self.truth, depth)
        return self._with_item("map", of, self.anything, depth)

    def _with_item(self, name: str, of: Source, make: Make, depth: int) -> Source:
        item = self._random.choice(("x", "y", "event"))
        self._items.append(item)
        try:
            return self._spelt(f"{{}}.{name}({item}, {{}})", of, make(depth - 1))
        finally:
            self._items.pop()

    def _arithmetic(self, depth: int) -> Source:
        sign = self._random.choice("+-*/%")
        return self._spelt(f"({{}} {sign} {{}})", self.number(depth - 1), self.number(depth - 1))

    def _written_list(self, depth: int) -> Source:
        make = self._random.choice((self.number, self.text, self.anything))
        parts = [make(depth - 1) for _ in range(self._random.randrange(4))]
        return self._spelt("[" + ", ".join(["{}"] * len(parts)) + "]", *parts)

    def _written_map(self, depth: int) -> Source:
        keys = self._random.sample(("'a'", "'b'", "'ab'", "1", "2"), self._random.randrange(4))
        parts = [self.anything(depth - 1) for _ in keys]
        inside = ", ".join(f"{key}: {{}}" for key in keys)
        return self._spelt("{{" + inside + "}}", *parts)

    def _number_field(self, depth: int) -> Source:
        return self._fitting("abn") if self._random.random() < 0.9 else self._read(depth)

    def _text_field(self, depth: int) -> Source:
        return self._fitting("cs") if self._random.random() < 0.9 else self._read(depth)

    def _fitting(self, fields: str) -> Source:
        """Read a field that has the right type most of the time."""
        if self._items and self._random.random() < 0.5:
            return Source(self._items[-1], self._items[-1])
        of = self._field(self._word(*VARIABLES), "data")
        while self._random.random() < 0.2:
            of = self._field(of, "m")
        return self._field(of, self._random.choice(fields))

    def _read(self, depth: int) -> Source:
        if self._items and self._random.random() < 0.6:
            source = Source(self._items[-1], self._items[-1])
        else:
            source = self._field(self._word(*VARIABLES), "data" if self._random.random() < 0.9 else "ts")
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 2))):
            source = self._further(source, depth)
        return source

    def _further(self, of: Source, depth: int) -> Source:
        if self._random.random() < 0.75:
            return self._field(of, self._random.choice(FIELDS))
        make = self._either(self._int, self._text, self.anything if depth > 1 else self._double)
        key = make(depth - 2)
        return Source(f"{of.plain}[{key.plain}]", f"found({of.guarded}, {key.guarded})")

    def _field(self, of: Source, field: str) -> Source:
        if self._random.random() < 0.1:
            return Source(f"{of.plain}['{field}']", f"found({of.guarded}, '{field}')")
        return Source(f"{of.plain}.{field}", f"found({of.guarded}, '{field}')")

    def _int(self, _: int) -> Source:
        value = self._random.choice(INTS if self._random.random() < 0.1 else INTS[:8])
        return self._word(str(value))

    def _double(self, _: int) -> Source:
        return self._word(*map(repr, DOUBLES))

    def _text(self, _: int) -> Source:
        return self._word(*(f"'{text}'" for text in TEXTS))

    def _moment(self, _: int) -> Source:
        return self._word("'2026-01-31T08:00:00Z'", "'2026-01-31T08:00:00.5+01:00'", "'1969-12-31T23:59:59Z'", "'x'")

    def _word(self, *words: str) -> Source:
        word = self._random.choice(words)
        return Source(word, word)

    def _spelt(self, form: str, *parts: Source) -> Source:
        return Source(form.format(*(part.plain for part in parts)), form.format(*(part.guarded for part in parts)))


# -- patterns

ATOMS: tuple[str, ...] = (
    *"aabbA_1é -",
    ".",
    r"\d",
    r"\w",
    r"\s",
    r"\W",
    r"\D",
    r"\S",
    r"\.",
    r"\n",
    r"\x41",
    r"\x{e9}",
)
SETS = ("[ab]", "[^a]", "[a-zA-Z]", r"[\d_]", r"[^\w]", r"[\S]", "[-a]", "[a-]", "[]a]", "[^]a]")
REPEATS = ("*", "+", "?", "{2}", "{1,2}", "{0,1}", "{2,}", "*?", "+?", "??", "{0}", "{,2}")
FORMS = ("^{}", "{}$", r"\b{}", r"{}\b", r"\A{}\z", "(?P<n>{})", "{}|", "({})*")
ALPHABET = "abAB_1 \n-é"


def random_pattern(random: Random, depth: int = 3) -> str:
    """Return a regular expression."""
    pattern = _pattern(random, depth)
    return f"(?i){pattern}" if random.random() < 0.2 else pattern


def random_text(random: Random) -> str:
    """Return a text for patterns."""
    return "".join(random.choice(ALPHABET) for _ in range(random.randrange(7)))


def _pattern(random: Random, depth: int) -> str:
    kind = random.randrange(10 if depth else 4)
    if kind < 3:
        return random.choice(ATOMS)
    if kind == 3:
        return random.choice(SETS)
    parts = [_pattern(random, depth - 1) for _ in range(random.randrange(1, 4))]
    match kind:
        case 7:
            return f"(?:{parts[0]}){random.choice(REPEATS)}"
        case 8:
            return f"({'|'.join(parts)})"
        case 9:
            form: str = random.choice(FORMS)
            return form.replace("{}", parts[0])
        case _:
            return "".join(parts)
