"""NO_PROXY: what each kind of entry means, and what it does not."""

from __future__ import annotations

import pytest
from onward.dialing.bypass import bypassed_by, is_loopback

MEANT = [
    ("*", "anything.example", 443),
    ("example.com", "example.com", 443),
    ("example.com", "engine.example.com", 443),
    ("EXAMPLE.com", "Engine.Example.COM", 443),
    ("example.com.", "engine.example.com", 443),
    ("example.com", "engine.example.com.", 443),
    (".example.com", "engine.example.com", 443),
    (".example.com", "example.com", 443),
    ("*.example.com", "engine.example.com", 443),
    (".svc", "onward-engine.onward.svc", 8484),
    ("onward-engine", "onward-engine", 8484),
    ("bücher.example", "xn--bcher-kva.example", 443),
    ("xn--bcher-kva.example", "bücher.example", 443),
    ("engine.test:8484", "engine.test", 8484),
    (".svc:8484", "onward-engine.onward.svc", 8484),
    ("10.1.2.3", "10.1.2.3", 443),
    ("10.1.2.3:8484", "10.1.2.3", 8484),
    ("10.0.0.0/8", "10.1.2.3", 443),
    ("10.1.2.3/8", "10.200.0.1", 443),
    ("10.0.0.0/8:8484", "10.1.2.3", 8484),
    ("10.0.0.0/8", "::ffff:10.1.2.3", 443),
    ("fd00::1", "fd00::1", 443),
    ("fd00:0:0::1", "fd00::1", 443),
    ("[fd00::1]", "fd00::1", 443),
    ("[fd00::1]:8484", "fd00::1", 8484),
    ("fd00::/8", "fd12::1", 443),
    ("[fd00::]/8", "fd12::1", 443),
    ("*:8484", "engine.test", 8484),
    ("*:8484", "10.1.2.3", 8484),
]
OTHERS = [
    ("", "engine.test", 443),
    (",, ,", "engine.test", 443),
    (".", "engine.test", 443),
    ("example.com", "notexample.com", 443),
    ("example.com", "example.com.evil.test", 443),
    ("engine.example.com", "example.com", 443),
    ("svc", "onward-engine", 8484),
    (".svc", "onward-engine.onward.svc.cluster.local", 8484),
    ("engine.test:8484", "engine.test", 443),
    ("engine.test:port", "engine.test", 443),
    ("10.0.0.0/8", "11.0.0.1", 443),
    ("10.0.0.0/8", "ten.example", 443),
    ("10.0.0.0/99", "10.0.0.1", 443),
    ("10.0.0.0/8:8484", "10.1.2.3", 443),
    ("10", "10.1.2.3", 443),
    ("1.2.3", "0.1.2.3", 443),
    ("fd00::/8", "10.0.0.1", 443),
    ("0.0.0.0/0", "fd00::1", 443),
    ("[fd00::1]:8484", "fd00::1", 443),
    ("*:8484", "engine.test", 443),
    (f"engine.test:{'9' * 5000}", "engine.test", 443),
]


@pytest.mark.parametrize(("entry", "host", "port"), MEANT)
def test_an_entry_means_a_host_and_is_named(entry: str, host: str, port: int) -> None:
    assert bypassed_by(f"other.test, {entry},192.0.2.0/24", host, port) == entry


@pytest.mark.parametrize(("entry", "host", "port"), OTHERS)
def test_an_entry_does_not_mean_another_host(entry: str, host: str, port: int) -> None:
    assert bypassed_by(entry, host, port) == ""


@pytest.mark.parametrize("entries", ["a.test,b.test", "a.test b.test", " a.test ,\tb.test\n"])
def test_entries_stand_between_commas_or_spaces(entries: str) -> None:
    assert bypassed_by(entries, "b.test", 443) == "b.test"


def test_this_machine_has_several_names() -> None:
    assert all(map(is_loopback, ("localhost", "LocalHost", "127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1")))
    assert not any(map(is_loopback, ("localhost.example", "127.evil.example", "10.0.0.1", "")))
