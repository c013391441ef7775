import pytest
from onward import ConfigError, NonRetryable, PayloadTooLarge, Retry, RetryAfter, StepInsideStep, WorkerLost
from onward.run.retry import decide

BOOM = ValueError("boom")


def delays(policy: Retry, error: Exception = BOOM, roll: float = 0.0) -> list[int | None]:
    return [decide(policy, attempt, error, roll) for attempt in range(1, policy.attempts + 1)]


def test_the_delay_doubles_until_the_attempts_are_used_up() -> None:
    assert delays(Retry()) == [1_000, 2_000, 4_000, 8_000, None]


def test_one_attempt_means_no_retry() -> None:
    assert delays(Retry(attempts=1)) == [None]


def test_the_delay_never_exceeds_its_maximum() -> None:
    assert delays(Retry(attempts=4, backoff="1h", factor=30, max_backoff="2h"), roll=0.99) == [
        4_491_000,
        7_200_000,
        7_200_000,
        None,
    ]


def test_jitter_only_adds() -> None:
    assert decide(Retry(backoff=10, jitter=0.5), 1, BOOM, 0.0) == 10_000
    assert decide(Retry(backoff=10, jitter=0.5), 1, BOOM, 0.999) == 14_995


@pytest.mark.parametrize(
    "error", [NonRetryable("no"), PayloadTooLarge("big"), StepInsideStep("in"), ConfigError("wrong")]
)
def test_an_error_that_cannot_go_away_stops_at_once(error: Exception) -> None:
    assert decide(Retry(), 1, error, 0.0) is None


def test_retry_after_sets_the_delay_but_not_the_number_of_attempts() -> None:
    policy = Retry(attempts=3, on=KeyError)
    assert delays(policy, RetryAfter("90s")) == [90_000, 90_000, None]


def test_retry_after_waits_a_day_at_most() -> None:
    assert decide(Retry(), 1, RetryAfter("3d"), 0.0) == 86_400_000


def test_only_listed_errors_are_retried() -> None:
    policy = Retry(on=(OSError, ValueError), never_on=FileNotFoundError)
    assert decide(policy, 1, BOOM, 0.0) == 1_000
    assert decide(policy, 1, FileNotFoundError(), 0.0) is None
    assert decide(policy, 1, KeyError(), 0.0) is None


def test_a_lost_worker_is_retried_whatever_the_policy_lists() -> None:
    assert decide(Retry(on=KeyError), 1, WorkerLost("killed"), 0.0) == 1_000


def test_retry_after_nothing_is_at_once() -> None:
    assert decide(Retry(), 1, RetryAfter(0), 0.9) == 0


def test_retry_after_what_is_no_duration_says_so() -> None:
    with pytest.raises(ValueError, match="RetryAfter, option 'delay': 'soon' is not a duration"):
        RetryAfter("soon")


def test_no_attempt_starts_after_the_total_time() -> None:
    policy = Retry(attempts=21, backoff="10m", factor=1, jitter=0, max_time="45m")
    assert decide(policy, 4, BOOM, 0.0, 35 * 60_000) == 600_000
    assert decide(policy, 4, BOOM, 0.0, 35 * 60_000 + 1) is None
    assert decide(policy, 1, RetryAfter("1h"), 0.0, 0) is None
