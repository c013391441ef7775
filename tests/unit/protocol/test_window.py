from __future__ import annotations

import pytest
from onward_protocol.codec import encode_entries
from onward_protocol.errors import ProtocolError
from onward_protocol.messages import Ack, Checkpoint, Parked, StepDone
from onward_protocol.window import SendWindow

ENTRIES = encode_entries([StepDone("load", b"\x01")])


def window(frames: int, epoch: int = 3) -> SendWindow:
    result = SendWindow("run_a", epoch)
    for _ in range(frames):
        result.next(ENTRIES)
    return result


def seqs(frames: tuple[Checkpoint, ...]) -> list[int]:
    return [frame.seq for frame in frames]


def test_frames_are_numbered_from_one_without_gaps() -> None:
    sent = SendWindow("run_a", 3)
    assert [sent.next(ENTRIES).seq, sent.next(ENTRIES, Parked()).seq, sent.last_seq] == [1, 2, 2]


def test_an_ack_forgets_everything_up_to_it_and_sends_nothing_again() -> None:
    sent = window(3)
    assert sent.ack(Ack("run_a", 3, 2)) == ()
    assert (seqs(sent.unacked), sent.acked_seq, sent.unacked_bytes) == ([3], 2, len(ENTRIES))


def test_the_engine_can_ask_for_frames_again_from_any_place() -> None:
    sent = window(4)
    assert seqs(sent.ack(Ack("run_a", 3, 1, resend=True))) == [2, 3, 4]
    assert seqs(sent.ack(Ack("run_a", 3, 3, resend=True))) == [4]


def test_the_answer_to_a_duplicate_sends_nothing_again() -> None:
    sent = window(4)
    sent.ack(Ack("run_a", 3, 2))
    assert sent.ack(Ack("run_a", 3, 2)) == ()
    assert sent.ack(Ack("run_a", 3, 1)) == ()
    assert (seqs(sent.unacked), sent.acked_seq) == ([3, 4], 2)


@pytest.mark.parametrize("ack", [Ack("run_a", 2, 4), Ack("run_a", 4, 4), Ack("run_b", 3, 4, resend=True)])
def test_an_ack_of_another_epoch_or_run_forgets_nothing(ack: Ack) -> None:
    sent = window(4)
    assert sent.ack(ack) == ()
    assert seqs(sent.unacked) == [1, 2, 3, 4]


def test_an_ack_of_a_frame_that_was_never_sent_is_the_engines_fault() -> None:
    with pytest.raises(ProtocolError, match="Ack of frame 5"):
        window(4).ack(Ack("run_a", 3, 5))
