"""Runs that call runs, and waits with mistakes in them: what the code that asked gets, and that nobody hangs."""

from collections.abc import AsyncIterator

import pytest
from onward.testing import TestEngine

from tests.scenarios import children as c


@pytest.fixture(params=[False, True], ids=["calm", "crashing"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[TestEngine]:
    c.executed.clear()
    async with TestEngine(c.functions, crash_everywhere=request.param) as started:
        yield started


async def test_a_child_gives_its_result_with_its_type(engine: TestEngine) -> None:
    orders = [c.Order("a", [1, 2]), c.Order("b", [3])]
    run = await engine.start(c.invoices, orders)
    assert run.output == [c.Invoice(orders[0], 3), c.Invoice(orders[1], 3)]
    assert len(engine.runs) == 3


async def test_one_childs_failure_loses_no_others_result(engine: TestEngine) -> None:
    run = await engine.start(c.asks_all, [1, -2, 3])
    assert run.output == ["1", "NonRetryable: no negative numbers {'number': -2}", "3"]


async def test_a_thread_gets_a_childs_result_or_its_failure(engine: TestEngine) -> None:
    good, bad = await engine.start(c.asks_in_a_thread, 5), await engine.start(c.asks_in_a_thread, -5)
    assert (good.output, bad.output) == ("5", "NonRetryable")


async def test_a_child_that_takes_too_long_is_cancelled(engine: TestEngine) -> None:
    run = await engine.start(c.impatient, 0)
    await engine.advance("2h")
    [child] = [one for one in engine.runs if one.function is c.sleeps]
    assert (run.output, child.status) == ("TimedOut", "cancelled")
    assert c.executed == ["TimedOut"]


async def test_a_caller_that_is_cancelled_takes_its_children_along(engine: TestEngine) -> None:
    run = await engine.start(c.impatient, 0)
    await engine.cancel(run)
    await engine.advance("2h")
    [child] = [one for one in engine.runs if one.function is c.sleeps]
    assert (run.status, child.status, c.executed) == ("cancelled", "cancelled", [])


@pytest.mark.parametrize("name", ["countdown", "countdown_in_a_thread"])
async def test_a_function_of_which_one_may_run_at_once_can_call_itself(engine: TestEngine, name: str) -> None:
    """Whoever waits gives its place back."""
    run = await engine.start(engine.functions[f"children/{name}"], 4)
    assert run.output == 4
    assert len(engine.runs) == 5


async def test_functions_of_which_one_may_run_at_once_can_call_each_other(engine: TestEngine) -> None:
    assert (await engine.start(c.ping, 5)).output == 5


async def test_a_call_of_itself_beside_a_step_goes_on_when_the_step_has_ended(engine: TestEngine) -> None:
    assert (await engine.start(c.calls_itself_beside_a_step, 1)).output == [[], "beside"]


async def test_an_invalid_expression_fails_its_wait_with_the_reason_and_no_other(engine: TestEngine) -> None:
    wrong = await engine.start(c.waits_where, "async.data.amount >")
    right = await engine.start(c.waits_where, "async.data.amount > 5")
    beside = await engine.start(c.waits_beside_a_wrong_one, "")
    assert "option 'where'" in wrong.output
    assert c.executed == ["InvalidExpression"]
    await engine.send(c.Paid({"amount": 7}))
    assert (right.output, beside.output) == ("paid 7", ["Event", "StepFailed"])


async def test_an_expression_that_cannot_be_evaluated_waits_on(engine: TestEngine) -> None:
    run = await engine.start(c.waits_where, "async.data.name > 5")
    await engine.send(c.Paid({"name": 1}), c.Paid({"amount": 2}))
    assert run.status == "parked"
    await engine.advance("1h")
    assert run.output == "late"


async def test_an_input_that_cannot_be_kept_is_named_at_the_call(engine: TestEngine) -> None:
    run = await engine.start(c.cannot_encode, 0)
    assert run.output.startswith("CodecError: input of function 'children/picky' (object) cannot be encoded")
