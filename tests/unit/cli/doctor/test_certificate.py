"""Certificates that nobody has accepted, read without any other library."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from onward_cli.doctor.certificate import Certificate, read_certificate

from tests.support.authority import Authority

DAY = timedelta(days=1)


def der_of(file: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(file.read_text().partition("-----BEGIN PRIVATE")[0])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "Acme Root")


def test_a_certificate_says_whose_it_is_and_who_says_so(authority: Authority) -> None:
    found = read_certificate(der_of(authority.sign("engine.test", "10.1.2.3", "fd00::1").cert))
    assert (found.subject, found.issuer, found.is_self_signed) == ("engine.test", "Acme Root", False)
    assert found.names == ("engine.test", "10.1.2.3", "fd00::1")
    assert timedelta(days=29) < found.ends - datetime.now(UTC) < timedelta(days=31)
    assert found.begins < datetime.now(UTC)


def test_an_authority_signs_itself(authority: Authority) -> None:
    assert read_certificate(der_of(authority.file)).is_self_signed


@pytest.mark.parametrize(
    ("host", "is_covered"),
    [("Engine.test", True), ("a.svc.test", True), ("a.b.svc.test", False), ("svc.test", False), ("other.test", False)],
)
def test_a_certificate_covers_its_names_and_one_label_in_place_of_a_star(
    authority: Authority, host: str, is_covered: bool
) -> None:
    assert read_certificate(der_of(authority.sign("engine.test", "*.svc.test").cert)).covers(host) is is_covered


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # of an old authority
def test_all_authorities_of_this_machine_are_read_as_another_library_reads_them(authority: Authority) -> None:
    for der in [der_of(authority.file), *ssl.create_default_context().get_ca_certs(binary_form=True)]:
        theirs = x509.load_der_x509_certificate(der)
        ours = read_certificate(der)
        assert (ours.begins, ours.ends) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
        assert ours.is_self_signed == (theirs.issuer == theirs.subject)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_refused_and_nothing_else(data: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(read_certificate(data), Certificate)


@given(st.data())
def test_a_certificate_with_changed_bytes_is_read_or_refused(authority: Authority, data: st.DataObject) -> None:
    der = bytearray(der_of(authority.file))
    for _ in range(data.draw(st.integers(1, 8))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        assert isinstance(read_certificate(bytes(der)), Certificate)
