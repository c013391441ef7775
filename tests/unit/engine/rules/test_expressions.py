"""What bounds an expression, and what its errors say. What it means is on docs/expressions.md and compared with CEL."""

from __future__ import annotations

import math
import time

import pytest
from onward_engine.rules.expressions import (
    STEPS_MAX,
    Expression,
    ExpressionError,
    Term,
    TooManySteps,
    Value,
    condition,
    expression,
)
from onward_engine.rules.expressions.patterns import compile_pattern

EVENT: dict[str | int, Value] = {"data": {"n": 1, "many": list(range(1_000)), "long": "a" * 30_000 + "!"}}


def read(source: str) -> Expression:
    return expression(source, ("event",))


def value(source: str) -> Value:
    return read(source).value(EVENT)


def error_of(source: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        value(source)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("event.data.n == 'a", "the text that begins here has no end, at character 17"),
        ("event.data.n = 1", "'=' means nothing here, at character 14"),
        ("event.data.n == 1)", "')' cannot stand here, at character 18"),
        ("(event.data.n == 1", "it ends too early, at character 19"),
        ("[1 2]", "']' is missing, at character 4"),
        ("1u", "numbers without a sign, such as 1u, are not supported; leave out the u"),
        ("b'a'", "bytes are not supported"),
        ("'\\z'", "\\z is no escape; write r'...' to keep a backslash, at character 2"),
        ("'\\ud800'", "\\ud800 is no character"),
        ("9223372036854775808", "the number does not fit into 64 bits"),
        ("9" * 4_096, "the number does not fit into 64 bits"),
        ("-9223372036854775809", "the number does not fit into 64 bits"),
        ("event.in", 'behind a dot comes a name; write ["..."] for any other key'),
        ("while", "'while' is a reserved word"),
        ("has(event)", "has() takes one field, as in has(event.data.user)"),
        ("[1].all(event.data, true)", "write all(x, ...), x being a name for each item"),
        ("[1].all(x)", "write all(x, ...)"),
        ("size(1, 2)", "size() takes one value, not 2"),
        ("'a'.startsWith()", "startsWith() takes 2 values, not 1"),
        ("event.user", "event has no field user; it has name, data, id, ts, key, meta"),
        ("async.data", "there is no variable async; there is event"),
        ("[1].map(x, y)", "there is no variable y; there is event, x"),
        ("now()", "there is no function now; there are bool, contains"),
        ("{'a': 1, 'a': 2}", "the map has the key 'a' twice"),
        ("!event.data.n", "! needs true or false, not int"),
        ("event.data.n && true", "&& needs true or false, not int"),
        ("[1].exists(x, x)", "exists needs true or false, not int"),
        ("double('1e')", "double() cannot read '1e'"),
        ("int(1e300)", "int() cannot hold 1e+300"),
        ("timestamp('2026-13-01T00:00:00Z')", "timestamp() cannot read '2026-13-01T00:00:00Z'"),
        ("timestamp(1) + duration('100000h') * 2", "* does not work with duration and int"),
    ],
)
def test_an_error_says_what_and_where(source: str, said: str) -> None:
    assert said in error_of(source)


def test_a_sentence_names_the_expression_but_never_all_of_a_long_one() -> None:
    assert error_of("1 +").endswith("at character 4 of the expression '1 +'")
    assert len(error_of("1 + " * 500)) < 400


@pytest.mark.parametrize(
    "source",
    ["(" * 60 + "1" + ")" * 60, "1" + " + 1" * 60, "[" * 60 + "]" * 60, "event.data" + "[0][event.data.n]" * 60],
)
def test_nesting_is_bounded(source: str) -> None:
    assert "it is nested deeper than 50 levels" in error_of(source)


def test_any_number_of_parts_may_be_joined() -> None:
    assert value(" || ".join(["event.data.n == 7"] * 150 + ["true"])) is True


def test_the_length_is_bounded() -> None:
    assert "5000 characters are too many; at most 4096 are possible" in error_of("1" * 5_000)


@pytest.mark.parametrize(
    "source",
    [
        "event.data.many.all(x, event.data.many.all(y, x >= 0))",
        "event.data.many.map(x, event.data.many) == []",
        "event.data.many.all(x, x in event.data.many)",
        "event.data.many.exists(x, event.data.long.contains('b' + string(x)))",
        "event.data.many.all(x, event.data.long + event.data.long != '')",
        "event.data.many.all(x, [event.data.many] == [event.data.many])",
        "event.data.long.matches('(a|b|ab|ba|aab|abb|bba|bbb|abab|baba|aabb|bbaa)*c')",
    ],
)
def test_no_expression_takes_longer_than_its_steps(source: str) -> None:
    started = time.process_time()
    with pytest.raises(TooManySteps, match=f"it takes more than {STEPS_MAX} steps on this event"):
        value(source)
    assert time.process_time() - started < 0.5


def test_no_logic_absorbs_too_many_steps() -> None:
    for form in ("{} || true", "!({} && false)", "[1, 2].exists(x, x == 2 || {})"):
        with pytest.raises(TooManySteps):
            value(form.format("event.data.many.all(x, event.data.many.all(y, true))"))


def test_the_steps_of_an_evaluation_depend_on_the_event_alone() -> None:
    text = "event.data.long.matches('^(a|aa)*$')"
    assert [value(text) for _ in range(3)] == [False] * 3


def test_a_pattern_that_others_backtrack_on_takes_as_long_as_its_text() -> None:
    pattern = compile_pattern("(a+)+$")
    started = time.process_time()
    assert not pattern.search("a" * 100_000 + "!")
    assert time.process_time() - started < 0.5


def test_a_pattern_is_bounded_however_it_repeats() -> None:
    for pattern in ("(((a{30}){30}){30}){30}", "((((a+)+)+)+){200}", "(" * 60 + ")" * 60):
        with pytest.raises(ExpressionError, match=r"too large|nested deeper"):
            compile_pattern(pattern)
    assert compile_pattern("(((){1000}){1000}){1000}").search("")


def test_a_border_lies_between_characters() -> None:
    assert compile_pattern(r"\Bé").search("é")
    assert not compile_pattern(r"^\B.\B$").search("a")


def test_values_that_are_nested_too_deeply_are_an_error_and_no_crash() -> None:
    deep: Value = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested too deeply"):
        read("event.data == [event.data]").value({"data": deep})


def test_true_is_no_number_however_deep_it_lies() -> None:
    assert value("[true, {'a': [false]}] == [1, {'a': [0]}]") is False
    assert value("true in [1]") is False
    assert value("{1: 'a'}[true]") is None


def test_division_and_numbers_that_are_none() -> None:
    assert value("1.0 / 0.0") == math.inf
    assert value("-1.0 / 0.0") == -math.inf
    assert value("0.0 / 0.0 == 0.0 / 0.0") is False
    assert value("[0.0 / 0.0] == [0.0 / 0.0]") is False


def test_large_numbers_are_compared_exactly() -> None:
    assert value("9007199254740993 == 9007199254740992.0") is False
    assert value("9223372036854775807 < 9223372036854775808.0") is True


def test_a_condition_must_be_able_to_be_true() -> None:
    for source in ("1", "'a' + 'b'", "[true]", "{}", "size('a')", "true ? 1 : 2", "[1].map(x, true)", "-event.data.n"):
        with pytest.raises(ExpressionError, match="it can never be true or false"):
            condition(source, ("event",))
    assert condition("event.data.nothing", ("event",)).holds(EVENT) is False


def test_the_equalities_that_must_hold_are_known() -> None:
    found = condition("(event.data.a.b == 1 && 'x' == event.data['c d'][0]) && (event.data.e == 2 || true)", ("event",))
    assert found.terms == (Term("event", ("a", "b"), 1), Term("event", ("c d", 0), "x"))
    assert not condition("event.data == 1 || event.data.a == 1", ("event",)).terms
    assert not condition("!(event.data.a == 1) && event.name == 'x'", ("event",)).terms


def test_an_expression_is_read_once() -> None:
    assert condition("event.data.once == 1", ("event",)) is condition("event.data.once == 1", ("event",))
