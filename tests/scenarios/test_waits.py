"""Signals, callbacks, detached runs, tags and progress: on the first execution, and with a crash after everything that
becomes durable.
"""

from collections.abc import AsyncIterator

import pytest
from onward import Checkpoint
from onward.testing import TestEngine, assert_replay_safe
from onward_protocol.ids import derived_id

from tests.scenarios import waits as w


@pytest.fixture(params=["calm", "crashing", "buffered"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[TestEngine]:
    w.mails.clear()
    checkpoint = Checkpoint.BLENDED if request.param == "buffered" else None
    async with TestEngine(w.functions, crash_everywhere=request.param == "crashing", checkpoint=checkpoint) as started:
        yield started


both = pytest.mark.parametrize("name", ["approval", "approval_in_a_thread"])


@both
async def test_a_signal_ends_the_wait_for_it_with_its_value(engine: TestEngine, name: str) -> None:
    run = await engine.start(engine.functions[f"waits/{name}"], 0)
    assert run.status == "parked"
    assert await engine.signal("approved", True, run=run) == "delivered"
    assert run.output == "yes"
    assert w.mails == ["reviewer"]


@both
async def test_a_wait_for_a_signal_ends_at_its_timeout(engine: TestEngine, name: str) -> None:
    run = await engine.start(engine.functions[f"waits/{name}"], 0)
    await engine.advance("1h")
    assert run.output == "late"


async def test_signals_come_in_the_order_in_which_they_were_sent(engine: TestEngine) -> None:
    run = await engine.start(w.collects, 4)
    for number in (1, 2):
        await engine.signal("number", number, run=run)
    await engine.signal("other", "x", run=run)
    for number in (3, 4):
        await engine.signal("number", number, run=run)
    assert run.output == [1, 2, 3, 4]
    assert w.mails == ["1", "2", "3", "4"]


async def test_a_signal_that_comes_before_the_wait_is_not_lost(engine: TestEngine) -> None:
    run = await engine.start(w.answered_before_it_is_awaited, "")
    assert await engine.signal("number", 1, run=run) == "kept"
    collecting = await engine.start(w.collects, 2)
    assert await engine.signal("number", 5) == "delivered"
    assert await engine.signal("number", 6) == "delivered"
    assert collecting.output == [5, 6]


async def test_a_repeated_signal_counts_once(engine: TestEngine) -> None:
    run = await engine.start(w.collects, 2)
    await engine.signal("number", 1, run=run, id="a")
    await engine.signal("number", 1, run=run, id="a")
    assert run.status == "parked"
    await engine.signal("number", 2, run=run, id="b")
    assert run.output == [1, 2]


async def test_two_branches_that_wait_for_one_name_get_a_signal_each(engine: TestEngine) -> None:
    run = await engine.start(w.two_at_once, 0)
    await engine.signal("word", "a", run=run)
    await engine.signal("word", "b", run=run)
    assert run.output == ["a", "b"]


async def test_a_race_with_a_signal_has_one_winner(engine: TestEngine) -> None:
    run, other = await engine.start(w.signal_or_timer, 0), await engine.start(w.signal_or_timer, 0)
    await engine.signal("go", "!", run=run)
    await engine.advance("1h")
    assert (run.output, other.output) == ("signal", "timer")


async def test_a_value_of_another_type_fails_the_run_by_name(engine: TestEngine) -> None:
    run = await engine.start(w.approval, 0)
    await engine.signal("approved", "perhaps", run=run)
    assert run.status == "failed"
    assert "value of signal 'approved'" in str(run.error)


async def test_a_signal_to_a_run_that_is_over_is_refused(engine: TestEngine) -> None:
    run = await engine.start(w.approval, 0)
    await engine.advance("1h")
    assert await engine.signal("approved", True, run=run) == "over"
    assert await engine.signal("approved", True) == "not_waiting"


@pytest.mark.parametrize("name", ["webhook", "webhook_in_a_thread"])
async def test_an_answer_ends_a_callback_once(engine: TestEngine, name: str) -> None:
    run = await engine.start(engine.functions[f"waits/{name}"], "")
    [url] = w.mails
    assert run.status == "parked"
    assert url.startswith("http://127.0.0.1:8484/c/")
    assert await engine.answer(url, {"score": 7}) == "answered"
    assert run.output == {"score": 7}
    assert w.mails == [url]
    assert await engine.answer(url, {"score": 8}) == "unknown"


async def test_a_callback_that_nobody_answers_is_none(engine: TestEngine) -> None:
    run = await engine.start(w.webhook, "")
    await engine.advance("3d")
    assert run.output is None
    assert await engine.answer(w.mails[0], {}) == "unknown"


async def test_an_answer_that_comes_before_anybody_waits_for_it_is_kept(engine: TestEngine) -> None:
    run = await engine.start(w.answered_before_it_is_awaited, "")
    assert await engine.answer(w.mails[0], 5) == "answered"
    assert await engine.answer(w.mails[0], 6) == "repeated"
    assert run.status == "parked"
    await engine.advance("1h")
    assert run.output == [5, 5]
    assert w.mails[1:] == ["later"]


async def test_a_callback_may_be_awaited_again_after_a_wait_was_cancelled(engine: TestEngine) -> None:
    run = await engine.start(w.reminds, "")
    await engine.advance("2h30m")
    assert await engine.answer(w.mails[0], "here") == "answered"
    assert run.output == "here"
    assert w.mails[1:] == ["reminder", "reminder"]


async def test_callbacks_are_answered_in_any_order(engine: TestEngine) -> None:
    run = await engine.start(w.two_callbacks, 0)
    [first, second] = w.mails[0].split()
    assert first != second
    assert [await engine.answer(second, 2), await engine.answer(first, 1)] == ["answered", "answered"]
    assert run.output == [2, 1]


async def test_a_call_for_a_callback_that_is_cancelled_leaves_nothing_open(engine: TestEngine) -> None:
    run = await engine.start(w.gives_up_an_opening, 0)
    assert run.output in ("cancelled", "open")
    assert list(dict.fromkeys(w.mails)) == ["first", "second"]
    assert len(w.mails) <= 2 + engine.crashes  # a step is in flight when the frame that closes it becomes durable


async def test_a_started_run_goes_its_own_way_and_is_started_once(engine: TestEngine) -> None:
    run = await engine.start(w.starts, 3)
    assert [one.function for one in run.output] == ["waits/child"] * 3
    assert run.output[0].id == derived_id("run", run.id, "start:waits/child@0#0")
    await engine.advance("1h")
    assert [engine.run(one.id).output for one in run.output] == [0, 2, 4]
    assert sorted(w.mails) == ["child 0", "child 1", "child 2", "started"]


async def test_a_thread_starts_runs_as_well(engine: TestEngine) -> None:
    run = await engine.start(w.starts_in_a_thread, 4)
    await engine.advance("1h")
    assert engine.run(run.output.id).output == 8


async def test_a_started_run_is_not_cancelled_with_its_parent_and_an_invoked_one_is(engine: TestEngine) -> None:
    run = await engine.start(w.starts_and_waits, 0)
    started, invoked = (one for one in engine.runs if one.function is w.child)
    await engine.cancel(run)
    await engine.advance("1h")
    assert (run.status, started.status, invoked.status) == ("cancelled", "completed", "cancelled")


async def test_a_start_of_an_unknown_function_raises_as_an_invoke_does(engine: TestEngine) -> None:
    run = await engine.start(w.starts_an_unknown_one, 0)
    assert run.output == "no worker has registered a function 'elsewhere/nobody'"
    assert w.mails == ["UnknownFunction"]


async def test_a_run_has_the_newest_value_of_each_tag(engine: TestEngine) -> None:
    run = await engine.start(w.tagged, 12)
    assert run.tags == {"amount": "12", "customer": "42", "paid": "true"}
    assert (await engine.start(w.tagged_in_a_thread, 0)).tags == {"customer": "42"}


async def test_one_tag_too_many_fails_by_name(engine: TestEngine) -> None:
    run = await engine.start(w.too_many_tags, 0)
    assert "at most 32 tags" in str(run.error)


async def test_the_newest_progress_is_kept_with_the_run(engine: TestEngine) -> None:
    run = await engine.start(w.progresses, 3)
    assert run.progress in (0, {"in": 0})
    await engine.advance("1s")
    assert run.progress == {"in": 0}
    await engine.advance("1h")
    assert (run.status, run.progress) == ("completed", "done")


async def test_progress_is_one_frame_a_second_at_most() -> None:
    async with TestEngine(w.functions) as engine:
        run = await engine.start(w.progresses, 50)
        await engine.advance("1h")
        assert run.progress == "done"
        assert run.executions.total() == 50


def test_the_waits_are_replay_safe() -> None:
    assert_replay_safe(w.approval, 0)
    assert_replay_safe(w.starts, 2)
