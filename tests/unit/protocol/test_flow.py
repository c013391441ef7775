"""How much is under way: measured on lines that are modelled by their bytes a second."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from onward_protocol.flow import Flow
from onward_protocol.limits import KIB, MIB, Limits, Times

BEAT_MS = Times().beat_ms
LEAST, MOST = Limits().flow_bytes_min, Limits().flow_bytes_max


@dataclass
class Line:
    """A sender that always has more, and a line that keeps whatever it is given."""

    bytes_s: float
    round_trip_ms: float = 50
    flow: Flow = field(default_factory=lambda: Flow(Limits()))
    now_ms: float = 0
    number: int = 0
    arrives_ms: float = 0
    sent: int = 0
    answers: deque[tuple[float, int, float]] = field(default_factory=deque[tuple[float, int, float]])
    took_ms: list[float] = field(default_factory=list[float])
    heard_ms: list[float] = field(default_factory=lambda: [0.0])

    def __post_init__(self) -> None:
        self.flow.begin(0)

    def carry(self, size: int) -> Line:
        end = self.sent + size
        while self.sent < end:
            while self.flow.has_room(end - self.sent) and self.sent < end:
                self.write(min(self.flow.message_bytes, end - self.sent))
            if self.answers:
                self.answer()
        return self

    def write(self, count: int) -> None:
        is_due = self.flow.wrote(count, is_last=False)
        self.sent += count
        self.arrives_ms = max(self.arrives_ms, self.now_ms) + 1000 * count / self.bytes_s
        if is_due:
            self.number += 1
            self.flow.mark(self.number, round(self.now_ms))
            self.answers.append((self.arrives_ms + self.round_trip_ms, self.number, self.now_ms))

    def answer(self) -> None:
        at_ms, number, sent_at_ms = self.answers.popleft()
        self.now_ms = max(self.now_ms, at_ms)
        self.took_ms.append(self.now_ms - sent_at_ms)
        self.heard_ms.append(self.now_ms)
        self.flow.answered(number, round(self.now_ms), BEAT_MS)


@pytest.mark.parametrize("bytes_s", [2_000, 5_000, 10_000, 20_000, 100_000, 1_000_000])
def test_a_beat_is_never_later_than_the_lease_allows(bytes_s: int) -> None:
    """A step may start for 12 s after the newest answered beat was sent, and one is sent at least every 5 s."""
    line = Line(bytes_s).carry(60 * bytes_s)
    assert max(line.took_ms) < 12_000
    assert bytes_s < 5_000 or max(line.took_ms) < 4_000


@pytest.mark.parametrize("bytes_s", [2_000, 10_000, 1_000_000, 100_000_000])
def test_answers_come_often_enough_for_both_ends_to_know_that_the_other_lives(bytes_s: int) -> None:
    line = Line(bytes_s).carry(max(20 * bytes_s, MIB))
    assert max(later - earlier for earlier, later in pairwise(line.heard_ms)) < 5_000


@pytest.mark.parametrize(("bytes_s", "round_trip_ms"), [(10_000, 400), (1_000_000, 100), (10_000_000, 20)])
def test_the_line_is_used_to_more_than_nine_tenths(bytes_s: int, round_trip_ms: int) -> None:
    line = Line(bytes_s, round_trip_ms).carry(20 * bytes_s)
    began_ms, size = line.now_ms, 40 * bytes_s
    line.carry(size)
    assert size / (line.now_ms - began_ms) * 1000 > 0.9 * bytes_s


def test_a_good_line_is_trusted_after_a_few_round_trips() -> None:
    line = Line(1_000_000_000, round_trip_ms=1).carry(2 * MIB)
    assert (line.flow.size, line.now_ms < 15) == (MOST, True)


def test_a_long_way_is_no_poor_line() -> None:
    assert Line(10_000_000, round_trip_ms=700).carry(20 * MIB).flow.size == MOST


def test_a_line_that_gets_poor_is_given_less_and_one_that_recovers_more() -> None:
    line = Line(2_000_000).carry(20 * MIB)
    assert line.flow.size == MOST
    line.bytes_s = 5_000
    assert line.carry(3 * MIB).flow.size <= 32 * KIB
    line.bytes_s = 2_000_000
    assert line.carry(20 * MIB).flow.size == MOST


def test_little_traffic_proves_nothing() -> None:
    """One small message a second is answered at once on the poorest line too."""
    line = Line(2_000)
    for _ in range(600):
        line.now_ms += 1_000
        line.write(100)
        while line.answers and line.answers[0][0] <= line.now_ms + 60:
            line.answer()
    assert line.flow.size == LEAST


def test_answers_that_were_kept_up_and_come_together_do_not_make_a_line_good() -> None:
    line = Line(2_000)
    while line.flow.has_room(MIB):
        line.write(line.flow.message_bytes)
    assert line.number == 4
    for number in range(1, 5):  # this end was busy for two seconds
        line.flow.answered(number, 2_000, BEAT_MS)
    assert line.flow.size == 2 * LEAST


def test_before_the_welcome_and_after_the_goodbye_nothing_is_held_back() -> None:
    flow = Flow(Limits())
    marks, opens = [flow.wrote(MIB, is_last=False)], [flow.has_room(1)]
    flow.begin(0)
    assert flow.unanswered == 0
    marks.append(flow.wrote(MIB, is_last=False))
    opens.append(flow.has_room(1))
    flow.end()
    marks.append(flow.wrote(MIB, is_last=False))
    opens.append(flow.has_room(1))
    assert (marks, opens) == ([False, True, False], [True, False, True])


def test_the_last_message_of_many_is_marked_sooner() -> None:
    flow = Flow(Limits())
    flow.begin(0)
    assert not flow.wrote(KIB, is_last=False)
    assert flow.wrote(1, is_last=True)


def test_what_is_answered_twice_or_out_of_order_changes_nothing() -> None:
    flow = Flow(Limits())
    flow.begin(0)
    for number in (1, 2):
        assert flow.wrote(4 * KIB, is_last=False)
        flow.mark(number, 0)
    flow.answered(2, 10, BEAT_MS)
    size = flow.size
    for number in (1, 2, 2):
        flow.answered(number, 20, BEAT_MS)
    assert (flow.unanswered, flow.size) == (0, size)
