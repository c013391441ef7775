"""The component `mtls`: its two Secrets are all that engine and workers need to let each other in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from onward import NotConnected, SyncClient
from onward.settings import Settings

from tests.support.authority import Authority
from tests.support.manifests import pods, settings_of
from tests.support.processes import System, wait_for

OVERLAY = "overlays/mutual-tls"
MOUNTED = "/run/secrets/tls"
WORKER, ENGINE = "onward-worker", "onward-engine"


def mount(home: Path, owner: str, signer: Authority, trusted: Authority) -> None:
    """Lay out a Secret as cert-manager fills it."""
    folder = home / owner
    folder.mkdir()
    signed = signer.sign(owner, "localhost")
    for name, file in (("tls.crt", signed.cert), ("tls.key", signed.key), ("ca.crt", trusted.file)):
        folder.joinpath(name).write_bytes(file.read_bytes())


class Pods(System):
    """Engine and worker with the settings of the manifests; files and addresses are those of this machine."""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def client(self) -> SyncClient:
        if not self.clients:
            files = self.settings(WORKER)
            self.clients[""] = SyncClient(settings=Settings.read(files, url=self.url, token=self.token))
        return self.clients[""]

    def settings(self, owner: str) -> dict[str, str]:
        """Return what the manifest says about TLS."""
        found = settings_of(OVERLAY, owner)
        return {name: text.replace(MOUNTED, str(self.home / owner)) for name, text in found.items() if MOUNTED in text}

    def begin(self, owner: str, *more: str) -> None:
        [container] = pods(OVERLAY)[owner]["containers"]
        self.environment = self.settings(owner)
        arguments = [
            argument.replace("app:functions", "tests.system.apps.large:functions") for argument in container["args"]
        ]
        self.command(*arguments, *more, log=owner)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Pods]:
    engines, workers = Authority(tmp_path, "Engines"), Authority(tmp_path, "Workers")
    mount(tmp_path, ENGINE, engines, workers)
    mount(tmp_path, WORKER, workers, engines)
    tmp_path.joinpath("admin.token").write_text("onw_admin_of_a_secret")
    with Pods(tmp_path) as running:
        running.begin(ENGINE, "--port", str(running.port), "--db", str(tmp_path / "onward.db"))
        wait_for(running.answers, "the engine answers who has a certificate")
        yield running


def test_a_worker_of_the_manifest_is_let_in_and_nobody_without_a_certificate(system: Pods) -> None:
    system.begin(WORKER)
    wait_for(lambda: len(system.client.list_workers()) == 1, "the worker is connected")
    stranger = Settings.read({}, url=system.url, token=system.token, ca_file=str(system.home / WORKER / "ca.crt"))
    with SyncClient(settings=stranger) as client, pytest.raises(NotConnected, match="client certificate"):
        client.list_workers()
