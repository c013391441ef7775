"""What a script gets."""

from __future__ import annotations

from onward_cli.doctor.verdict import Check, exit_of, failed, fine, skipped, warning
from onward_cli.exits import Exit


def test_the_status_is_that_of_the_first_step_that_fails() -> None:
    verdicts = [
        fine(Check.SETTINGS, "well"),
        warning(Check.TLS, "nearly", "soon"),
        failed(Check.AUTH, "E0402", "no", "do", status=Exit.AUTH),
        failed(Check.IDLE, "E0537", "no", "do"),
    ]
    assert exit_of(verdicts) == Exit.AUTH


def test_warnings_and_steps_with_nothing_to_look_at_are_no_failure() -> None:
    assert exit_of([skipped(Check.DNS, "an address"), warning(Check.CLOCK, "late", "set it")]) == Exit.OK
