"""What `worker doctor` says of certificates, and of who reads along: real ones, shown by a real engine."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authority import Authority, Signed
from tests.support.boxes import Inspector
from tests.support.doctor import ask, fault
from tests.support.processes import System


class Secure(System):
    """An engine that is reached by https:// only."""

    def start(self, signed: Signed, *arguments: str) -> None:
        self.show(signed)
        files = ("--tls-cert", str(self.home / "engine.crt"), "--tls-key", str(self.home / "engine.key"))
        self.engine(*files, *arguments)

    def show(self, signed: Signed) -> None:
        """Give it another certificate, which it takes while it runs."""
        for new, name in ((signed.key, "engine.key"), (signed.cert, "engine.crt")):
            shutil.copy(new, self.home / f"{name}.new")
            os.replace(self.home / f"{name}.new", self.home / name)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "Engine CA")


@pytest.fixture(scope="module")
def signed(authority: Authority) -> Signed:
    return authority.sign("localhost", "engine.test")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, authority: Authority, signed: Signed) -> Iterator[Secure]:
    environment = {"ONWARD_CA_FILE": str(authority.file)}
    with Secure(tmp_path_factory.mktemp("secure"), environment=environment) as system:
        system.start(signed)
        yield system


@pytest.fixture
def secure(running: Secure, signed: Signed) -> Iterator[Secure]:
    yield running
    running.show(signed)


def test_an_engine_with_a_certificate_is_fine_with_its_issuer_and_its_end(secure: Secure, authority: Authority) -> None:
    found = ask("--url", secure.url, "--ca-file", str(authority.file), ONWARD_TOKEN=secure.token)
    assert found.failed is None
    assert found.step("tls")["mark"] == "fine"
    assert found.step("tls")["facts"]["issuer"] == "Engine CA"
    assert "29 more days" in found.step("tls")["says"]


def test_a_certificate_that_ends_soon_is_a_warning(secure: Secure, authority: Authority) -> None:
    secure.show(authority.sign("localhost", days=3))
    found = ask("--url", secure.url, "--ca-file", str(authority.file), ONWARD_TOKEN=secure.token)
    assert found.failed is None
    assert found.step("tls")["mark"] == "warning"


def test_a_certificate_that_has_expired(secure: Secure, authority: Authority) -> None:
    secure.show(authority.sign("localhost", days=-1))
    found = ask("--url", secure.url, "--ca-file", str(authority.file))
    assert fault(found) == ("tls", "E0528", 5)
    assert "expired" in found.last["says"]


def test_a_certificate_that_is_not_valid_yet(secure: Secure, authority: Authority) -> None:
    secure.show(authority.sign("localhost", begins_days=2))
    found = ask("--url", secure.url, "--ca-file", str(authority.file))
    assert fault(found) == ("tls", "E0529", 5)


def test_a_certificate_for_another_host(secure: Secure, authority: Authority) -> None:
    secure.show(authority.sign("onward.example.com"))
    found = ask("--url", secure.url, "--ca-file", str(authority.file))
    assert fault(found) == ("tls", "E0530", 5)
    assert "onward.example.com" in found.last["says"]


def test_a_certificate_of_a_ca_of_ones_own_is_no_interception(secure: Secure) -> None:
    found = ask("--url", secure.url)
    assert fault(found) == ("tls", "E0531", 5)
    assert "Engine CA" in found.last["says"]
    assert "--ca-file" in found.last["advice"]


def test_a_proxy_that_reads_what_is_encrypted(secure: Secure, authority: Authority, tmp_path: Path) -> None:
    trusted = ssl.create_default_context(cafile=authority.file)
    with Inspector(Authority(tmp_path, "Acme Web Security"), secure.port, trusted) as proxy:
        way = ("--proxy", proxy.url, "--ca-file", str(authority.file))
        found = ask("--url", f"https://engine.test:{secure.port}", *way)
    assert fault(found) == ("tls", "E0532", 5)
    assert "intercepted" in found.last["says"]
    assert "Acme Web Security" in found.last["says"]


def test_a_proxy_that_reads_what_is_encrypted_and_is_trusted_lets_workers_through(
    secure: Secure, authority: Authority, tmp_path: Path
) -> None:
    trusted, inspector = ssl.create_default_context(cafile=authority.file), Authority(tmp_path, "Zscaler Root CA")
    with Inspector(inspector, secure.port, trusted) as proxy:
        way = ("--proxy", proxy.url, "--ca-file", str(inspector.file))
        found = ask("--url", f"https://engine.test:{secure.port}", *way, ONWARD_TOKEN=secure.token)
    assert found.failed is None
    assert found.step("tls")["mark"] == "warning"
    assert "Zscaler reads along" in found.step("tls")["says"]


def test_an_engine_that_wants_a_certificate_of_its_workers(
    tmp_path: Path, authority: Authority, signed: Signed
) -> None:
    known = authority.sign("worker")
    environment = {
        "ONWARD_CA_FILE": str(authority.file),
        "ONWARD_CLIENT_CERT": str(known.cert),
        "ONWARD_CLIENT_KEY": str(known.key),
    }
    with Secure(tmp_path, environment=environment) as system:
        system.start(signed, "--tls-client-ca", str(authority.file))
        way = ("--url", system.url, "--ca-file", str(authority.file))
        assert fault(ask(*way)) == ("tls", "E0410", 4)
        stranger = Authority(tmp_path, "Other CA").sign("worker")
        files = ("--client-cert", str(stranger.cert), "--client-key", str(stranger.key))
        assert fault(ask(*way, *files)) == ("tls", "E0410", 4)
        assert ask("--url", system.url, **environment, ONWARD_TOKEN=system.token).failed is None


def test_plain_http_where_https_is_spoken(secure: Secure) -> None:
    found = ask("--url", f"http://127.0.0.1:{secure.port}")
    assert fault(found) == ("upgrade", "E0535", 5)
    assert "https://" in found.last["advice"]
