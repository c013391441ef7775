"""docs/firewall.md says what is so."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from onward.address import check_privacy
from onward.connection.reconnect import RETRY_AFTER_MS_MAX
from onward.daemon import AGE_JITTER, COMPLAIN_MS, CONNECTION_AGE_MS
from onward.dialing.bypass import bypassed_by
from onward.dialing.line import EYEBALLS_DELAY_S
from onward.dialing.proxies import PORTS, parse_proxy
from onward.dialing.way import Way
from onward.help import HELP
from onward.settings import Settings
from onward_cli.commands import app
from onward_protocol.limits import Limits, Times
from typer.testing import CliRunner

from tests.support.pages import Page
from tests.support.ways import TOKEN, engine, played, work

PAGE = Page("docs/firewall.md")
CERTIFICATES, COMMANDS = PAGE.blocks("console")[:2]


def rows(head: str) -> list[list[str]]:
    """The rows of the table that begins with this."""
    table = PAGE.text.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split(" | ")] for row in table]


def options_of(*command: str) -> str:
    return CliRunner().invoke(app, [*command, "--help"]).stdout


@pytest.mark.parametrize("row", rows("entry"), ids=lambda row: row[0])
def test_an_entry_of_no_proxy_means_what_the_page_says(row: list[str]) -> None:
    entry, meant, other = (cell.strip("| `") for cell in row)
    assert bypassed_by(entry, meant, 8484) == entry
    assert not other or bypassed_by(entry, other, 8484) == ""


def test_the_proxies_of_the_page_can_be_used() -> None:
    written = [row[0] for row in rows("`--proxy`, `ONWARD_PROXY`")]
    assert {parse_proxy(text, "the page").scheme for text in written if text != "direct"} == set(PORTS)
    assert Way(proxy="direct").choice("https://engine.test").proxy is None


def test_every_option_of_the_page_is_one_of_the_command() -> None:
    worker, started = options_of("run"), options_of("engine", "start")
    for option, variable in re.findall(r"`(--[\w-]+)`, `(ONWARD_\w+)`", PAGE.text):
        shown = started if option.startswith("--tls") else worker
        assert option in shown
        assert variable in shown


def test_the_codes_of_the_page_are_explained() -> None:
    assert {row[1].strip("` ") for row in rows("answer")} <= set(HELP)


def test_the_numbers_of_the_page_are_the_real_ones() -> None:
    times, page = Times(), " ".join(PAGE.text.split())
    for sentence in (
        f"say something every {times.beat_ms // 1000} seconds",
        f"is given up after {times.dead_ms // 1000} seconds",
        f"up to one in {times.reconnect_cap_ms // 1000} seconds",
        f"({CONNECTION_AGE_MS // 3_600_000} h, give or take {AGE_JITTER * 100:g} %)",
        f"No message is larger than {Limits().message_bytes_max >> 20} MiB",
    ):
        assert sentence in page
    for sentence, is_so in {
        "several a second for five seconds": times.reconnect_eager_ms == 5_000,
        "the second one after a quarter of a second": EYEBALLS_DELAY_S == 0.25,
        "how long the worker waits, five minutes at most": RETRY_AFTER_MS_MAX == 300_000,
        "at most once a minute": COMPLAIN_MS == 60_000,
    }.items():
        assert (sentence in page, is_so) == (True, True)


def test_the_certificates_of_the_page_let_its_commands_in(tmp_path: Path) -> None:
    for line in CERTIFICATES.splitlines():
        subprocess.run(["sh", "-c", line.removeprefix("$ ")], cwd=tmp_path, check=True, capture_output=True)
    start, run = (shlex.split(line.removeprefix("$ ")) for line in COMMANDS.splitlines())
    named = dict(zip(start[3::2], start[4::2], strict=True))
    assert named == {"--tls-cert": "engine.crt", "--tls-key": "engine.key", "--tls-client-ca": "ca.crt"}
    given = dict(zip(run[3::2], run[4::2], strict=True))
    files = {
        option[2:].replace("-", "_"): str(tmp_path / file)
        for option, file in given.items()
        if option not in {"--url", "--token-file"}
    }
    check_privacy(given["--url"], insecure=False)

    async def scene() -> None:
        async with engine(tmp_path, client_ca=tmp_path / named["--tls-client-ca"]) as running:
            url = given["--url"].replace("8484", str(running.port))
            await work(Settings.read({}, url=url, token=TOKEN, **files))

    played(scene())
