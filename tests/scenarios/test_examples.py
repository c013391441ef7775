"""The examples do what they say, also when the worker dies after everything that becomes durable."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from onward import Event, NonRetryable, StepFailed
from onward.app import functions_in
from onward.testing import TestEngine, TestRun

from examples import outside
from examples.import_pipeline.app import FileUploaded, Upload
from examples.import_pipeline.app import functions as imports
from examples.onboarding.app import Project, ProjectMade, SignedUp, User, UserLeft
from examples.onboarding.app import functions as onboarding
from examples.orders.app import Order, OrderConfirmed, OrderPlaced
from examples.orders.app import functions as orders
from examples.saga.app import Payment, Trip, TripPaid, TripWanted
from examples.saga.app import functions as trips
from examples.search_index.app import Document, Edited, Indexed, Rebuild, RebuildWanted
from examples.search_index.app import functions as search

README = Path(__file__).parents[2] / "examples/README.md"
ANN = User("u1", "ann@example.com")

pytestmark = pytest.mark.parametrize("crashing", [False, True], ids=["calm", "crashing"])


@pytest.fixture(autouse=True)
def done() -> Iterator[list[str]]:
    """What was done outside, without the runs' ids."""
    outside.done.clear()
    yield outside.done
    repeated = [what for what, count in Counter(outside.done).items() if count > 1]
    assert not repeated


def order(id: str) -> Order:
    return Order(id, "ann", Decimal("9.90"))


async def test_an_order_is_paid_shipped_and_told_once(crashing: bool, done: list[str]) -> None:
    async with TestEngine(orders, crash_everywhere=crashing) as engine:
        [run] = await engine.send(OrderPlaced(order("o1")))
        await engine.advance("10m")
        await engine.send(OrderConfirmed(order("o1")))
        assert run.output == "INV-o1 9.90 1"
    assert [line.split()[0] for line in done] == ["reserve", "charge", "ship", "mail", "track"]


async def test_an_order_that_nobody_confirms_is_refunded(crashing: bool, done: list[str]) -> None:
    async with TestEngine(orders, crash_everywhere=crashing) as engine:
        [run] = await engine.send(OrderPlaced(order("o2")))
        await engine.advance("25h")
        assert isinstance(run.error, NonRetryable)
    assert done[-1] == "refund o2: not confirmed"


async def test_a_customers_orders_come_one_after_another(crashing: bool, done: list[str]) -> None:
    async with TestEngine(orders, crash_everywhere=crashing) as engine:
        first, second = await engine.send(OrderPlaced(order("o1")), OrderPlaced(order("o2")))
        assert "reserve o2" not in done or first.status == "parked"
        await engine.advance("10m")
        await engine.send(OrderConfirmed(order("o1")), OrderConfirmed(order("o2")))
        await engine.advance("10m")
        assert [run.output for run in (first, second)] == ["INV-o1 9.90 1", "INV-o2 9.90 1"]


async def played_onboarding(crashing: bool, *plan: str | Event[Any]) -> TestRun[Any]:
    async with TestEngine(onboarding, crash_everywhere=crashing) as engine:
        [run] = await engine.send(SignedUp(ANN))
        for act in plan:
            await (engine.advance(act) if isinstance(act, str) else engine.send(act))
        return run


async def test_a_user_with_a_project_gets_other_mails(crashing: bool, done: list[str]) -> None:
    run = await played_onboarding(crashing, "4d", ProjectMade(Project("u1", "garden")), "8d")
    assert run.output == "active"
    assert [line.partition(": ")[2] for line in done] == [
        "welcome",
        "your first project",
        "well done: garden",
        "what next?",
    ]


async def test_somebody_elses_project_does_not_count(crashing: bool, done: list[str]) -> None:
    run = await played_onboarding(crashing, ProjectMade(Project("u2", "house")), "7d")
    assert run.output == "silent"
    assert len(done) == 3


async def test_a_user_who_has_left_gets_no_more_mail(crashing: bool, done: list[str]) -> None:
    run = await played_onboarding(crashing, "1d", UserLeft(ANN), "30d")
    assert run.status == "cancelled"
    assert len(done) == 1


async def test_a_file_is_imported_and_each_part_written_once(crashing: bool, done: list[str]) -> None:
    async with TestEngine(imports, crash_everywhere=crashing) as engine:
        [run] = await engine.send(FileUploaded(Upload("prices.csv", 1_000)))
        assert run.output == 2_000
        assert run.progress == {"rows": 1_000, "of": 1_000}
    assert [line.partition(" of ")[0] for line in done] == ["write 4 chunks", "write 4 chunks", "write 2 chunks"]


BOOKED = ["book flight for t1", "book hotel for t1", "book car for t1"]
TAKEN_BACK = ["take back t1/car", "take back t1/hotel", "take back t1/flight"]


async def test_a_trip_that_is_paid_stays_booked(crashing: bool, done: list[str]) -> None:
    async with TestEngine(trips, crash_everywhere=crashing) as engine:
        [run] = await engine.send(TripWanted(Trip("t1", ["flight", "hotel", "car"])))
        await engine.send(TripPaid(Payment("t1", 900)))
        assert run.output == ["t1/flight", "t1/hotel", "t1/car"]
    assert done == BOOKED


async def test_a_trip_that_nobody_pays_is_taken_back_in_reverse(crashing: bool, done: list[str]) -> None:
    async with TestEngine(trips, crash_everywhere=crashing) as engine:
        [run] = await engine.send(TripWanted(Trip("t1", ["flight", "hotel", "car"])))
        await engine.advance("25h")
        assert isinstance(run.error, NonRetryable)
    assert done == BOOKED + TAKEN_BACK


async def test_a_trip_that_is_cancelled_is_taken_back_before_the_run_ends(crashing: bool, done: list[str]) -> None:
    async with TestEngine(trips, crash_everywhere=crashing) as engine:
        [run] = await engine.send(TripWanted(Trip("t1", ["flight", "hotel", "car"])))
        await engine.cancel(run)
        assert run.status == "cancelled"
    assert done == BOOKED + TAKEN_BACK


async def test_what_was_booked_before_a_failure_is_taken_back(crashing: bool, done: list[str]) -> None:
    async with TestEngine(trips, crash_everywhere=crashing) as engine:
        [run] = await engine.send(TripWanted(Trip("t1", ["flight", "hotel", "car, sold out"])))
        assert isinstance(run.error, StepFailed)
    assert done == [*BOOKED[:2], *TAKEN_BACK[1:]]


async def test_what_is_typed_in_one_go_is_indexed_once(crashing: bool, done: list[str]) -> None:
    async with TestEngine(search, crash_everywhere=crashing) as engine:
        for text in ("a", "al", "alp", "alps"):
            await engine.send(Edited(Document("ann", "d1", text)))
            await engine.advance("2s")
        await engine.advance("5s")
    assert done == ["embed ann/d1: alps", "write ann/d1: [1, 1, 1, 1]"]


async def test_an_import_of_one_tenant_delays_no_other(crashing: bool, done: list[str]) -> None:
    async with TestEngine(search, crash_everywhere=crashing) as engine:
        await engine.pause(functions_in(search)["search/index"])
        await engine.send(*[Edited(Document("ann", f"d{number}")) for number in range(50)])
        await engine.send(Edited(Document("bob", "d1")))
        await engine.advance("5s")
        await engine.resume(functions_in(search)["search/index"])
    assert "embed bob/d1: " in [line for line in done if line.startswith("embed")][:8]
    assert len(done) == 2 * 51


async def test_a_tenant_hears_of_many_documents_in_one_mail(crashing: bool, done: list[str]) -> None:
    async with TestEngine(search, crash_everywhere=crashing) as engine:
        await engine.send(*[Indexed(Document("ann", f"d{number}")) for number in range(3)])
        await engine.send(Indexed(Document("bob", "d7")))
        await engine.advance("10m")
    assert sorted(done) == ["mail to ann: d0, d1, d2", "mail to bob: d7"]


async def test_an_index_is_rebuilt_once_however_often_it_is_asked_for(crashing: bool, done: list[str]) -> None:
    async with TestEngine(search, crash_everywhere=crashing) as engine:
        wanted = RebuildWanted(Rebuild("ann", ["d1", "d2"]))
        first, again = [(await engine.send(wanted))[0] for _ in range(2)]
        await engine.advance("5s")
        assert (first.output, again.status) == (2, "skipped")
    assert len(done) == 4


async def test_the_commands_of_the_page_start_something(crashing: bool) -> None:
    commands = re.findall(r"^worker send (\S+) '(.*)'$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 9
    async with TestEngine([orders, onboarding, imports, trips, search], crash_everywhere=crashing) as engine:
        for name, data in commands:
            await engine.send(Event(name, json.loads(data)))
        await engine.advance("30d")
        assert {run.function.id for run in engine.runs} | {"shop/process_order!failure"} == set(
            functions_in([orders, onboarding, imports, trips, search])
        )
        assert {run.status for run in engine.runs} == {"completed"}
