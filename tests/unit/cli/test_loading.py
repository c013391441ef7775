"""From `module:attribute` to the user's functions."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from onward_cli.errors import CommandError
from onward_cli.loading import load

_names = itertools.count()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(here: Path, text: str, name: str = "shop") -> str:
    module = f"{name}_{next(_names)}"
    (here / f"{module}.py").write_text(text)
    return module


def failure_of(target: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        load(target)
    return caught.value


def test_the_current_directory_comes_first(here: Path) -> None:
    (here / "tabnanny.py").write_text("mine = 1")
    assert load("tabnanny:mine") == 1


def test_an_attribute_may_be_inside_another_object(here: Path) -> None:
    module = write(here, "class box:\n    functions = [1]")
    assert load(f"{module}:box.functions") == [1]


def test_a_module_alone_is_an_answer_too(here: Path) -> None:
    module = write(here, "x = 1")
    assert load(module) is sys.modules[module]


def test_an_unknown_module_says_where_it_looked_and_what_was_meant(here: Path) -> None:
    module = write(here, "")
    error = failure_of(f"{module}s:functions")
    assert (error.code, error.status) == ("E0503", 8)
    assert str(here) in error.what
    assert error.advice == f"did you mean {module!r}?"


def test_a_module_that_is_in_a_folder_below_is_found_there(here: Path) -> None:
    (here / "shop").mkdir()
    (here / "shop" / "nearby.py").touch()
    assert failure_of("nearby:functions").advice == "it is in the folder shop: cd shop"


def test_an_unknown_module_inside_a_package_is_told_by_its_full_name(here: Path) -> None:
    (here / "pack").mkdir()
    (here / "pack" / "__init__.py").write_text("")
    (here / "pack" / "flows.py").write_text("")
    error = failure_of("pack.flow:functions")
    assert "'pack.flow'" in error.what
    assert error.advice == "did you mean 'flows'?"


def test_an_unknown_attribute_says_what_was_meant(here: Path) -> None:
    module = write(here, "functions = 1")
    error = failure_of(f"{module}:function")
    assert (error.code, error.status) == ("E0505", 8)
    assert error.where.endswith(f"{module}.py")
    assert error.advice == "did you mean 'functions'?"


def test_an_unknown_attribute_names_the_apps_that_there_are(here: Path) -> None:
    module = write(here, "from onward import App\nshop = App('shop')")
    assert failure_of(f"{module}:wrong").advice == "the apps there are: shop"


@pytest.mark.parametrize("target", ["", ":functions", "app:"])
def test_half_a_target_is_a_wrong_use_of_the_command(target: str) -> None:
    assert failure_of(target).status == 2


def test_an_error_in_the_users_module_shows_the_users_frames_only(here: Path) -> None:
    module = write(here, "def boot():\n    return 1 / 0\n\nboot()\n")
    error = failure_of(f"{module}:functions")
    assert (error.code, error.status) == ("E0504", 8)
    assert error.where.endswith(f"{module}.py:2")
    assert "in boot" in error.detail
    assert "importlib" not in error.detail
    assert "loading.py" not in error.detail


def test_a_missing_dependency_of_the_users_module_is_not_taken_for_a_missing_app(here: Path) -> None:
    module = write(here, "import nowhere_to_be_found")
    error = failure_of(f"{module}:functions")
    assert error.code == "E0504"
    assert "No module named 'nowhere_to_be_found'" in error.what


def test_a_syntax_error_names_file_and_line(here: Path) -> None:
    module = write(here, "x = 1\ndef (:\n")
    error = failure_of(f"{module}:functions")
    assert f'{module}.py", line 2' in error.detail


def test_a_module_that_exits_does_not_end_the_command_silently(here: Path) -> None:
    module = write(here, "raise SystemExit(3)")
    assert failure_of(f"{module}:functions").status == 8


def test_a_wrong_declaration_is_told_without_a_traceback(here: Path) -> None:
    module = write(here, "from onward import App\napp = App('a/b')\n")
    error = failure_of(f"{module}:app")
    assert error.code == "E0102"
    assert error.where.endswith(f"{module}.py:2")
    assert error.detail == ""


@pytest.mark.parametrize(
    ("path", "meant"), [("shop.py:app", "shop:app"), ("./shop:app", "shop:app"), ("src/shop.py", "src.shop")]
)
def test_a_path_is_answered_with_the_module_that_it_means(here: Path, path: str, meant: str) -> None:
    assert failure_of(path).advice == f"did you mean '{meant}'?"


def test_a_dot_instead_of_the_colon_is_noticed(here: Path) -> None:
    module = write(here, "from onward import App\nfunctions = App('shop')\n")
    assert failure_of(f"{module}.functions").advice == f"did you mean '{module}:functions'?"
    assert failure_of(f"{module}.nothing").code == "E0503"
