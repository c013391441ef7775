"""A run as a picture."""

from __future__ import annotations

from onward.calls import RecordedError, RunRecord, StepRecord
from onward_cli.trace import Bar, bars_of, draw
from onward_protocol.ids import derived_id

RUN = RunRecord("run_1", "shop/order", "completed", 1, 1_000, started_at_ms=1_100, ended_at_ms=2_000)


def step(key: str, begin: int | None, end: int, kind: str = "step", **fields: object) -> StepRecord:
    status = str(fields.pop("status", "completed"))
    return StepRecord(key, kind, status, at_ms=end, began_at_ms=begin, **fields)  # type: ignore[arg-type]


def picture(run: RunRecord, *steps: StepRecord, now_ms: int = 0, width: int = 60, is_plain: bool = True) -> list[str]:
    return list(draw(run, bars_of(run, steps), now_ms=now_ms, width=width, is_plain=is_plain))


def test_each_part_stands_where_it_was_in_the_time_of_the_run() -> None:
    lines = picture(
        RUN,
        step("load", 1_100, 1_300),
        step("charge", 1_300, 1_500, attempts=3),
        step("nap", 1_500, 2_000, "sleep"),
        width=65,
    )
    assert lines == [
        "run_1  shop/order  completed  1.00s",
        "(queue)  ----                                   100ms",
        "load        ########                            200ms",
        "charge              #######                     200ms  3 attempts",
        "nap                        ...................  500ms  sleep",
    ]


def test_no_line_is_wider_than_the_terminal() -> None:
    steps = [step(f"a step with a very long name, number {n}", 1_100 + n, 1_200 + n) for n in range(20)]
    for width in (60, 80, 200):
        assert max(map(len, picture(RUN, *steps, width=width))) <= width


def test_a_wait_whose_beginning_nobody_knows_begins_behind_what_stands_before_it() -> None:
    bars = bars_of(RUN, [step("load", 1_100, 1_300), step("mail", None, 1_900, "event", about="mail.opened")])
    assert bars[-1] == Bar("mail", "event", 1_300, 1_900, "event mail.opened")


def test_a_child_begins_when_it_was_made() -> None:
    child = RunRecord(derived_id("run", "run_1", "call"), "shop/pay", "completed", 1, 1_400)
    [_, bar] = bars_of(RUN, [step("call", None, 1_900, "invoke", about="shop/pay")], [child])
    assert (bar.from_ms, bar.until_ms) == (1_400, 1_900)
    assert child.id in bar.note


def test_what_is_not_over_reaches_to_this_moment() -> None:
    run = RunRecord("run_1", "shop/order", "parked", 1, 1_000, started_at_ms=1_000)
    lines = picture(run, step("mail", None, 0, "event", status="waiting"), now_ms=3_000)
    assert lines[0].endswith("parked  2.00s")
    assert lines[-1].endswith("2.00s  event waiting")


def test_a_failed_step_is_marked_and_says_why() -> None:
    failed = step("charge", 1_100, 1_900, status="failed", error=RecordedError("CardDeclined", "no"))
    line = picture(RUN, failed, is_plain=False)[-1]
    assert "✗✗✗" in line
    assert line.endswith("failed CardDeclined")


def test_a_run_that_waits_for_a_worker_is_all_queue() -> None:
    run = RunRecord("run_1", "shop/order", "queued", 1, 1_000)
    lines = picture(run, now_ms=61_000)
    assert lines[0].endswith("queued  1m00s")
    assert lines[1].endswith("1m00s  queued")


def test_a_terminal_is_not_told_what_to_do_by_a_steps_name() -> None:
    assert "\x1b" not in "".join(picture(RUN, step("\x1b[2Jboo", 1_100, 1_200)))
