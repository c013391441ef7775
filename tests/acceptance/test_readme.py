"""README.md: its first program and its commands do what stands beside them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.house import PATIENCE_S
from tests.support.pages import Page
from tests.support.processes import free_port, kill, wait_for

README = Page("README.md")


class Desk:
    """A folder with the README's files, and somebody who types its commands there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        for name, source in README.files().items():
            folder.joinpath(name).write_text(source)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
        self.environment = {**environment, "ONWARD_URL": f"http://127.0.0.1:{self.port}"}
        self.dev: subprocess.Popen[bytes] | None = None

    def start_dev(self) -> None:
        """Type `worker dev app:functions` and wait until it is connected."""
        log = self.folder / "dev.log"
        with log.open("wb") as out:
            command = [sys.executable, "-m", "onward", "dev", "app:functions", "--port", str(self.port)]
            self.dev = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=out, stderr=out)
        wait_for(lambda: "] connected" in log.read_text(), "the worker is connected", PATIENCE_S)

    def type(self, *words: str) -> str:
        """Type a command and return what it prints."""
        command = [sys.executable, "-m", "onward", *words]
        ended = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    desk.start_dev()
    yield desk
    assert desk.dev is not None
    kill(desk.dev)


def test_the_order_is_not_charged_twice_when_everything_is_killed_in_the_middle_of_its_sleep(desk: Desk) -> None:
    assert """worker send shop/order.placed '{"id": "o1", "total": 12}'""" in README.text
    desk.type("send", "shop/order.placed", '{"id": "o1", "total": 12}')
    [run] = desk.type("runs", "list", "-o", "id").split()
    wait_for(lambda: "charge" in desk.type("runs", "show", run), "the step is stored", PATIENCE_S)
    assert desk.dev is not None
    kill(desk.dev)
    desk.start_dev()
    assert desk.type("runs", "wait", run).strip().strip('"') == "paid 12"
    assert len(re.findall(r"charge@", desk.type("runs", "show", run))) <= 1
