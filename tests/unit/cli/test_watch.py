"""Which files make `worker dev` start its worker again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from onward_cli.watch import changed, snapshot


def write(path: Path, at_s: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at_s, at_s))


def names(folder: Path) -> set[str]:
    return {str(Path(path).relative_to(folder)) for path in snapshot(folder)}


def test_python_files_are_watched_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path / "app.py")
    write(tmp_path / "a" / "b" / "c.py")
    write(tmp_path / "notes.txt")
    assert names(tmp_path) == {"app.py", os.path.join("a", "b", "c.py")}


@pytest.mark.parametrize("hidden", [".git/x.py", ".venv/x.py", "__pycache__/x.py", "node_modules/x.py"])
def test_what_nobody_edits_is_not_watched(tmp_path: Path, hidden: str) -> None:
    write(tmp_path / hidden)
    assert names(tmp_path) == set()


def test_a_virtual_environment_is_not_watched_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path / "python" / "pyvenv.cfg")
    write(tmp_path / "python" / "lib" / "x.py")
    assert names(tmp_path) == set()


def test_new_gone_and_touched_files_are_changes(tmp_path: Path) -> None:
    for name in ("touched.py", "gone.py", "same.py"):
        write(tmp_path / name)
    before = snapshot(tmp_path)
    write(tmp_path / "touched.py", at_s=2)
    write(tmp_path / "new.py")
    (tmp_path / "gone.py").unlink()
    assert [Path(path).name for path in changed(before, snapshot(tmp_path))] == ["gone.py", "new.py", "touched.py"]


def test_a_folder_that_vanishes_meanwhile_is_no_error(tmp_path: Path) -> None:
    assert snapshot(tmp_path / "nowhere") == {}
