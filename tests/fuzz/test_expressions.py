"""Random expressions and events: ours and the reference implementation of CEL say the same.

2,000 of each kind by default; `--seeds 500` is 50,000. What is meant to differ stands in `tests/support/cel.py`.
"""

from __future__ import annotations

from random import Random

import msgspec
from msgspec.structs import replace
from onward.values.expressions import key_problem
from onward_engine.rules import conditions, waits
from onward_engine.rules.expressions import ExpressionError, Value, condition, item
from onward_engine.rules.flow.problems import problem
from onward_protocol.messages import ConcurrencyLimit, Event, EventWait, FunctionManifest

from tests.support import cel, expressions

EACH = 100
KEYED = FunctionManifest("shop/work")


def test_an_expression_means_what_it_means_in_cel(seed: int) -> None:
    random = Random(seed)
    for _ in range(EACH):
        source, events = (
            expressions.random_source(random),
            (expressions.random_event(random), expressions.random_event(random)),
        )
        ours, theirs = cel.ours(source.plain, *events), cel.theirs(source, *events)
        assert cel.agree(ours, theirs), f"{source.plain} on {events}"


def test_a_pattern_matches_what_it_matches_in_cel(seed: int) -> None:
    random = Random(seed)
    for _ in range(EACH):
        pattern, text = expressions.random_pattern(random), expressions.random_text(random)
        source = f"{cel.quoted(text)}.matches({cel.quoted(pattern)})"
        assert cel.ours(source, {}, {}) == cel.theirs(cel.Source(source, source), {}, {}), source


def test_what_this_engine_can_read_cel_can_read(seed: int) -> None:
    random = Random(seed)
    for _ in range(EACH):
        source = _garbled(random, expressions.random_source(random).plain)
        assert not _is_read(source) or cel.compiles(source), source


def test_what_the_sdk_refuses_this_engine_cannot_read(seed: int) -> None:
    random = Random(seed)
    refused = 0
    for _ in range(EACH):
        source = _garbled(random, expressions.random_source(random).plain)
        if source and key_problem(source):
            refused += 1
            assert problem(replace(KEYED, concurrency=(ConcurrencyLimit(1, source),))), source
    assert refused, "some of these should have lost a bracket"


def test_an_event_that_ends_a_wait_is_found_by_its_equalities(seed: int) -> None:
    random = Random(seed)
    held = 0
    for _ in range(EACH):
        own, event = _event(random), _event(random)
        document = conditions.Subject(event).document
        wait = EventWait("x", where=_equalities(random, conditions.Subject(own).document, document))
        bound = conditions.bound(wait, conditions.Subject(own).document)
        if condition(wait.where, conditions.WAIT).holds(conditions.Subject(own).document, document):
            held += 1
            assert waits.accepts(bound, event), f"{wait.where} of {own.data!r} on {event.data!r}"
            assert conditions.holds(bound, conditions.Subject(event))
    assert held > EACH // 5, "most of these should be true of something"


def _is_read(source: str) -> bool:
    try:
        return bool(condition(source, cel.VARIABLES))
    except ExpressionError:
        return False


def _garbled(random: Random, source: str) -> str:
    at, kind = random.randrange(len(source)), random.randrange(4)
    piece = random.choice(
        ("", "", "(", ")", ".", "&&", "!", "-", "'", "\\", "x", "1", "?", "[", "in", " ", "data", "{")
    )
    return source[:at] + piece + source[at + kind :] if kind else source


def _event(random: Random) -> Event:
    data = expressions.random_event(random)["data"]
    if isinstance(data, dict) and random.random() < 0.5:
        data = {**data, "0": 1, "x.y": [2**53, 1e18, 10**18, {"0": None}]}
    return Event("evt_1", "x", msgspec.json.encode(data), 1, 1)


def _equalities(random: Random, own: conditions.Document, event: conditions.Document) -> str:
    parts = [_equality(random, own, event) for _ in range(random.randrange(1, 4))]
    return " && ".join(parts)


def _equality(random: Random, own: conditions.Document, event: conditions.Document) -> str:
    path, value = _walk(random, event)
    other, theirs = _walk(random, own)
    if theirs == value or random.random() < 0.1:
        return f"async.data{path} == event.data{other}"
    if isinstance(value, list | dict):
        return f"size(async.data{path}) >= 0"
    literal = cel.quoted(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"async.data{path} == {literal}" if random.random() < 0.5 else f"{literal} == async.data{path}"


def _walk(random: Random, document: conditions.Document) -> tuple[str, Value]:
    """Return a way through the data, and what stands there."""
    path, value = "", document["data"]
    for _ in range(random.randrange(1, 4)):
        key = _key(random, value)
        path += f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{msgspec.json.encode(key).decode()}]"
        value = item(value, key)
    return path, value


def _key(random: Random, value: Value) -> str | int:
    if isinstance(value, dict) and value and random.random() < 0.9:
        return random.choice(list(value))
    if isinstance(value, list) and value and random.random() < 0.9:
        return random.randrange(len(value))
    return random.choice((0, "0", "a", "none", 1))
