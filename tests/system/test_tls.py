"""TLS between an engine and whoever connects to it, with certificates that come and go."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from onward import NotConnected
from onward.client import Client
from onward.connection.dialer import Dialer
from onward.connection.link import DialFailed, Refused
from onward.dialing.trust import Trust
from onward.dialing.way import Way
from onward.errors import ConfigError
from onward.settings import Settings
from onward.worker import Worker
from onward_engine.engine import Engine
from onward_engine.settings import Settings as EngineSettings
from onward_engine.tls import CannotEncrypt, Certificates
from onward_engine.web import CannotListen

from tests.support.authority import Authority, Signed
from tests.support.ways import LOOPS, TOKEN, app, connected, engine, failures, played, work


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whoever has signed the engine's certificate."""
    found = Authority(tmp_path)
    found.sign("127.0.0.1", "localhost", file="engine")
    return found


def settings_for(running: Engine, authority: Authority, client: Signed | None = None) -> Settings:
    files = {} if client is None else {"client_cert": str(client.cert), "client_key": str(client.key)}
    return Settings.read({}, url=running.url, token=TOKEN, ca_file=str(authority.file), **files)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_engine_with_a_certificate_is_reached_by_https(loop: str, authority: Authority, tmp_path: Path) -> None:
    async def scene() -> None:
        async with engine(tmp_path) as running:
            assert running.url.startswith("https://")
            await work(settings_for(running, authority))

    played(scene(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_engine_that_wants_certificates_lets_in_who_has_one(loop: str, authority: Authority, tmp_path: Path) -> None:
    workers = Authority(tmp_path, "Workers")

    async def scene() -> None:
        async with engine(tmp_path, client_ca=workers.file) as running:
            await work(settings_for(running, authority, workers.sign("worker-1")))

    played(scene(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_without_a_certificate_or_with_a_stranger_s_nobody_is_let_in(
    loop: str, authority: Authority, tmp_path: Path
) -> None:
    workers = Authority(tmp_path, "Workers")

    async def scene() -> None:
        async with engine(tmp_path, client_ca=workers.file) as running:
            for client in (None, authority.sign("worker-1")):
                dialer, *others = await failures(settings_for(running, authority, client))
                assert isinstance(dialer, Refused if client is None else DialFailed)  # files may be replaced
                assert all("client certificate" in str(error) for error in (dialer, *others))
                assert [error.code for error in others if isinstance(error, NotConnected)] == ["E0410", "E0410"]

    played(scene(), loop)


@pytest.mark.parametrize(
    ("hosts", "days", "signed_by", "reason"),
    [
        ("127.0.0.1", -1, "Test CA", "certificate has expired"),
        ("another.test", 1, "Test CA", "IP address mismatch"),
        ("127.0.0.1", 1, "Firewall Inc", "unable to get local issuer certificate"),
    ],
)
def test_a_certificate_that_is_not_the_engine_s_is_not_trusted(
    hosts: str, days: int, signed_by: str, reason: str, authority: Authority, tmp_path: Path
) -> None:
    signer = authority if signed_by == "Test CA" else Authority(tmp_path, signed_by)
    signer.sign(hosts, days=days, file="engine")

    async def scene() -> None:
        async with engine(tmp_path) as running:
            errors = await failures(settings_for(running, authority))
            assert all(f"the certificate of the engine at {running.url} is not" in str(error) for error in errors)
            assert all(reason in str(error) for error in errors)

    played(scene())


def test_https_to_an_engine_without_tls_is_told_as_such(authority: Authority, tmp_path: Path) -> None:
    async def scene() -> None:
        async with engine(tmp_path, is_tls=False) as running:
            url = running.url.replace("http:", "https:")
            for error in await failures(settings_for(running, authority).changed(url=url)):
                assert f"the engine at {url} does not speak TLS as it should: wrong version number" in str(error)

    played(scene())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_engine_with_tls_hangs_up_on_who_does_not_speak_it(loop: str, authority: Authority, tmp_path: Path) -> None:
    async def scene() -> None:
        async with engine(tmp_path) as running, asyncio.timeout(2):
            assert await failures(settings_for(running, authority).changed(url=running.url.replace("https:", "http:")))

    played(scene(), loop)


# -- renewing


def test_an_engine_s_renewed_certificate_counts_for_the_next_connection(authority: Authority, tmp_path: Path) -> None:
    async def scene() -> None:
        async with engine(tmp_path) as running:
            settings = settings_for(running, authority)
            async with Worker(app, settings=settings) as worker:
                await connected(worker)
                renewed = Authority(tmp_path, "Next")
                renewed.sign("127.0.0.1", file="engine")
                assert all("not trusted" in str(error) for error in await failures(settings))
                await work(settings_for(running, renewed))
                assert worker.state == "connected"

    played(scene())


def test_an_engine_keeps_its_certificate_while_the_new_one_cannot_be_used(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scene() -> None:
        async with engine(tmp_path) as running:
            tmp_path.joinpath("engine.key").write_text("half of a k")
            for _ in range(2):
                await work(settings_for(running, authority))

    played(scene())
    assert capsys.readouterr().out.count("new certificate cannot be used") == 1


def test_clients_of_an_authority_that_is_not_trusted_any_more_stay_out(authority: Authority, tmp_path: Path) -> None:
    workers, next_workers = Authority(tmp_path, "Workers"), Authority(tmp_path, "Next workers")
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(workers.file.read_bytes() + next_workers.file.read_bytes())

    async def scene() -> None:
        async with engine(tmp_path, client_ca=client_ca) as running:
            old = settings_for(running, authority, workers.sign("worker-1", file="old"))
            new = settings_for(running, authority, next_workers.sign("worker-1", file="new"))
            await work(old)
            await work(new)
            client_ca.write_bytes(next_workers.file.read_bytes())
            assert all("client certificate" in str(error) for error in await failures(old))
            await work(new)

    played(scene())


def test_a_worker_s_files_are_read_again_at_each_connect(authority: Authority, tmp_path: Path) -> None:
    """One that runs takes a new token, a new authority and a new certificate of its own without a restart."""
    workers = Authority(tmp_path, "Workers")
    token, ca = tmp_path / "token", tmp_path / "ca.pem"

    async def scene() -> None:
        async with engine(tmp_path, client_ca=workers.file) as running:
            settings = settings_for(running, authority, authority.sign("worker-1", file="worker"))
            settings = settings.changed(token_file=str(token), ca_file=str(ca))
            token.write_text("onw_wrong")
            ca.write_bytes(workers.file.read_bytes())
            dial = Dialer(settings.url, settings.token, settings.way)
            async with Client(settings=settings) as client:
                with pytest.raises(DialFailed, match="not trusted"):
                    await dial()
                ca.write_bytes(authority.file.read_bytes())
                with pytest.raises(DialFailed, match="client certificate"):
                    await dial()
                workers.sign("worker-1", file="worker")
                with pytest.raises(Refused, match="token"):
                    await dial()
                token.write_text(TOKEN)
                await (await dial()).close()
                assert not await client.list_workers()

    played(scene())


def test_a_file_that_is_gone_ends_a_start_but_not_a_worker_that_was_connected(
    authority: Authority, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with engine(tmp_path) as running:
            settings = settings_for(running, authority)
            dial = Dialer(settings.url, settings.token, settings.way)
            await (await dial()).close()
            content = authority.file.read_bytes()
            authority.file.unlink()
            with pytest.raises(DialFailed, match="cannot be read"):
                await dial()
            with pytest.raises(ConfigError, match=r"--ca-file \(ONWARD_CA_FILE\) is .* cannot be read"):
                await Dialer(settings.url, settings.token, settings.way)()
            authority.file.write_bytes(content)
            await (await dial()).close()

    played(scene())


def test_who_comes_back_is_looked_at_again(authority: Authority, tmp_path: Path) -> None:
    """A session that is taken up has no handshake in which a certificate could be judged."""

    async def scene() -> None:
        async with engine(tmp_path) as running:
            session = await asyncio.to_thread(session_of, running.port, authority)
            assert not session.has_ticket

    played(scene())


def session_of(port: int, authority: Authority) -> ssl.SSLSession:
    """Return what a client could come back with: it has come when the answer has."""
    context = ssl.create_default_context(cafile=authority.file)
    opened = socket.create_connection(("127.0.0.1", port))
    with opened, context.wrap_socket(opened, server_hostname="localhost") as encrypted:
        encrypted.sendall(b"GET /healthz HTTP/1.1\r\nhost: engine\r\n\r\n")
        assert encrypted.recv(8).startswith(b"HTTP/1.1")
        assert encrypted.session is not None
        return encrypted.session


# -- files that are wrong from the start


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"tls_cert": "engine.crt", "tls_key": "other.key"}, "KEY_VALUES_MISMATCH"),
        ({"tls_cert": "missing.crt"}, "No such file"),
        ({"tls_cert": "engine.crt"}, "engine.crt"),
        ({"tls_key": "engine.key"}, "add --tls-cert"),
        ({"tls_client_ca": "Test-CA.pem"}, "add --tls-cert"),
    ],
)
async def test_an_engine_says_which_files_it_cannot_start_with(
    files: dict[str, str], reason: str, authority: Authority, tmp_path: Path
) -> None:
    authority.sign("127.0.0.1", file="other")
    named: dict[str, Any] = {option: tmp_path / file for option, file in files.items()}
    with pytest.raises(CannotListen, match=reason):
        await Engine(EngineSettings(folder=tmp_path, port=0, token=TOKEN, **named)).start()


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(authority: Authority, tmp_path: Path) -> None:
    signed = authority.sign("127.0.0.1", file="locked")
    key = load_pem_private_key(signed.key.read_bytes(), None)
    lock = BestAvailableEncryption(b"secret")
    signed.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    with pytest.raises(CannotEncrypt, match="without a password"):
        Certificates(signed.cert, signed.key)
    with pytest.raises(ConfigError, match="without a password") as caught:
        Trust(Way(client_cert=str(signed.cert), client_key=str(signed.key))).to_engine()
    assert caught.value.code == "E0407"


@pytest.mark.parametrize("broken", ["ca_file", "client_cert", "client_key"])
def test_a_file_that_is_no_certificate_is_named(broken: str, authority: Authority, tmp_path: Path) -> None:
    client = authority.sign("worker-1", file="worker")
    named = {"ca_file": authority.file, "client_cert": client.cert, "client_key": client.key}
    named[broken].write_text("nothing of the kind")

    async def scene() -> None:
        settings = Settings.read({}, url="https://127.0.0.1:1", **{name: str(file) for name, file in named.items()})
        with pytest.raises(ConfigError, match=named[broken].name) as caught:
            await Dialer(settings.url, settings.token, settings.way)()
        assert caught.value.code == "E0407"

    asyncio.run(scene())
