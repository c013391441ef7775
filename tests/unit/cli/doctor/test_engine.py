"""What the doctor says about the engine itself: its door, its protocol, its clock, and connections that do not last."""

from __future__ import annotations

from typing import Literal

import pytest
from onward_cli.doctor.evidence import Answer, Clocks, Greeting, Silence, Upgrade
from onward_cli.doctor.judges.engine import (
    judge_auth,
    judge_clocks,
    judge_protocol,
    judge_refusal,
    judge_round_trips,
    judge_silence,
    judge_upgrade,
)
from onward_cli.doctor.verdict import Mark, exit_of
from onward_cli.exits import Exit

URL = "https://engine.test"
HEALTHY = Answer(status=200, message="ok\n", media="text/plain")


def upgrade(asked: Answer, health: Answer = HEALTHY) -> Upgrade:
    return Upgrade(url=URL, asked=asked, health=health)


def silence(
    ended: Literal["", "cut", "closed"] = "", *, quiet_s: float = 0, survived_s: float = 5, lived_s: float = 30
) -> Silence:
    return Silence(
        asked_s=70,
        beat_s=5,
        lived_s=lived_s,
        quiet_s=quiet_s,
        survived_s=survived_s,
        ended=ended,
        reason="it broke",
    )


@pytest.mark.parametrize("problem", ["token", "host", "leaving", "subprotocol"])
def test_a_refusal_of_the_engines_own_shows_that_websockets_get_through(problem: str) -> None:
    assert judge_upgrade(upgrade(Answer(status=401, problem=problem))).mark is Mark.FINE


@pytest.mark.parametrize(
    "asked",
    [
        Answer(status=426, problem="upgrade_required"),
        Answer(status=403, media="text/html", server="squid"),
        Answer(error="the connection was ended without an answer"),
    ],
)
def test_an_engine_that_answers_requests_but_no_websocket_is_behind_something(asked: Answer) -> None:
    verdict = judge_upgrade(upgrade(asked))
    assert verdict.code == "E0534"
    assert "blocked on the way" in verdict.says


@pytest.mark.parametrize("health", [Answer(status=200, message="<html>"), Answer(status=404), Answer(error="reset")])
def test_an_address_without_an_engine_is_to_be_corrected(health: Answer) -> None:
    verdict = judge_upgrade(upgrade(Answer(status=404, server="nginx"), health))
    assert verdict.code == "E0535"
    assert "HTTP 404, nginx" in verdict.says
    assert "--url" in verdict.advice


def test_an_address_that_leads_elsewhere_says_where() -> None:
    asked = Answer(status=301, location="https://onward.example.com/", server="nginx")
    verdict = judge_upgrade(upgrade(asked, asked))
    assert (verdict.code, "https://onward.example.com/" in verdict.says) == ("E0535", True)


def test_a_load_balancer_without_an_engine_behind_it_is_no_other_service() -> None:
    asked = Answer(status=503, server="nginx", media="text/html")
    assert judge_upgrade(upgrade(asked, asked)).code == "E0526"


def test_an_engine_that_stands_still_is_no_other_service() -> None:
    late = Answer(error="no answer within 5 s", is_late=True)
    verdict = judge_upgrade(upgrade(late, late))
    assert (verdict.code, verdict.status) == ("E0536", Exit.TRY_AGAIN)
    assert judge_upgrade(upgrade(late, Answer(status=404))).code == "E0535"


@pytest.mark.parametrize(("has_token", "says"), [(True, "does not accept this token"), (False, "wants a token")])
def test_a_missing_token_is_told_from_a_wrong_one(has_token: bool, says: str) -> None:
    verdict = judge_auth(Answer(status=401, problem="token"), has_token=has_token)
    assert (verdict.code, verdict.status) == ("E0402", Exit.AUTH)
    assert says in verdict.says


def test_an_engine_without_tokens_is_no_fault() -> None:
    assert judge_auth(Answer(status=101), has_token=False).mark is Mark.SKIPPED


def test_another_version_says_which_side_is_older() -> None:
    advice = "the engine speaks protocol versions 2 to 4, the worker 1 to 1: upgrade the worker's onward package"
    verdict = judge_protocol(Greeting(refused="version", message=advice))
    assert (verdict.code, verdict.status, verdict.says) == ("E0403", Exit.VERSION, advice)


@pytest.mark.parametrize(
    "greeting", [Greeting(refused="store_full", message="The disk is full."), Greeting(ended="no answer within 10 s")]
)
def test_an_engine_that_takes_nobody_in_is_to_be_asked_why(greeting: Greeting) -> None:
    verdict = judge_protocol(greeting)
    assert (verdict.code, verdict.status) == ("E0536", Exit.TRY_AGAIN)


def test_an_engine_that_stops_is_no_other_version() -> None:
    assert judge_refusal(Answer(status=503, problem="leaving")).status == Exit.TRY_AGAIN


@pytest.mark.parametrize(
    ("engine_at_ms", "mark", "skew_ms"),
    [
        (10_000, Mark.FINE, 0),
        (10_050, Mark.FINE, 0),
        (14_000, Mark.FINE, 3_900),
        (17_000, Mark.WARNING, 6_900),
        (3_000, Mark.WARNING, -7_000),
    ],
)
def test_a_clock_is_wrong_by_what_the_way_cannot_explain(engine_at_ms: int, mark: Mark, skew_ms: int) -> None:
    verdict = judge_clocks(Clocks(engine_at_ms=engine_at_ms, asked_at_ms=10_000, heard_at_ms=10_100))
    assert (verdict.mark, verdict.facts["skew_ms"]) == (mark, skew_ms)


def test_the_side_on_which_a_clock_is_wrong_is_named() -> None:
    behind = judge_clocks(Clocks(engine_at_ms=70_000, asked_at_ms=10_000, heard_at_ms=10_000))
    assert "60.0 s behind the engine's" in behind.says


@pytest.mark.parametrize(("trips_ms", "mark"), [([1.0, 2.0, 900.0], Mark.FINE), ([600.0] * 3, Mark.WARNING)])
def test_a_way_is_slow_by_its_usual_trip_and_not_by_one(trips_ms: list[float], mark: Mark) -> None:
    assert judge_round_trips(trips_ms).mark is mark


def test_an_engine_that_answers_no_beat_is_a_fault() -> None:
    assert judge_round_trips([]).code == "E0536"


def test_a_connection_that_ends_after_a_longer_silence_than_it_has_survived_was_idle() -> None:
    verdict = judge_silence(silence("cut", quiet_s=2.04, survived_s=0.1, lived_s=2.1))
    assert verdict.code == "E0537"
    assert "cut after 2.0 s without traffic" in verdict.says
    assert "idle timeout" in verdict.advice


def test_a_connection_that_ends_although_it_was_used_was_too_old() -> None:
    verdict = judge_silence(silence("cut", quiet_s=3.0, survived_s=5.0, lived_s=30.2))
    assert "30 s old, although it was used" in verdict.says
    assert "--max-connection-age" in verdict.advice


def test_an_engine_that_closes_a_connection_knows_why() -> None:
    verdict = judge_silence(silence("closed", quiet_s=3.0))
    assert (verdict.code, verdict.status) == ("E0536", Exit.TRY_AGAIN)
    assert "log" in verdict.advice


def test_a_connection_that_lasts_is_fine() -> None:
    verdict = judge_silence(silence())
    assert (verdict.mark, exit_of([verdict])) == (Mark.FINE, 0)
