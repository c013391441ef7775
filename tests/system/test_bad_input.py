"""Whatever is wrong is answered with a sentence, and nothing of what was accepted before is lost or disturbed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from onward_protocol.codec import decode_engine_message, decode_worker_message, encode, encode_message
from onward_protocol.errors import CloseCode
from onward_protocol.limits import KIB, SUBPROTOCOL, VERSIONS
from onward_protocol.messages import Hello, Refuse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from tests.support.processes import ROOT, System, ledger_of, wait_for

APP = "tests.system.apps.wrong:functions"
SPOKEN = [Subprotocol(SUBPROTOCOL)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An engine and a worker for all tests of this file: each must leave them as good as new."""
    with System(tmp_path_factory.mktemp("system")) as running:
        running.engine()
        running.worker(APP)
        yield running


@pytest.fixture
def undisturbed(system: System, request: pytest.FixtureRequest) -> Iterator[None]:
    """A run is in flight during the test. After it the same two processes bring it to its end, each step once."""
    name = request.node.name.replace("/", "-")
    run = system.client.start("wrong/gated", name).id
    wait_for(lambda: ledger_of(system.home)[f"begin {name}"] > 0, "the run is in flight")
    yield
    system.home.joinpath(name).touch()
    assert system.client.wait(run, timeout="10s").output == f"before {name}{name}"
    assert ledger_of(system.home)[f"begin before {name}"] == ledger_of(system.home)[f"begin {name}"] == 1
    assert [child.poll() for child in system.started[:2]] == [None, None]
    assert len(system.client.list_workers()) == 1


def post_event(system: System, body: bytes) -> tuple[int, str]:
    headers = {"authorization": f"Bearer {system.token}"}
    try:
        with urlopen(Request(f"{system.url}/e", body, headers)) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def run_worker(system: System, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {"ONWARD_URL": system.url, "ONWARD_TOKEN_FILE": str(system.home / "admin.token")}
    return subprocess.run(
        [sys.executable, "-m", "onward", "run", target],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **known, **environment},
        timeout=30,
    )


def dial(system: System) -> ClientConnection:
    """A worker's connection, opened by hand."""
    address = system.url.replace("http", "ws") + "/connect"
    headers = {"authorization": f"Bearer {system.token}"}
    return connect(address, subprotocols=SPOKEN, additional_headers=headers, proxy=None)


def hello(instance: str, versions: tuple[int, int] = VERSIONS) -> bytes:
    return encode_message([encode(Hello(versions, instance, slots=1))])


def close_code(socket: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=10)
    return socket.close_code


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize(
    ("target", "token", "status", "said"),
    [
        ("tests.system.apps.wrnog:functions", "", 8, "did you mean 'wrong'?"),
        ("tests.system.apps.wrong:function", "", 8, "did you mean 'functions'?"),
        ("tests/system/apps/wrong.py:functions", "", 2, "did you mean 'tests.system.apps.wrong:functions'?"),
        ("twice:app", "", 8, "two functions have the id 'twice/same'"),
        (APP, "onw_wrong", 4, "does not accept this token"),
        (APP, "onw\nwrong", 2, "the token cannot be a token"),
    ],
)
def test_a_worker_that_cannot_start_says_why(
    system: System, tmp_path: Path, target: str, token: str, status: int, said: str
) -> None:
    function = "@app.function(int, id='same')\nasync def {}(ctx) -> int:\n    return 1\n"
    text = "from onward import App\napp = App('twice')\n" + function.format("a") + function.format("b")
    tmp_path.joinpath("twice.py").write_text(text)
    ended = run_worker(system, target, PYTHONPATH=str(tmp_path), ONWARD_TOKEN=token)
    assert (ended.returncode, said in ended.stderr) == (status, True)
    assert "Traceback" not in ended.stderr
    assert not token or token not in ended.stderr


@pytest.mark.usefixtures("undisturbed")
def test_an_unencodable_result_fails_its_run_only_and_names_the_step_and_the_type(system: System) -> None:
    run = system.client.start("wrong/keep_lock", "kept").id
    record = system.client.wait(run, timeout="10s")
    assert record.error is not None
    assert "step 'make_lock' (lock) cannot be encoded" in record.error.message
    kept, failed = system.client.steps(run)
    assert (kept.output, failed.status, failed.attempts) == ("kept", "failed", 2)
    assert ledger_of(system.home)["begin kept"] == 1
    log = system.log("worker")
    assert f"step 'make_lock' of run {run}, attempt 1, failed; next in" in log
    assert f"step 'make_lock' of run {run}, attempt 2, failed for good" in log
    assert f"run {run} of wrong/keep_lock failed: StepFailed" in log


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{name: test/go}", 400, "is not an event"),
        (b'{"name": "test/go", "data": {"a": }}', 400, "is not an event"),
        (b'{"name": "test/go", "data": "%s"}' % (b"x" * 512 * KIB), 413, "512 KiB are allowed"),
        (b"[%s]" % (b" " * 16 * KIB * KIB), 413, "larger than 16 MiB"),
    ],
)
def test_what_is_no_event_is_refused_and_not_stored(system: System, body: bytes, status: int, said: str) -> None:
    before = system.client.list_runs().runs
    answered, sentence = post_event(system, body)
    assert (answered, said in sentence) == (status, True)
    assert [run.id for run in system.client.list_runs().runs] == [run.id for run in before]
    assert post_event(system, b'{"name": "test/elsewhere"}')[0] == 202


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("token", ["", "Bearer onw_wrong"])
def test_a_socket_without_the_token_is_denied_with_one_line_in_the_log(system: System, token: str) -> None:
    before = system.log("engine").count("\n")
    address = system.url.replace("http", "ws") + "/connect"
    with pytest.raises(Exception, match="HTTP 401"):
        connect(address, subprotocols=SPOKEN, additional_headers={"authorization": token}, proxy=None)
    [line] = system.log("engine").splitlines()[before:]
    assert "worker denied" in line
    assert "onw_wrong" not in line


@pytest.mark.usefixtures("undisturbed")
def test_a_worker_of_a_newer_protocol_is_told_which_side_to_upgrade(system: System) -> None:
    with dial(system) as socket:
        socket.send(hello("wrk_newer", (9, 9)))
        [refusal] = decode_engine_message(bytes(socket.recv(timeout=10, decode=False)))
        assert isinstance(refusal, Refuse)
        assert (refusal.code, close_code(socket)) == ("version", CloseCode.REFUSED)
    assert refusal.message.endswith("the worker 9 to 9: upgrade the engine")


def test_a_worker_that_is_refused_for_its_protocol_ends_with_9_and_the_sentence(system: System) -> None:
    def refuse(socket: ServerConnection) -> None:
        [greeting] = decode_worker_message(bytes(socket.recv(timeout=10, decode=False)))
        assert isinstance(greeting, Hello)
        socket.send(encode_message([encode(Refuse("version", "upgrade the worker's onward package"))]))

    with serve(refuse, "127.0.0.1", 0, subprotocols=SPOKEN) as engine:
        Thread(target=engine.serve_forever).start()
        ended = run_worker(system, APP, ONWARD_URL=f"http://127.0.0.1:{engine.socket.getsockname()[1]}")
        engine.shutdown()
    assert ended.returncode == 9
    assert "upgrade the worker's onward package" in ended.stderr


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("is_known", [False, True], ids=["stranger", "worker"])
def test_a_corrupted_frame_ends_its_own_connection_with_one_line_in_the_log(system: System, is_known: bool) -> None:
    with dial(system) as socket:
        if is_known:
            socket.send(hello("wrk_garbled"))
            assert socket.recv(timeout=10)
        before = system.log("engine").count("\n")
        socket.send(b"\x93\x01\x02")
        assert close_code(socket) == CloseCode.PROTOCOL
    wait_for(lambda: system.log("engine").count("\n") > before, "it is logged")
    [line] = system.log("engine").splitlines()[before:]
    assert "malformed" in line
