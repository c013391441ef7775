import pytest
from onward.errors import OnwardError
from onward.replay.journal import is_new_loss, read
from onward_protocol.codec import encode_entries
from onward_protocol.errors import ProtocolError
from onward_protocol.messages import (
    AttemptFailed,
    Due,
    Failure,
    Seen,
    Segment,
    Sleep,
    StepDone,
    WaitClosed,
    WaitOpened,
    WorkerEntry,
    WorkerLosses,
)

NO = Failure("ValueError", "no")


def segment(seq: int, *entries: WorkerEntry) -> Segment:
    return Segment(1, seq, encode_entries(entries))


def test_an_engine_entry_stands_where_the_worker_saw_it() -> None:
    journal = read([segment(1, StepDone("a", b"")), segment(2, Seen(1), StepDone("b", b""))], [Due(1, "w")])
    assert [entry.key for entry in journal.ordered] == ["a", "w", "b"]  # type: ignore[union-attr]


def test_an_engine_entry_that_nobody_saw_comes_last_whenever_it_was_written() -> None:
    journal = read([segment(1, StepDone("a", b""))], [Due(2, "x"), Due(1, "w")])
    assert [entry.key for entry in journal.unseen] == ["w", "x"]  # type: ignore[union-attr]


def test_a_mark_of_an_entry_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OnwardError, match="marks entry 2"):
        read([segment(1, Seen(2))], [Due(1, "w")])


def test_garbage_is_an_error() -> None:
    with pytest.raises(ProtocolError):
        read([Segment(1, 1, b"\xc1")], [])


def test_failed_attempts_are_counted_and_open_waits_known() -> None:
    journal = read(
        [segment(1, AttemptFailed("a", 1, NO, 9), AttemptFailed("a", 2, NO, 9), WaitOpened("w", Sleep(1)))], []
    )
    assert journal.attempts == {"a": 2}
    assert journal.has_open("w")
    assert not read([segment(1, WaitOpened("w", Sleep(1)), WaitClosed("w"))], []).has_open("w")


def test_a_step_that_has_ended_has_no_failed_attempts_any_more() -> None:
    journal = read(
        [segment(1, AttemptFailed("a", 1, NO, 9, 5), AttemptFailed("b", 1, NO, 9, 7), StepDone("a", b""))], []
    )
    assert (journal.attempts, journal.began) == ({"b": 1}, {"b": 7})


def test_the_end_of_a_delay_is_spent_once_its_step_has_a_result_or_a_later_attempt() -> None:
    opened: list[WorkerEntry] = [AttemptFailed("a", 1, NO, 9_000), WaitOpened("a!1", Sleep(9_000))]
    assert read([segment(1, *opened), segment(2, Seen(1))], [Due(1, "a!1")]).spent == []
    assert read([segment(1, *opened), segment(2, Seen(1), StepDone("a", b""))], [Due(1, "a!1")]).spent == ["a!1"]
    assert read([segment(1, *opened), segment(2, Seen(1), AttemptFailed("a", 2, NO, 9))], [Due(1, "a!1")]).spent == [
        "a!1"
    ]


def test_a_loss_of_workers_is_new_until_a_frame_has_marked_it() -> None:
    assert is_new_loss(read([], [WorkerLosses(1, 5)]))
    assert not is_new_loss(read([segment(1, Seen(1))], [WorkerLosses(1, 5)]))
