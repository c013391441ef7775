"""Changes to containers that can be taken back."""

from __future__ import annotations

from random import Random

from onward_engine.store.undo import Undo


def test_everything_is_taken_back_in_any_order_of_changes(seed: int) -> None:
    random, undo = Random(seed), Undo()
    values, ordered, log = {n: str(n) for n in range(5)}, list(range(0, 20, 2)), [1, 2]
    before = (dict(values), list(ordered), list(log))
    for _ in range(100):
        n = random.randrange(30)
        undo.set(values, n, "new")
        undo.drop(values, random.randrange(30))
        undo.add(ordered, n)
        undo.remove(ordered, random.choice(ordered))
        undo.append(log, n)
    undo.back_to(0)
    assert (values, ordered, log) == before


def test_a_mark_divides_what_stays_from_what_goes() -> None:
    undo, log = Undo(), [0]
    undo.append(log, 1)
    mark = undo.mark()
    undo.append(log, 2)
    undo.back_to(mark)
    assert log == [0, 1]
    undo.clear()
    undo.back_to(0)
    assert log == [0, 1]
