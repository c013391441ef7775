"""What the peers need is installed here, beside the project and never into it: `build/peers/`, on first use."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .children import PeerFailed

ROOT = Path("build/peers").absolute()
COMPLAINT_MAX = 400


def python(name: str, packages: Sequence[str]) -> Path:
    """Return the interpreter of a virtual environment that has these packages, each pinned as `name==version`."""
    folder = ROOT / name / "python"
    interpreter = folder / "bin/python"
    if not _is_ready(folder, packages):
        _run(sys.executable, "-m", "venv", "--clear", folder)
        _run(interpreter, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", *packages)
        _mark(folder, packages)
    return interpreter


def node(name: str, package: str) -> Path:
    """Return the folder of modules that has this package, pinned as `name@version`."""
    folder = ROOT / name / "node"
    if not _is_ready(folder, [package]):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # A dependency reports every installation to a third party: no scripts.
        _run("npm", "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", package)
        _mark(folder, [package])
    return folder / "node_modules"


def _is_ready(folder: Path, packages: Sequence[str]) -> bool:
    mark = folder / ".ready"
    return mark.exists() and mark.read_text(encoding="utf-8") == "\n".join(packages)


def _mark(folder: Path, packages: Sequence[str]) -> None:
    (folder / ".ready").write_text("\n".join(packages), encoding="utf-8")


def _run(*command: str | Path) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise PeerFailed(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as failure:
        raise PeerFailed(f"{Path(command[0]).name} could not install: {complaint(failure)}") from None


def complaint(failure: subprocess.CalledProcessError) -> str:
    """What an installer said was wrong, without the rest of what it said."""
    lines = [line for line in f"{failure.stderr}{failure.stdout}".splitlines() if "error" in line.lower()]
    return " | ".join(lines)[:COMPLAINT_MAX] or f"exit status {failure.returncode}"
