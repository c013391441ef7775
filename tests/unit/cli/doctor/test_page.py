"""docs/firewall.md says what the doctor does."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from onward.dialing.faults import TunnelRefused
from onward.dialing.proxies import parse_proxy
from onward.dialing.tunnels import tunnel
from onward.dialing.way import target_of
from onward_cli.catalogue import explanations
from onward_cli.catalogue.doctor import DOCTOR
from onward_cli.doctor.evidence import Tunnel
from onward_cli.doctor.judges.way import judge_tunnel
from onward_cli.doctor.printing import print_verdict
from onward_cli.doctor.verdict import Check, Mark
from onward_cli.exits import Exit

from tests.support.pages import Page

SECTION = Page("docs/firewall.md").text.partition("## Finding out what is wrong\n")[2].partition("\n## ")[0]
ROWS = [row.strip("|").split(" | ") for row in SECTION.splitlines() if row.startswith("| `")]


def test_the_steps_of_the_page_are_the_steps_in_their_order() -> None:
    assert [row[0].strip(" `") for row in ROWS] == list(Check)


def test_every_fault_of_the_way_is_on_the_page_and_every_code_of_the_page_is_explained() -> None:
    named = set(re.findall(r"E\d{4}", SECTION))
    assert set(DOCTOR) <= named <= set(explanations())


def test_the_statuses_of_the_page_are_those_of_the_command() -> None:
    [sentence] = re.findall(r"The exit status is 0, or that.*?: (.*?)\.", SECTION, re.DOTALL)
    assert re.findall(r"\d+", sentence) == [
        str(int(status)) for status in (Exit.USAGE, Exit.AUTH, Exit.UNREACHABLE, Exit.VERSION, Exit.TRY_AGAIN)
    ]


def test_the_marks_of_the_page_are_the_marks() -> None:
    assert all(f"`{mark}`" in SECTION for mark in Mark)


def test_a_proxy_that_wants_a_password_looks_as_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    proxy, target = parse_proxy("http://proxy.example.com:3128", "the page"), target_of("https://onward.example.com")
    talk = tunnel(proxy, target)
    next(talk)
    with pytest.raises(TunnelRefused) as refused:
        talk.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")
    evidence = Tunnel(
        proxy=str(proxy), target=str(target), refusal=refused.value.message, status=407, is_auth=True, wants="Basic"
    )
    print_verdict(replace(judge_tunnel(evidence), took_ms=2))
    assert capsys.readouterr().out in SECTION
