"""A worker as it is deployed where almost nothing is allowed: through an https proxy that wants a password, to an
engine of a private authority that wants a certificate.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.processes import ROOT, System, child_of, wait_for
from tests.support.tunnel import Tunnels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


class Walled(System):
    """A system whose engine nobody finds but the proxy."""

    @property
    def url(self) -> str:
        return f"https://engine.test:{self.port}"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Tunnels]:
    with Tunnels("me", "p@ss", tls=Authority(tmp_path, "Proxies").sign("127.0.0.1").listening()) as running:
        yield running


@pytest.fixture
def system(tmp_path: Path, proxy: Tunnels) -> Iterator[Walled]:
    authority, workers = Authority(tmp_path), Authority(tmp_path, "Workers")
    engine, worker = authority.sign("engine.test"), workers.sign("worker-1")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.file.read_bytes() + (tmp_path / "Proxies.pem").read_bytes())
    tmp_path.joinpath("admin.token").write_text("onw_admin_of_a_secret")
    environment = {
        "ONWARD_PROXY": f"https://me:p%40ss@127.0.0.1:{proxy.port}",
        "ONWARD_CA_FILE": str(trusted),
        "ONWARD_CLIENT_CERT": str(worker.cert),
        "ONWARD_CLIENT_KEY": str(worker.key),
    }
    with Walled(tmp_path, environment=environment) as running:
        tls = {"--tls-cert": engine.cert, "--tls-key": engine.key, "--tls-client-ca": workers.file}
        running.engine(*(text for option, file in tls.items() for text in (option, str(file))))
        yield running


def test_a_worker_is_spoken_for_by_its_supervisor_the_same_way(system: Walled, proxy: Tunnels) -> None:
    worker = system.worker("tests.system.apps.blocking:functions")
    child = child_of(worker)
    os.kill(child, signal.SIGSTOP)
    try:
        wait_for(lambda: "worker stands still" in system.log("engine"), "the guard holds its runs")
    finally:
        os.kill(child, signal.SIGCONT)
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: "worker lost" in system.log("engine"), "the supervisor has told of its death")
    assert set(proxy.asked) == {f"engine.test:{system.port}"}
    assert [words for words in ("p@ss", "p%40ss") if words in system.log("worker")] == []


def test_every_command_goes_that_way(system: Walled, proxy: Tunnels) -> None:
    environment = {**os.environ, **system.environment, "ONWARD_URL": system.url}
    token = str(system.home / "admin.token")
    for command in ("runs list", "workers list", "send shop/order.placed"):
        before = len(proxy.asked)
        arguments = [sys.executable, "-m", "onward", *command.split(), "--token-file", token]
        subprocess.run(arguments, env=environment, cwd=ROOT, check=True, capture_output=True)
        assert len(proxy.asked) > before


def test_options_go_before_the_environment(system: Walled) -> None:
    environment = {**os.environ, **system.environment, "ONWARD_URL": system.url, "ONWARD_PROXY": "http://127.0.0.1:1"}
    given = ["--proxy", system.environment["ONWARD_PROXY"], "--token-file", str(system.home / "admin.token")]
    arguments = [sys.executable, "-m", "onward", "workers", "list", *given]
    subprocess.run(arguments, env=environment, cwd=ROOT, check=True, capture_output=True)
