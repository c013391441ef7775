import asyncio
import re
from pathlib import Path

import onward
import pytest
from onward import (
    ConfigError,
    Evicted,
    InvokeFailed,
    NonRetryable,
    OnwardError,
    RunCancelled,
    RunFailed,
    StepFailed,
    WorkerLost,
    errors,
)
from onward.errors import failure_of, from_failure, invoke_failed, step_failed
from onward.help import HELP
from onward.values.serde import encode


class Declined(Exception):
    """Exists in one version of the code only."""


def test_a_run_that_ended_with_the_sdks_own_error_gives_it_back() -> None:
    error = from_failure(failure_of(NonRetryable("not confirmed", data={"order": "o1"})))
    assert isinstance(error, NonRetryable)
    assert (error.message, error.data) == ("not confirmed", {"order": "o1"})


def test_an_error_of_a_class_that_does_not_exist_here_is_named() -> None:
    error = from_failure(failure_of(Declined("no money")), name="run_1")
    assert isinstance(error, RunFailed)
    assert (error.type, error.message, error.attempts) == ("Declined", "no money", 1)


def test_a_steps_failure_keeps_what_the_step_raised() -> None:
    error = step_failed(failure_of(NonRetryable("no", data=[1])), step="charge", attempts=4)
    assert (error.name, error.type, error.message, error.data, error.attempts) == (
        "charge",
        "NonRetryable",
        "no",
        [1],
        4,
    )
    assert str(error) == "step 'charge' failed after 4 attempts: NonRetryable: no"


@pytest.mark.parametrize("cls", [StepFailed, InvokeFailed, RunFailed])
def test_a_run_that_ended_with_a_steps_failure_keeps_its_details(cls: type[errors.WorkFailed]) -> None:
    error = from_failure(failure_of(cls("charge", "Declined", "no money", data={"code": 51}, attempts=3)))
    assert type(error) is cls
    assert (error.name, error.type, error.message, error.data, error.attempts) == (
        "charge",
        "Declined",
        "no money",
        {"code": 51},
        3,
    )


def test_a_childs_failure_names_the_function() -> None:
    assert (
        str(invoke_failed(failure_of(Declined("no")), function="shop/pay"))
        == "invoked function 'shop/pay' failed: Declined: no"
    )


def test_an_error_comes_back_with_the_same_words() -> None:
    lost = WorkerLost("the worker died 5 times")
    assert str(from_failure(failure_of(lost))) == str(lost)


def test_reporting_a_failure_never_fails() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert failure_of(Broken()).message == "<Broken without a readable message>"
    restored = from_failure(failure_of(NonRetryable("odd", data={"at": object})))
    assert isinstance(restored, NonRetryable)
    assert "object" in restored.data


def test_a_failure_is_clipped_at_both_ends_kept() -> None:
    message = failure_of(ValueError("begin " + "x" * 100_000 + " end")).message
    assert len(message) < 9_000
    assert message.startswith("begin")
    assert message.endswith("end")


def test_a_failure_can_be_written_whatever_is_in_its_message() -> None:
    failure = failure_of(ValueError("half a pair \ud83d"))
    assert failure.message == r"half a pair \ud83d"
    assert encode(failure)


def test_except_exception_does_not_swallow_control_flow() -> None:
    assert not issubclass(Evicted, Exception)
    assert issubclass(RunCancelled, asyncio.CancelledError)


def test_an_error_says_what_to_do_next() -> None:
    assert str(ConfigError("two functions have one id", code="E0101")) == f"two functions have one id. {HELP['E0101']}"


def test_every_code_in_the_source_has_its_help() -> None:
    source = "".join(path.read_text() for path in Path(onward.__file__).parent.rglob("*.py"))
    assert set(re.findall(r"code(?::\s*str)? ?= ?\"(E\d{4})\"", source)) <= HELP.keys()


def test_every_class_is_in_the_tree_of_the_docstring() -> None:
    classes = {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, OnwardError)}
    assert all(re.search(rf"^ +{name}\b", errors.__doc__ or "", re.MULTILINE) for name in classes)
