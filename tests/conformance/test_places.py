"""Places, lines and ranks: what every store keeps of the limits that runs are under."""

from __future__ import annotations

from collections.abc import Callable

from onward_engine.model import Run
from onward_engine.store.port import Rejected
from onward_engine.store.tables import QueueRow, QueueState, Tables
from onward_protocol.messages import ConcurrencyLimit

from tests.conformance.driver import Driver, function
from tests.conformance.rows import do, do_one, operations

__all__ = ["operations"]

Act = Callable[[Tables], object]


async def runs(driver: Driver, *functions: str) -> list[Run]:
    """Start runs that are under a limit: no others ever have a place, or stand in a line."""
    limit = [ConcurrencyLimit(1_000)]
    await driver.register(function("work", concurrency=limit), function("child", concurrency=limit))
    return [await driver.get(await driver.start(function)) for function in functions]


def in_line(run: Run, key: str, rank: int = 1, fair_key: str = "") -> Act:
    row = QueueRow(run.ord, run.function, rank, QueueState.LINE, 0, key, fair_key)
    return lambda tables: tables.put_queue_row(row)


def ready(run: Run, rank: int = 1, fair_key: str = "") -> Act:
    row = QueueRow(run.ord, run.function, rank, QueueState.OPEN, 0, "", fair_key)
    return lambda tables: tables.put_queue_row(row)


def gone(run: Run) -> Act:
    return lambda tables: tables.drop_queue_row(run.ord)


def heads(key: str) -> Act:
    return lambda tables: [row.ord for row in tables.line_heads(key)]


def given(key: str, run: Run, *, is_taken: bool) -> Act:
    return lambda tables: tables.put_place(key, run.ord, run.function, is_taken)


def places(key: str, *of: Run) -> Act:
    return lambda tables: (
        tables.places_taken(key),
        tables.places_offered(key, "shop/work"),
        [tables.place(key, run.ord) for run in of],
    )


async def test_the_first_of_each_function_stands_at_the_head_of_a_line(driver: Driver) -> None:
    late, first, other, better = await runs(driver, "work", "work", "child", "work")
    await do(driver, in_line(late, "k", 1), in_line(first, "k", 0), in_line(other, "k", 5), in_line(better, "x", 0))
    assert await do_one(driver, heads("k")) == [other.ord, first.ord]  # by function
    assert await do(driver, gone(first), heads("k")) == [None, [other.ord, late.ord]]
    assert await do(driver, gone(late), gone(other), heads("k"), heads("x")) == [None, None, [], [better.ord]]


async def test_a_long_line_is_let_in_to_its_end_in_one_batch(driver: Driver) -> None:
    waiting = await runs(driver, *["work"] * 20)
    await do(driver, *(in_line(run, "k") for run in waiting))
    [found] = await do(driver, _drain)
    assert found == [run.ord for run in waiting]


def _drain(tables: Tables) -> list[int]:
    found: list[int] = []
    while rows := tables.line_heads("k"):
        found.append(rows[0].ord)
        tables.drop_queue_row(rows[0].ord)
    return found


async def test_who_comes_to_a_line_in_the_same_batch_may_be_its_head(driver: Driver) -> None:
    one, two, three = await runs(driver, "work", "work", "work")
    await do(driver, in_line(two, "k", 3))
    got = await do(driver, heads("k"), in_line(three, "k", 4), heads("k"), in_line(one, "k", 2), heads("k"))
    assert got[::2] == [[two.ord], [two.ord], [one.ord]]
    assert await do(driver, ready(one), heads("k")) == [None, [two.ord]]


async def test_places_are_taken_or_offered_and_counted(driver: Driver) -> None:
    one, two, child = await runs(driver, "work", "work", "child")
    assert await do_one(driver, places("k", one)) == (0, 0, [None])
    await do(
        driver,
        given("k", one, is_taken=True),
        given("k", two, is_taken=False),
        given("k", child, is_taken=False),
        given("x", one, is_taken=False),
    )
    assert await do_one(driver, places("k", one, two, child)) == (1, 1, [True, False, False])
    assert await do_one(driver, lambda tables: tables.places_offered("k", "shop/child")) == 1


async def test_an_offered_place_is_taken_by_being_put_again(driver: Driver) -> None:
    [run] = await runs(driver, "work")
    await do(driver, given("k", run, is_taken=False))
    got = await do(driver, given("k", run, is_taken=True), places("k", run))
    assert got[1] == (1, 0, [True])
    await do(driver, given("k", run, is_taken=True))
    assert await do_one(driver, places("k", run)) == (1, 0, [True])


async def test_a_place_is_dropped_once(driver: Driver) -> None:
    one, two = await runs(driver, "work", "work")
    await do(driver, given("k", one, is_taken=True), given("k", two, is_taken=False))
    for _ in range(2):
        await do(driver, lambda tables: tables.drop_place("k", one.ord), lambda tables: tables.drop_place("k", two.ord))
        assert await do_one(driver, places("k", one, two)) == (0, 0, [None, None])


async def test_offers_are_counted_up_to_a_place_in_the_queue(driver: Driver) -> None:
    waiting = await runs(driver, *["work"] * 4, "child")

    def offer(tables: Tables) -> None:
        for rank, run in zip((5, 3, 7, 3), waiting, strict=False):
            tables.put_place("k", run.ord, run.function, is_taken=False, rank=rank)
        tables.put_place("k", waiting[4].ord, "shop/child", is_taken=False, rank=3)

    def before(rank: int, run: Run) -> Act:
        return lambda tables: tables.offers_before("k", "shop/work", rank, run.ord)

    await do(driver, offer)
    counted = [before(3, waiting[1]), before(3, waiting[3]), before(7, waiting[2]), before(9, waiting[0])]
    assert await do(driver, *counted) == [0, 1, 3, 4]
    got = await do(driver, given("k", waiting[1], is_taken=True), before(9, waiting[0]), before(3, waiting[3]))
    assert got[1:] == [3, 0]


async def test_offers_are_counted_however_many_there_are(driver: Driver) -> None:
    waiting = await runs(driver, *["work"] * 100)

    def offer(tables: Tables) -> None:
        for run in waiting:
            tables.put_place("k", run.ord, run.function, is_taken=False, rank=3)

    await do(driver, offer)

    def counted(tables: Tables) -> list[int]:
        return [tables.offers_before("k", "shop/work", 3, waiting[n].ord) for n in (0, 50, 99)]

    assert await do(driver, counted) == [[0, 50, 99]]


async def test_a_batch_that_fails_leaves_lines_and_places_as_they_were(driver: Driver) -> None:
    one, two = await runs(driver, "work", "work")
    await do(driver, in_line(one, "k"), given("x", two, is_taken=True), places("x", two), heads("k"))

    def fails(tables: Tables) -> None:
        tables.drop_queue_row(one.ord)
        tables.drop_place("x", two.ord)
        tables.put_place("k", two.ord, two.function, is_taken=False)
        assert (tables.line_heads("k"), tables.places_taken("x")) == ([], 0)
        raise ValueError("as a test")

    refused, *found = await do(driver, fails, heads("k"), places("x", two), places("k", two))
    assert isinstance(refused, Rejected)
    assert found == [[one.ord], (1, 0, [True]), (0, 0, [None])]


async def test_the_last_of_a_fair_key_is_known_wherever_it_waits(driver: Driver) -> None:
    one, two, three, other = await runs(driver, "work", "work", "work", "work")
    held = QueueRow(three.ord, three.function, 900, QueueState.HELD, 0, "", "acme")
    await do(driver, ready(one, 100, "acme"), in_line(two, "k", 500, "acme"), ready(other, 10_000, "zoo"))
    assert await do_one(driver, lambda tables: tables.last_rank("shop/work", "acme")) == 500
    await do(driver, lambda tables: tables.put_queue_row(held))
    assert await do_one(driver, lambda tables: tables.last_rank("shop/work", "acme")) == 900
    got = await do(driver, gone(three), gone(two), lambda tables: tables.last_rank("shop/work", "acme"))
    assert got[2] == 100
    assert await do_one(driver, lambda tables: tables.last_rank("shop/work", "nobody")) == 0


async def test_the_first_of_a_function_is_one_that_may_be_claimed_or_stands_in_line(driver: Driver) -> None:
    again, one, two, three = await runs(driver, "work", "work", "work", "work")
    held = QueueRow(three.ord, three.function, 50, QueueState.HELD, 0, "", "acme")
    await do(driver, ready(again, 0), ready(one, 300, "acme"), in_line(two, "k", 200, "acme"))
    await do(driver, lambda tables: tables.put_queue_row(held))
    assert await do_one(driver, lambda tables: tables.first_rank("shop/work")) == 200
    got = await do(driver, gone(two), lambda tables: tables.first_rank("shop/work"))
    assert got[1] == 300
    assert await do_one(driver, lambda tables: tables.first_rank("shop/child")) == 0


async def test_ranks_are_right_however_many_go_in_the_same_batch(driver: Driver) -> None:
    waiting = await runs(driver, *["work"] * 40)
    await do(driver, *(ready(run, 10 + n, "acme") for n, run in enumerate(waiting)))

    def drain(tables: Tables) -> tuple[int, int]:
        for run in (*waiting[:19], *waiting[21:]):
            tables.drop_queue_row(run.ord)
        return tables.first_rank("shop/work"), tables.last_rank("shop/work", "acme")

    assert await do_one(driver, drain) == (10 + 19, 10 + 20)


async def test_the_lines_of_a_function_come_by_key(driver: Driver) -> None:
    one, two, three, child = await runs(driver, "work", "work", "work", "child")
    await do(driver, in_line(one, "a"), in_line(two, "c"), in_line(child, "b"))

    def keys(after: str, limit: int) -> Act:
        return lambda tables: tables.line_keys("shop/work", after, limit)

    assert await do(driver, keys("", 9), keys("a", 9), keys("", 1)) == [["a", "c"], ["c"], ["a"]]
    assert await do(driver, in_line(three, "aa"), keys("", 2)) == [None, ["a", "aa"]]
