"""What the doctor says about names, packets and proxies."""

from __future__ import annotations

import pytest
from onward_cli.doctor.evidence import Knock, Names, Place, Tunnel
from onward_cli.doctor.judges.way import judge_knock, judge_names, judge_tunnel
from onward_cli.doctor.verdict import Mark
from onward_cli.exits import Exit

ENGINE = Place(host="engine.test", port=443)
PROXY = Place(host="proxy.test", port=3128, is_proxy=True)


def tunnel(
    refusal: str = "", status: int = 0, *, is_auth: bool = False, has_user: bool = False, wants: str = "Basic"
) -> Tunnel:
    return Tunnel(
        proxy="http://proxy.test:3128",
        target="engine.test:443",
        refusal=refusal,
        status=status,
        is_auth=is_auth,
        has_user=has_user,
        wants=wants,
    )


def test_a_host_with_addresses_is_fine_and_shows_some_of_them() -> None:
    verdict = judge_names(Names(place=ENGINE, addresses=("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")))
    assert (verdict.mark, verdict.says) == (Mark.FINE, "engine.test is 10.0.0.1, 10.0.0.2, 10.0.0.3 ...")
    assert len(verdict.facts["addresses"]) == 4


@pytest.mark.parametrize(("place", "setting"), [(ENGINE, "--url"), (PROXY, "--proxy")])
def test_an_unknown_name_is_corrected_where_it_was_set(place: Place, setting: str) -> None:
    verdict = judge_names(Names(place=place, error="Name or service not known"))
    assert (verdict.code, verdict.status) == ("E0520", Exit.UNREACHABLE)
    assert setting in verdict.advice


def test_a_name_server_that_is_away_says_nothing_about_the_name() -> None:
    verdict = judge_names(Names(place=ENGINE, is_temporary=True, error="Temporary failure in name resolution"))
    assert verdict.code == "E0521"
    assert "port 53" in verdict.advice


@pytest.mark.parametrize(
    ("knock", "code"),
    [
        (Knock(place=ENGINE, ended="refused"), "E0522"),
        (Knock(place=ENGINE, ended="silent", patience_s=5), "E0523"),
        (Knock(place=ENGINE, ended="no_way", error="Network is unreachable"), "E0524"),
    ],
)
def test_each_way_not_to_connect_has_a_name_and_one_action(knock: Knock, code: str) -> None:
    verdict = judge_knock(knock)
    assert (verdict.code, verdict.mark, verdict.status) == (code, Mark.FAILED, Exit.UNREACHABLE)
    assert "engine.test:443" in verdict.says
    assert verdict.advice


def test_an_address_of_many_colons_stands_in_brackets() -> None:
    verdict = judge_knock(Knock(place=Place(host="fd00::1", port=8484), ended="refused"))
    assert "[fd00::1]:8484" in verdict.says


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "E0525"),
        (405, "E0525"),
        (2, "E0525"),
        (502, "E0526"),
        (504, "E0526"),
        (4, "E0526"),
        (404, "E0527"),
        (0, "E0527"),
    ],
)
def test_a_proxy_that_will_not_is_told_from_one_that_cannot_and_from_what_is_none(status: int, code: str) -> None:
    verdict = judge_tunnel(tunnel("it says no", status))
    assert (verdict.code, verdict.says, verdict.status) == (code, "it says no", Exit.UNREACHABLE)


@pytest.mark.parametrize(("has_user", "action"), [(False, "user:password@"), (True, "correct user and password")])
def test_a_proxy_that_wants_a_password_is_a_matter_of_authentication(has_user: bool, action: str) -> None:
    verdict = judge_tunnel(tunnel("it wants one", 407, is_auth=True, has_user=has_user))
    assert (verdict.code, verdict.status) == ("E0408", Exit.AUTH)
    assert action in verdict.advice


def test_a_proxy_that_speaks_no_basic_needs_another_one_before_it() -> None:
    verdict = judge_tunnel(tunnel("it wants one", 407, is_auth=True, wants="Negotiate, NTLM"))
    assert "speaks Negotiate, NTLM" in verdict.advice


def test_a_socks_proxy_says_nothing_of_kinds() -> None:
    verdict = judge_tunnel(tunnel("it wants one", 0xFF, is_auth=True, wants=""))
    assert "user:password@" in verdict.advice
