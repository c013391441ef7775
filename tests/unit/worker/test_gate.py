from onward.replay.gate import Gate


def after(results: int, acked: int, window: int = 1) -> Gate:
    gate = Gate(window)
    for seq in range(1, results + 1):
        gate.count()
        gate.sent(seq)
    gate.acknowledged(acked)
    return gate


def test_a_body_waits_until_the_result_before_it_is_durable() -> None:
    assert not after(results=1, acked=0).lets_pass(False, 0)
    assert after(results=1, acked=1).lets_pass(False, 0)


def test_a_window_of_three_lets_a_body_start_beside_two_unacknowledged_results() -> None:
    assert after(results=2, acked=0, window=3).lets_pass(False, 0)
    assert not after(results=3, acked=0, window=3).lets_pass(False, 0)


def test_a_result_that_has_not_been_sent_counts_as_unacknowledged() -> None:
    gate = after(results=1, acked=1)
    gate.count()
    gate.acknowledged(1)
    assert not gate.lets_pass(False, 0)


def test_a_barrier_waits_for_what_its_caller_knew_and_for_nothing_later() -> None:
    assert not after(results=2, acked=1, window=9).lets_pass(True, 2)
    assert after(results=3, acked=2, window=9).lets_pass(True, 2)


def test_barriers_run_one_at_a_time_while_other_bodies_go_on() -> None:
    gate = Gate(9)
    gate.enter_barrier()
    assert not gate.lets_pass(True, 0)
    assert gate.lets_pass(False, 0)


def test_nothing_starts_between_the_end_of_a_barrier_and_its_acknowledgement() -> None:
    gate = Gate(9)
    gate.enter_barrier()
    gate.count()
    gate.sent(1)
    gate.leave_barrier()
    assert not gate.lets_pass(False, 0)
    gate.acknowledged(1)
    assert gate.lets_pass(False, 0)


def test_a_body_that_was_given_up_counts_until_what_it_was_given_up_for_is_durable() -> None:
    gate = after(results=1, acked=0, window=2)
    assert gate.lets_pass(False, 0)
    gate.drop()
    assert not gate.lets_pass(False, 0)
    gate.acknowledged(1)
    assert gate.lets_pass(False, 0)


def test_a_body_that_was_given_up_before_the_cause_was_sent_counts_with_it() -> None:
    gate = Gate(2)
    gate.count()
    gate.drop()
    gate.sent(1)
    assert not gate.lets_pass(False, 0)
    gate.acknowledged(1)
    assert gate.lets_pass(False, 0)


def test_a_body_that_was_given_up_for_something_durable_does_not_count() -> None:
    gate = after(results=1, acked=1)
    gate.drop()
    assert gate.lets_pass(False, 0)
