"""What the doctor says about certificates, and when it calls somebody an eavesdropper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from onward_cli.doctor.certificate import Certificate
from onward_cli.doctor.evidence import Handshake
from onward_cli.doctor.judges.trust import EXPIRED, NOT_YET, OTHER_NAME, judge_handshake
from onward_cli.doctor.verdict import Check, Mark
from onward_cli.exits import Exit

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
GENUINE = Certificate(
    subject="engine.test",
    issuer="Engine CA",
    names=("engine.test",),
    begins=NOW - 10 * DAY,
    ends=NOW + 60 * DAY,
    is_self_signed=False,
)
UNKNOWN_ISSUER = 20
MADE_UP = "0123456789ab.invalid"


def shaken(leaf: Certificate | None = GENUINE, **more: Any) -> Handshake:
    given: dict[str, Any] = {"host": "engine.test", "now": NOW, "leaf": leaf, "version": "TLSv1.3", **more}
    return Handshake(**given)


def rejected(verify_code: int, leaf: Certificate = GENUINE, **more: Any) -> Handshake:
    return shaken(leaf, verify_code=verify_code, error="certificate verify failed", **more)


def test_a_certificate_that_is_accepted_is_shown_with_its_issuer_and_what_is_left_of_it() -> None:
    verdict = judge_handshake(shaken())
    assert (verdict.mark, verdict.says) == (Mark.FINE, "TLSv1.3, certificate by Engine CA, for 60 more days")
    assert verdict.facts["issuer"] == "Engine CA"


@pytest.mark.parametrize(("days", "mark"), [(13, Mark.WARNING), (15, Mark.FINE)])
def test_a_certificate_is_to_be_renewed_two_weeks_before_its_end(days: int, mark: Mark) -> None:
    assert judge_handshake(shaken(replace(GENUINE, ends=NOW + days * DAY))).mark is mark


def test_an_inspector_that_is_trusted_is_a_warning() -> None:
    verdict = judge_handshake(shaken(replace(GENUINE, issuer="Zscaler Intermediate Root CA, Zscaler Inc.")))
    assert verdict.mark is Mark.WARNING
    assert "Zscaler reads along" in verdict.says


def test_a_certificate_beyond_its_end_has_expired_and_both_moments_are_told() -> None:
    verdict = judge_handshake(rejected(EXPIRED, replace(GENUINE, ends=NOW - DAY)))
    assert (verdict.code, verdict.status) == ("E0528", Exit.UNREACHABLE)
    assert "expired at 2026-11-21 12:00 UTC; here it is 2026-11-22 12:00 UTC" in verdict.says


def test_an_issuer_that_has_expired_is_not_told_as_the_certificate_itself() -> None:
    verdict = judge_handshake(rejected(EXPIRED))
    assert verdict.code == "E0528"
    assert "one of those behind it" in verdict.says


def test_a_certificate_before_its_begin_points_at_the_clock() -> None:
    verdict = judge_handshake(rejected(NOT_YET, replace(GENUINE, begins=NOW + DAY)))
    assert verdict.code == "E0529"
    assert "clock" in verdict.advice


def test_a_certificate_for_others_names_them() -> None:
    verdict = judge_handshake(rejected(OTHER_NAME, replace(GENUINE, names=("a.test", "b.test"))))
    assert verdict.code == "E0530"
    assert "a.test, b.test" in verdict.says


def test_an_issuer_of_ones_own_is_no_eavesdropper() -> None:
    verdict = judge_handshake(rejected(UNKNOWN_ISSUER, stranger=GENUINE, stranger_host=MADE_UP))
    assert verdict.code == "E0531"
    assert "Engine CA" in verdict.advice


def test_a_certificate_that_signs_itself_is_to_be_copied() -> None:
    verdict = judge_handshake(rejected(18, replace(GENUINE, is_self_signed=True), ca_file="/etc/ca.pem"))
    assert verdict.code == "E0531"
    assert "/etc/ca.pem" in verdict.says


@pytest.mark.parametrize("verify_code", [UNKNOWN_ISSUER, EXPIRED, OTHER_NAME])
def test_who_has_a_certificate_for_a_host_that_nobody_has_makes_them(verify_code: int) -> None:
    made = replace(GENUINE, issuer="Acme Web Security", names=(MADE_UP,))
    leaf = replace(GENUINE, issuer="Acme Web Security")
    verdict = judge_handshake(rejected(verify_code, leaf, stranger=made, stranger_host=MADE_UP))
    assert verdict.code == "E0532"
    assert "Acme Web Security" in verdict.says


@pytest.mark.parametrize("issuer", ["FortiGate CA, Fortinet", "NetSkope Root", "mitmproxy"])
def test_inspectors_are_known_by_what_they_sign_as(issuer: str) -> None:
    assert judge_handshake(rejected(UNKNOWN_ISSUER, replace(GENUINE, issuer=issuer))).code == "E0532"


@pytest.mark.parametrize(("has_own", "says"), [(False, "wants a client certificate"), (True, "does not accept this")])
def test_a_server_that_wants_a_certificate_of_ours_is_a_matter_of_authentication(has_own: bool, says: str) -> None:
    verdict = judge_handshake(shaken(wants_own=True, has_own=has_own, error="certificate required"))
    assert (verdict.code, verdict.status) == ("E0410", Exit.AUTH)
    assert says in verdict.says


def test_a_handshake_that_is_none_is_told_with_the_reason() -> None:
    verdict = judge_handshake(shaken(None, error="wrong version number"))
    assert verdict.code == "E0533"
    assert "wrong version number" in verdict.says


def test_the_handshake_with_a_proxy_is_a_part_of_the_tunnel() -> None:
    assert judge_handshake(rejected(UNKNOWN_ISSUER, is_proxy=True)).check is Check.TUNNEL
