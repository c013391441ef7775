"""What runs in the containers, started here as it is there: with their arguments, their environment, their proxy."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.request import Request, urlopen

import msgspec
import pytest
from onward import Event, SyncClient
from onward_cli.heartbeat import look

from tests.support.doctor import PROGRAM
from tests.support.manifests import DEPLOY, one, pods, settings_of
from tests.support.pod import POD, TOOLS, PodNetwork, may_make_pods
from tests.support.processes import System, child_of, wait_for
from tests.support.tunnel import Tunnels

OVERLAY = "overlays/production"
QUICK = Path(__file__).with_name("image")

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

    before: tuple[str, ...] = ()
    """What stands before a worker's command line: something that confines it further."""

    app: Path = DEPLOY / "compose"
    """A folder in which only the user's code can be, as /app of the image."""

    def start(self, owner: str, log: str, **changed: str) -> subprocess.Popen[bytes]:
        [container] = pods(OVERLAY)[owner]["containers"]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
        settings = {**plain, **settings_of(OVERLAY, owner), **changed, "WRITABLE": " ".join(map(str, self.writable))}
        before = self.before if owner == "onward-worker" else ()
        confine = (*CONFINE, "-") if self.writable else ()
        command = [*before, *confine, PROGRAM, *container["args"]]
        with self.home.joinpath(f"{log}.log").open("ab") as out:
            child = subprocess.Popen(command, cwd=self.app, env=settings, stdout=out, stderr=out)
        self.started.append(child)
        return child

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
    with Tunnels("user", "password") as proxy:
        system.start_worker(
            ONWARD_URL=f"http://engine.test:{system.port}",
            ONWARD_INSECURE="true",
            HTTPS_PROXY=f"http://user:password@127.0.0.1:{proxy.port}",
        )
        connected(system.client)
        assert set(proxy.asked) == {f"engine.test:{system.port}"}


def may_do_nothing(pid: int) -> bool:
    """Tell whether a process has no capabilities, and a root file system that cannot be written."""
    roots = [line.split() for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
    is_read_only = next(options for _, place, _, options, *_ in roots if place == "/").startswith("ro,")
    return is_read_only and "CapEff:\t0000000000000000" in Path(f"/proc/{pid}/status").read_text()


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
            assert may_do_nothing(process.pid)
        assert look("ready", f"/proc/{worker.pid}/root{tmp_path}/run") == ""
        for process in (worker, engine):
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


RUNS = 1_000
PROBE_RATIO_MAX = 2
"""What a probe may take, as a multiple of a Python that does nothing but read JSON. A second is not the same work on
another machine, or beside other tests.
"""


@pytest.mark.skipif(not may_make_pods(), reason=f"pods are made with {', '.join(TOOLS)} on Linux")
def test_a_pod_that_nobody_can_reach_and_that_reaches_a_proxy_only_runs_a_thousand_runs(tmp_path: Path) -> None:
    tmp_path.joinpath("admin.token").write_text("onw_admin_of_a_secret\n")
    folders = [tmp_path / name for name in ("run", "tmp")]
    for folder in folders:
        folder.mkdir()
    with (
        PodNetwork() as network,
        Tunnels("user", "password", listening=network.proxy) as proxy,
        Containers(tmp_path) as system,
    ):
        system.app, system.before = QUICK, tuple(network.confined(writable=folders))
        system.start_engine()
        way = {
            "ONWARD_URL": f"http://engine.test:{system.port}",
            "ONWARD_INSECURE": "true",
            "HTTPS_PROXY": f"http://user:password@{network.proxy_address}",
        }
        shell = system.start_worker(**way, TMPDIR=str(tmp_path / "tmp"))
        connected(system.client)
        sent = system.client.send(*[Event("shop/order.placed", {"order": f"o{number}"}) for number in range(RUNS)])
        runs = [run for one in sent for run in one.runs]
        assert [run.result(timeout="30s") for run in runs] == [[f"paid o{n}", f"sent o{n}"] for n in range(RUNS)]
        assert set(proxy.asked) == {f"engine.test:{system.port}"}

        worker = child_of(shell)
        assert may_do_nothing(worker)
        assert "Uid:\t65532\t" in said_by(*in_pod(worker, "cat", "/proc/self/status"))
        assert said_by(*network.inside("ss", "--no-header", "--listening", "-tuwx")) == ""
        assert probe_ratio(worker, tmp_path / "run") <= PROBE_RATIO_MAX
        assert "✓ tunnel" in said_by(*in_pod(worker, PROGRAM, "doctor"), **way, ONWARD_TOKEN=system.token)
        os.kill(worker, signal.SIGTERM)
        assert shell.wait(10) == 0


@pytest.mark.skipif(not may_make_pods(), reason=f"pods are made with {', '.join(TOOLS)} on Linux")
def test_a_pod_of_these_tests_lets_nobody_in_even_where_somebody_listens() -> None:
    listen = "import socket; s = socket.create_server(('', 4000)); print(1, flush=True); s.accept()"
    knock = f"import socket; socket.create_connection(('{POD}', 4000), 0.5)"
    with PodNetwork() as network:
        listener = subprocess.Popen(network.inside(sys.executable, "-c", listen), stdout=subprocess.PIPE)
        assert listener.stdout is not None
        listener.stdout.readline()
        ended = subprocess.run(
            network.outside(sys.executable, "-c", knock), capture_output=True, text=True, check=False
        )
        listener.kill()
        listener.communicate()
    assert "timed out" in ended.stderr


def in_pod(pid: int, *command: str) -> list[str]:
    """Return a command line that runs a command as `kubectl exec` does, in the container of a process."""
    return ["nsenter", f"--target={pid}", "--user", "--preserve-credentials", "--mount", "--net", *command]


def said_by(*command: str, **changed: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **changed}).stdout


def probe_ratio(worker: int, folder: Path) -> float:
    """Return what a probe takes of a processor, compared with a bare Python in the same pod. In turns, and the least of
    several of each: caches are warm on a node.
    """
    probe_s, bare_s = list[float](), list[float]()
    for _ in range(20):
        bare_s.append(processor_s(in_pod(worker, sys.executable, "-c", "import json"), ""))
        probe_s.append(processor_s(in_pod(worker, PROGRAM, "probe", "ready"), "ready\n", ONWARD_RUN_DIR=str(folder)))
    return min(probe_s) / min(bare_s)


def processor_s(command: Sequence[str], said: str, **changed: str) -> float:
    """Run a command that says this. Return what it took, in seconds of a processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert said_by(*command, **changed) == said
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
