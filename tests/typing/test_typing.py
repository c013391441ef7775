"""What users' type checkers see. Runs pyright, as a user would, on files beside this one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MARK = "# error"


def pyright(room: Path, *arguments: str) -> dict[str, Any]:
    """Run it outside of the source tree, where `onward` is an installed package."""
    command = [sys.executable, "-m", "pyright", "--outputjson", *arguments]
    path = os.pathsep.join(
        (str(Path(sys.executable).parent), os.environ["PATH"])
    )  # the first python is the one it asks
    done = subprocess.run(
        command, cwd=room, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> set[int]:
    """The lines of the rejected programs that pyright complains about."""
    room = tmp_path_factory.mktemp("typing")
    (room / "rejected.py").write_text((HERE / "rejected.txt").read_text())
    paths = [str(ROOT / name) for name in (".", "protocol", "worker")]
    config = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "extraPaths": paths, "include": ["rejected.py"]}
    (room / "pyrightconfig.json").write_text(json.dumps(config))
    found = pyright(room, "--project", str(room))["generalDiagnostics"]
    return {entry["range"]["start"]["line"] + 1 for entry in found if entry["severity"] == "error"}


@pytest.mark.timeout(120)
def test_every_wrong_use_is_found_and_nothing_else(complaints: set[int]) -> None:
    lines = (HERE / "rejected.txt").read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith(MARK)}
    assert complaints == marked


@pytest.mark.timeout(120)
def test_the_whole_public_surface_has_types(tmp_path: Path) -> None:
    report = pyright(tmp_path, "--verifytypes", "onward", "--ignoreexternal")["typeCompleteness"]
    exported = [symbol for symbol in report["symbols"] if symbol["isExported"]]
    unclear = [symbol["name"] for symbol in exported if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    assert len(exported) > 500
    assert unclear == []
