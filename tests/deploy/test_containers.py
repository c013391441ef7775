"""What runs in the containers, started here as it is there: with their arguments, their environment, their proxy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import msgspec
import pytest
from onward import Event, SyncClient
from onward_cli.heartbeat import look

from tests.support.manifests import DEPLOY, one, pods, settings_of
from tests.support.processes import System, wait_for
from tests.support.tunnel import Tunnels

OVERLAY = "overlays/production"
PROGRAM = str(Path(sys.executable).with_name("worker"))

# What the kubelet makes of the securityContext: user 65532 without capabilities, all read-only but what is mounted.
CONFINED = """
for folder in $WRITABLE; do mount -t tmpfs tmpfs "$folder"; done
mount -o remount,bind,ro /
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all -- "$@"
"""
CONFINE = [
    "unshare",
    "--user",
    "--map-user=65532",
    "--map-group=65532",
    "--keep-caps",
    "--mount",
    "bash",
    "-ec",
    CONFINED,
]


def may_confine() -> bool:
    """Tell whether this machine lets us make namespaces."""
    if sys.platform != "linux":
        return False
    return subprocess.run([*CONFINE, "-", "true"], capture_output=True, check=False).returncode == 0


class Containers(System):
    """A worker and an engine as a pod has them, but for the address, the token's file and where they may write."""

    writable: tuple[Path, ...] = ()
    """If set, processes are confined, and write there only."""

    def start(self, owner: str, log: str, **changed: str) -> subprocess.Popen[bytes]:
        [container] = pods(OVERLAY)[owner]["containers"]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
        settings = {**plain, **settings_of(OVERLAY, owner), **changed, "WRITABLE": " ".join(map(str, self.writable))}
        command = [*(CONFINE if self.writable else ()), *(["-"] if self.writable else ()), PROGRAM, *container["args"]]
        with self.home.joinpath(f"{log}.log").open("ab") as out:
            child = subprocess.Popen(command, cwd=self.app, env=settings, stdout=out, stderr=out)
        self.started.append(child)
        return child

    @property
    def app(self) -> Path:
        """A folder in which only the user's code can be, as /app of the image."""
        return DEPLOY / "compose"

    def start_engine(self) -> subprocess.Popen[bytes]:
        child = self.start(
            "onward-engine",
            "engine",
            ONWARD_HOST="127.0.0.1",
            ONWARD_PORT=str(self.port),
            ONWARD_DB=str(self.home / "data" / "onward.db"),
            ONWARD_ADMIN_TOKEN_FILE=str(self.home / "admin.token"),
        )
        wait_for(lambda: child.poll() is not None or self.answers(), "the engine answers")
        assert child.poll() is None, self.log("engine")
        return child

    def start_worker(self, **changed: str) -> subprocess.Popen[bytes]:
        own = {
            "ONWARD_RUN_DIR": str(self.home / "run"),
            "ONWARD_TOKEN_FILE": str(self.home / "admin.token"),
            "ONWARD_URL": self.url,
        }
        return self.start("onward-worker", "worker", **{**own, **changed})


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Containers]:
    tmp_path.joinpath("admin.token").write_text("onw_admin_of_a_secret\n")
    with Containers(tmp_path) as running:
        running.start_engine()
        yield running


def connected(client: SyncClient) -> None:
    wait_for(lambda: len(client.list_workers()) == 1, "the worker is connected")


def get(url: str, token: str = "") -> bytes:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urlopen(Request(url, headers=headers), timeout=5) as answer:
        content: bytes = answer.read()
        return content


def test_a_worker_of_the_manifest_runs_shows_its_pod_and_leaves_when_it_is_told(system: Containers) -> None:
    worker = system.start_worker()
    connected(system.client)
    [shown] = system.client.list_workers()
    assert shown.labels == {"pod": "pod_name", "namespace": "pod_namespace", "node": "node_name"}
    assert shown.slots == 100
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0


def test_the_engine_of_the_manifest_answers_its_probes_without_a_token(system: Containers) -> None:
    [container] = pods(OVERLAY)["onward-engine"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert get(system.url + container[probe]["httpGet"]["path"])


def test_what_keda_asks_for_is_answered_with_a_number(system: Containers) -> None:
    [trigger] = one(OVERLAY, "ScaledObject", "onward-worker")["spec"]["triggers"]
    path = trigger["metadata"]["url"].partition("8484")[2]
    answer = msgspec.json.decode(get(system.url + path, system.token), type=dict[str, float])
    assert answer[trigger["metadata"]["valueLocation"]] == 0


def test_a_worker_behind_a_proxy_reaches_an_engine_that_only_the_proxy_can_find(system: Containers) -> None:
    variables = {
        variable["name"] for variable in pods("overlays/behind-proxy")["onward-worker"]["containers"][0]["env"]
    }
    assert "HTTPS_PROXY" in variables
    words = b64encode(b"user:password").decode()
    with Tunnels(f"Proxy-Authorization: Basic {words}") as proxy:
        system.start_worker(
            ONWARD_URL=f"http://engine.test:{system.port}",
            ONWARD_INSECURE="true",
            HTTPS_PROXY=f"http://user:password@127.0.0.1:{proxy.port}",
        )
        connected(system.client)
        assert set(proxy.asked) == {f"engine.test:{system.port}"}


@pytest.mark.skipif(not may_confine(), reason="this machine makes no namespaces for us")
def test_worker_and_engine_need_no_more_than_the_security_context_gives_them(tmp_path: Path) -> None:
    tmp_path.joinpath("admin.token").write_text("onw_admin_of_a_secret\n")
    folders = tuple(tmp_path / name for name in ("data", "run", "tmp"))
    for folder in folders:
        folder.mkdir()
    with Containers(tmp_path) as system:
        system.writable = folders
        engine, worker = system.start_engine(), system.start_worker(TMPDIR=str(tmp_path / "tmp"))
        connected(system.client)
        [sent] = system.client.send(Event("shop/order.placed", {"order": "o1"}))
        assert sent.runs[0].result(timeout="20s") == ["paid o1", "sent o1"]
        for process in (engine, worker):
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "CapEff:\t0000000000000000" in status
            roots = [line.split() for line in Path(f"/proc/{process.pid}/mounts").read_text().splitlines()]
            assert next(options for _, place, _, options, *_ in roots if place == "/").startswith("ro,")
        assert look("ready", f"/proc/{worker.pid}/root{tmp_path}/run") == ""
        for process in (worker, engine):
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
