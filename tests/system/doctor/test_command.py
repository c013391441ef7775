"""`worker doctor`, and what it says of settings, the engine's door, and connections that do not last: each fault is set
up for real on this machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from onward_protocol.limits import SUBPROTOCOL

from tests.support.boxes import Downgrade, IdleCut, Page
from tests.support.doctor import PROGRAM, ask, fault
from tests.support.processes import System, free_port, wait_for

# -- nothing is wrong --------------------------------------------------------------------------------------------------


def test_a_way_without_faults_is_fine_at_every_step_and_leaves_no_worker_behind(
    engine: System, token: dict[str, str]
) -> None:
    found = ask("--url", engine.url, "--idle", "0.1s", **token)
    assert (found.failed, found.status) == (None, 0)
    marks = {step["check"]: step["mark"] for step in found.steps}
    assert {check for check, mark in marks.items() if mark == "skipped"} == {"dns", "tls"}
    assert {check for check, mark in marks.items() if mark == "fine"} == {
        *("settings", "proxy", "tcp", "upgrade", "auth", "protocol", "clock", "rtt", "idle")
    }
    assert abs(found.step("clock")["facts"]["skew_ms"]) < 1_000
    assert 0 < found.step("rtt")["facts"]["median_ms"] < 1_000
    wait_for(lambda: engine.client.list_workers() == (), "the engine has forgotten the visit")


def test_people_get_a_line_for_each_step_and_one_with_what_to_do(engine: System) -> None:
    command = [PROGRAM, "doctor", "--url", engine.url]
    environment = {**os.environ, "ONWARD_TOKEN": "onw_admin_wrong", "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    *_, auth, advice = ended.stdout.splitlines()
    assert auth.startswith("✗ auth      error[E0402]: the engine does not accept this token")
    assert advice.strip().startswith("help: correct the token")
    assert (ended.returncode, ended.stderr) == (4, "")


def test_where_each_setting_comes_from_is_said_and_no_secret(engine: System, tmp_path: Path) -> None:
    tmp_path.joinpath("token").write_text(engine.token)
    proxy = f"http://user:secret@127.0.0.1:{free_port()}"
    found = ask("--url", engine.url, ONWARD_TOKEN_FILE=str(tmp_path / "token"), ONWARD_PROXY=proxy)
    origins = {name: setting["origin"] for name, setting in found.step("settings")["facts"].items()}
    assert origins == {"url": "--url", "token_file": "ONWARD_TOKEN_FILE", "proxy": "ONWARD_PROXY"}
    assert "secret" not in str(found.steps)
    assert engine.token not in str(found.steps)


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--url", "engine:8484"], "E0114"),
        (["--url", "http://engine.test"], "E0404"),
        (["--url", "https://engine.test", "--token-file", "/nowhere"], "E0115"),
        (["--url", "https://engine.test", "--ca-file", "/nowhere"], "E0407"),
        (["--url", "https://engine.test", "--proxy", "ftp://proxy"], "E0406"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_before_anything_is_tried(arguments: list[str], code: str) -> None:
    assert fault(ask(*arguments)) == ("settings", code, 2)


def test_a_proxy_of_the_environment_that_cannot_be_used_is_named_with_its_variable() -> None:
    found = ask("--url", "https://engine.test", HTTPS_PROXY="ftp://proxy")
    assert fault(found) == ("proxy", "E0406", 2)
    assert "HTTPS_PROXY" in found.last["says"]


# -- the engine's door -------------------------------------------------------------------------------------------------


def test_https_where_plain_http_is_spoken(engine: System) -> None:
    assert fault(ask("--url", f"https://127.0.0.1:{engine.port}")) == ("tls", "E0533", 5)


def test_a_load_balancer_that_takes_the_upgrade_out(engine: System, token: dict[str, str]) -> None:
    with Downgrade(engine.port) as balancer:
        found = ask("--url", balancer.url, **token)
    assert fault(found) == ("upgrade", "E0534", 5)
    assert "Upgrade" in found.last["advice"]


def test_another_service_at_the_engines_address() -> None:
    with Page("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html", "<h1>Welcome</h1>") as page:
        found = ask("--url", page.url)
    assert fault(found) == ("upgrade", "E0535", 5)
    assert "nginx" in found.last["says"]


def test_a_load_balancer_whose_engine_is_away() -> None:
    with Page("HTTP/1.1 502 Bad Gateway\r\nServer: nginx") as balancer:
        assert fault(ask("--url", balancer.url)) == ("upgrade", "E0526", 5)


def test_an_address_that_leads_elsewhere() -> None:
    with Page("HTTP/1.1 301 Moved Permanently\r\nLocation: https://onward.example.com/") as page:
        found = ask("--url", page.url)
    assert fault(found) == ("upgrade", "E0535", 5)
    assert "https://onward.example.com/" in found.last["says"]


def test_an_engine_that_stands_still(engine: System, token: dict[str, str]) -> None:
    [process] = engine.started
    process.send_signal(signal.SIGSTOP)
    try:
        found = ask("--url", engine.url, **token)
    finally:
        process.send_signal(signal.SIGCONT)
    assert fault(found) == ("upgrade", "E0536", 75)


@pytest.mark.parametrize(("environment", "says"), [({}, "wants a token"), ({"ONWARD_TOKEN": "no"}, "not accept this")])
def test_a_token_that_is_wrong_or_missing(engine: System, environment: dict[str, str], says: str) -> None:
    found = ask("--url", engine.url, **environment)
    assert fault(found) == ("auth", "E0402", 4)
    assert says in found.last["says"]


@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL, "onward.v2"])
def test_an_engine_that_has_forgotten_this_protocol(tmp_path: Path, subprotocol: str) -> None:
    with System(tmp_path) as system:
        module = [sys.executable, "-m", "tests.support.newer_engine", str(tmp_path), str(system.port)]
        system._start([*module, "2", subprotocol], log="engine")
        wait_for(system.answers, "the engine answers")
        found = ask("--url", system.url, ONWARD_TOKEN=system.token)
    assert fault(found) == ("protocol", "E0403", 9)
    assert "release" in found.last["advice"]


# -- how long connections last -----------------------------------------------------------------------------------------


def test_a_firewall_that_cuts_connections_that_are_idle(engine: System, token: dict[str, str]) -> None:
    with IdleCut(engine.port, after_s=2) as firewall:
        found = ask("--url", firewall.url, "--idle", "3s", **token)
    assert fault(found) == ("idle", "E0537", 5)
    assert "was cut after" in found.last["says"]
    assert found.last["facts"]["quiet_s"] == pytest.approx(2, abs=1)
    assert "without traffic" in found.last["says"]
    assert "idle timeout" in found.last["advice"]


def test_a_firewall_that_forgets_connections_that_are_idle(engine: System, token: dict[str, str]) -> None:
    with IdleCut(engine.port, after_s=2, quietly=True) as firewall:
        found = ask("--url", firewall.url, "--idle", "3s", **token)
    assert fault(found) == ("idle", "E0537", 5)
    assert "fell silent" in found.last["says"]
