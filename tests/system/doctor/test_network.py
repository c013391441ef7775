"""What `worker doctor` says of names, packets and proxies: each fault is set up for real, in a network of its own where
this machine has to be left alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.boxes import Page
from tests.support.doctor import ask, fault
from tests.support.pod import POD, PROXY, TOOLS, PodNetwork, may_make_pods
from tests.support.processes import System, free_port
from tests.support.socks import Socks
from tests.support.tunnel import Tunnels

needs_pods = pytest.mark.skipif(not may_make_pods(), reason=f"pods are made with {', '.join(TOOLS)} on Linux")


@pytest.fixture(scope="module")
def pod() -> Iterator[PodNetwork]:
    with PodNetwork() as network:
        yield network


def in_pod(pod: PodNetwork, folder: Path) -> list[str]:
    """Return what runs a command in a pod whose name server is at the other end of its cable."""
    folder.joinpath("resolv.conf").write_text(f"nameserver {PROXY}\n")
    place = os.path.realpath("/etc/resolv.conf")
    return pod.inside("bwrap", "--dev-bind", "/", "/", "--ro-bind", str(folder / "resolv.conf"), place, "--")


@needs_pods
def test_a_name_that_nobody_knows(pod: PodNetwork, tmp_path: Path) -> None:
    command = pod.outside(sys.executable, "-m", "tests.support.no_names", PROXY)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as names:
        assert names.stdout is not None
        try:
            names.stdout.readline()
            found = ask("--url", "https://engine.example.com", before=in_pod(pod, tmp_path))
        finally:
            names.kill()
    assert fault(found) == ("dns", "E0520", 5)
    assert "engine.example.com" in found.last["says"]


@needs_pods
def test_a_name_server_that_does_not_answer(pod: PodNetwork, tmp_path: Path) -> None:
    found = ask("--url", "https://engine.example.com", before=in_pod(pod, tmp_path))
    assert fault(found) == ("dns", "E0521", 5)


@needs_pods
def test_a_network_without_a_way_there(pod: PodNetwork, tmp_path: Path) -> None:
    found = ask("--url", "https://198.51.100.1", before=in_pod(pod, tmp_path))
    assert fault(found) == ("tcp", "E0524", 5)


@needs_pods
def test_a_firewall_that_drops_packets(pod: PodNetwork) -> None:
    found = ask("--url", f"https://{POD}", before=pod.outside())
    assert fault(found) == ("tcp", "E0523", 5)
    assert "firewall" in found.last["advice"]


def test_a_port_on_which_nobody_listens() -> None:
    found = ask("--url", f"http://127.0.0.1:{free_port()}")
    assert fault(found) == ("tcp", "E0522", 5)
    assert "the engine" in found.last["says"]


def test_a_proxy_that_does_not_run_is_told_from_an_engine_that_does_not() -> None:
    found = ask("--url", "https://engine.test", "--proxy", f"http://127.0.0.1:{free_port()}")
    assert fault(found) == ("tcp", "E0522", 5)
    assert "the proxy" in found.last["says"]


# -- proxies -----------------------------------------------------------------------------------------------------------


def test_a_proxy_with_the_right_words_leads_to_an_engine_that_only_it_can_find(
    engine: System, token: dict[str, str]
) -> None:
    with Tunnels("user", "p@ss") as proxy:
        way = {"HTTP_PROXY": f"http://user:p%40ss@127.0.0.1:{proxy.port}"}
        found = ask("--url", f"http://engine.test:{engine.port}", "--insecure", **way, **token)
    assert found.failed is None
    assert found.step("proxy")["facts"]["reason"] == "HTTP_PROXY"


@pytest.mark.parametrize(("user", "words"), [("", "wants a user"), ("user:wrong@", "does not accept this user")])
def test_a_proxy_that_wants_a_password(user: str, words: str) -> None:
    with Tunnels("user", "right") as proxy:
        found = ask("--url", "https://engine.test", HTTPS_PROXY=f"http://{user}127.0.0.1:{proxy.port}")
    assert fault(found) == ("tunnel", "E0408", 4)
    assert words in found.last["says"]


def test_a_socks_proxy_leads_on_or_says_that_it_does_not_know_us(engine: System, token: dict[str, str]) -> None:
    url = ("--url", f"http://engine.test:{engine.port}", "--insecure")
    with Socks("user", "right") as proxy:
        assert ask(*url, "--proxy", f"socks5h://user:right@127.0.0.1:{proxy.port}", **token).failed is None
        for words in ("", "user:wrong@"):
            found = ask(*url, "--proxy", f"socks5h://{words}127.0.0.1:{proxy.port}", **token)
            assert fault(found) == ("tunnel", "E0408", 4)


@pytest.mark.parametrize(
    ("answer", "code"),
    [("HTTP/1.1 403 Forbidden", "E0525"), ("HTTP/1.1 502 Bad Gateway", "E0526"), ("HTTP/1.1 404 Not Found", "E0527")],
)
def test_a_proxy_that_does_not_lead_on(answer: str, code: str) -> None:
    with Page(answer) as proxy:
        assert fault(ask("--url", "https://engine.test", "--proxy", proxy.url)) == ("tunnel", code, 5)


def test_an_https_proxy_that_nobody_trusts(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Proxy CA")
    with Page("HTTP/1.1 200 OK", tls=authority.sign("127.0.0.1").listening()) as proxy:
        found = ask("--url", "https://engine.test", "--proxy", proxy.url)
    assert fault(found) == ("tunnel", "E0531", 5)
    assert "Proxy CA" in found.last["says"]
