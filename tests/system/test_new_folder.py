"""`worker init`, and the settings of a folder, as somebody meets them who begins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from onward_cli.init import TEMPLATES

from tests.support.processes import ROOT, free_port, kill, wait_for

SCRIPTS = Path(sys.executable).parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}


def worker(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder to its end; nothing of ours may show a traceback."""
    ended = ended_with_trace(folder, *arguments, **environment)
    assert "Traceback" not in ended.stderr
    return ended


def ended_with_trace(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose App has a mistake."""
    return subprocess.run(
        [str(SCRIPTS / "worker"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        timeout=30,
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new folder."""
    home = tmp_path_factory.mktemp("home")
    made = worker(home, "init", "shop")
    assert made.returncode == 0, made.stderr
    assert set(made.stdout.split()) == {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    return home / "shop"


def test_its_own_test_passes(shop: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], capture_output=True, text=True, cwd=shop, check=False
    )
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "arning" not in ended.stdout + ended.stderr


def test_it_runs_as_its_readme_says(shop: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    readme = shop.joinpath("README.md").read_text()
    assert "worker dev app:functions" in readme
    assert 'worker send shop/order.placed \'{"id": "o1", "total": 12}\'' in readme
    command = [str(SCRIPTS / "worker"), "dev", "app:functions", "--port", url.rpartition(":")[2]]
    with shop.joinpath("dev.log").open("wb") as log:
        dev = subprocess.Popen(command, cwd=shop, env=ENVIRONMENT, stdout=log, stderr=log)
    try:
        wait_for(lambda: "] connected" in shop.joinpath("dev.log").read_text(), "the worker is connected")
        sent = worker(shop, "send", "shop/order.placed", '{"id": "o1", "total": 12}', "-o", "id", ONWARD_URL=url)
        run = sent.stdout.strip()
        shown = ("runs", "show", run, "-o", "json")
        wait_for(lambda: len(json.loads(worker(shop, *shown, ONWARD_URL=url).stdout)["history"]) >= 1, "it has paid")
    finally:
        dev.terminate()
        assert dev.wait(20) == 0
        kill(dev)


def test_what_is_there_already_is_never_changed(tmp_path: Path) -> None:
    tmp_path.joinpath("app.py").write_text("mine")
    refused = worker(tmp_path, "init", ".", "--name", "shop")
    assert (refused.returncode, refused.stdout) == (6, "")
    assert "error[E0515]: . has app.py already; nothing was written" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]
    assert tmp_path.joinpath("app.py").read_text() == "mine"


def test_a_link_to_nowhere_is_there_already(tmp_path: Path) -> None:
    tmp_path.joinpath("pytest.ini").symlink_to("nowhere")
    refused = worker(tmp_path, "init", ".", "--name", "shop")
    assert (refused.returncode, [path.name for path in tmp_path.iterdir()]) == (6, ["pytest.ini"])


def test_a_folder_that_cannot_be_is_no_mistake_of_ours(tmp_path: Path) -> None:
    refused = worker(tmp_path, "init", "x" * 300, "--name", "shop")
    assert refused.returncode == 2
    assert "error[E0507]" in refused.stderr


def test_what_comes_next_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    assert "cd 'My Shop'" in worker(tmp_path, "init", "My Shop").stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(["My Shop_2"], "my-shop-2"), (["2024-shop"], "shop"), (["x", "--name", "billing"], "billing")],
)
def test_the_app_is_called_as_its_folder_or_as_was_said(tmp_path: Path, arguments: list[str], name: str) -> None:
    assert worker(tmp_path, "init", *arguments).returncode == 0
    assert f'App("{name}")' in tmp_path.joinpath(arguments[0], "app.py").read_text()


@pytest.mark.parametrize("arguments", [["x", "--name", "Shop/1"], ["123"], ["x", "--name", ""]])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    refused = worker(tmp_path, "init", *arguments)
    assert (refused.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "--name" in refused.stderr


def test_the_package_that_people_install_has_all_templates(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = [path for path in TEMPLATES.rglob("*") if path.is_file()]
    assert len(templates) >= 15
    assert {f"onward_cli/templates/{path.relative_to(TEMPLATES).as_posix()}" for path in templates} <= names


# -- settings


def shown(folder: Path, **environment: str) -> dict[str, tuple[str, str]]:
    rows = json.loads(worker(folder, "config", "show", "--origin", "-o", "json", **environment).stdout)
    return {row["id"]: (row["value"], row["origin"]) for row in rows}


def test_each_setting_is_shown_with_where_it_comes_from(shop: Path) -> None:
    found = shown(shop, ONWARD_DRAIN_TIMEOUT="5s", ONWARD_TOKEN="onw_s3cret", ONWARD_DB="postgresql://me:pw@db/shop")
    assert found["concurrency"] == ("100", "onward.toml")
    assert found["drain_timeout"] == ("5s", "ONWARD_DRAIN_TIMEOUT")
    assert found["port"] == ("8484", "default")
    assert found["token"] == ("***", "ONWARD_TOKEN")
    assert found["db"] == ("postgresql://me:***@db/shop", "ONWARD_DB")


def test_a_variable_that_is_nearly_a_setting_is_pointed_out(shop: Path) -> None:
    said = worker(shop, "config", "show", ONWARD_CONCURENCY="5", ONWARD_ENGINE_PORT_8484_TCP="tcp://10.0.0.1").stderr
    assert said == "note: ONWARD_CONCURENCY is no setting; did you mean ONWARD_CONCURRENCY?\n"


def slots(folder: Path, *arguments: str, **environment: str) -> str:
    """Return how many slots a worker says that it has, before it finds no engine and is told to stop."""
    command = [str(SCRIPTS / "worker"), "run", "app:functions", "--url", "http://127.0.0.1:9", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env={**ENVIRONMENT, **environment}, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        said = next(line for line in child.stderr if line.startswith("slots"))
        child.terminate()
        child.stderr.read()
    return said.split()[1]


def test_an_option_goes_before_the_environment_that_before_the_file_and_that_before_the_default(
    shop: Path, tmp_path: Path
) -> None:
    assert worker(tmp_path, "init", "other").returncode == 0
    other = tmp_path / "other"
    other.joinpath("onward.toml").write_text("concurrency = 7")
    assert slots(other, "--concurrency", "5", ONWARD_CONCURRENCY="6") == "5"
    assert slots(other, ONWARD_CONCURRENCY="6") == "6"
    assert slots(other) == "7"
    other.joinpath("onward.toml").unlink()
    assert slots(other) == "100"


def test_a_wrong_file_stops_every_command_but_not_its_help(tmp_path: Path) -> None:
    tmp_path.joinpath("onward.toml").write_text("concurency = 7")
    refused = worker(tmp_path, "version")
    assert refused.returncode == 2
    assert "error[E0514]: onward.toml: there is no setting 'concurency'" in refused.stderr
    assert "help: did you mean 'concurrency'?" in refused.stderr
    assert worker(tmp_path, "run", "--help").returncode == 0
    assert "Usually:" in worker(tmp_path, "errors", "E0514").stdout
    assert worker(tmp_path, "completion", "bash").returncode == 0


# -- completion


def completed(*words: str) -> list[str]:
    """Return what bash offers for the last word of a line."""
    line = " ".join(f"'{word}'" for word in words)
    script = (
        'eval "$(worker completion bash)"\n'
        f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}\n"
        'complete -p worker >/dev/null && _worker_complete && printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**ENVIRONMENT, "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", script], check=True, capture_output=True, text=True, env=environment
    ).stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("worker", "ver"), ["version"]),
        (("worker", "runs", "re"), ["rerun", "resume"]),
        (("worker", "runs", "list", "--stat"), ["--status"]),
        (("worker", "runs", "list", "-o", ""), ["table", "json", "jsonl", "id"]),
        (("worker", "engine", "backup", ""), []),
    ],
)
def test_bash_completes_commands_options_and_values(words: tuple[str, ...], offered: list[str]) -> None:
    assert sorted(completed(*words)) == sorted(offered)


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_shows_what_each_word_means(tmp_path: Path) -> None:
    script = "worker completion fish | source; complete -C 'worker ver'; complete -C 'worker engine backup '"
    environment = {**ENVIRONMENT, "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    tmp_path.joinpath("copy.db").touch()
    ended = subprocess.run(
        ["fish", "--no-config", "-c", script], check=True, capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert ended.stdout.splitlines()[0] == "version\tPrint the version, and of what it depends on."
    assert ended.stdout.splitlines()[1].startswith("copy.db")


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_takes_the_script(tmp_path: Path) -> None:
    script = (
        f"autoload -Uz compinit; compinit -u -d {tmp_path}/dump\n"
        'eval "$(worker completion zsh)"; print $_comps[worker]\n'
        "_describe() { print -l $found }; words=(worker runs re); CURRENT=3; _worker_complete"
    )
    environment = {**ENVIRONMENT, "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    ended = subprocess.run(["zsh", "-f", "-c", script], check=True, capture_output=True, text=True, env=environment)
    assert [line.partition(":")[0] for line in ended.stdout.splitlines()] == ["_worker_complete", "rerun", "resume"]


# -- mistakes of the App's own

LIFESPAN = """
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from onward import App, Context


@asynccontextmanager
async def pool(app: App) -> AsyncGenerator[None]:
    {}


functions = App("pool", lifespan=pool)


@functions.function(int)
async def double(ctx: Context[int]) -> int:
    return 2 * ctx.data
"""


def test_a_lifespan_that_fails_is_the_app_s_mistake_with_its_line(tmp_path: Path) -> None:
    broken = 'raise ConnectionError("no database")\n    yield'
    tmp_path.joinpath("app.py").write_text(LIFESPAN.format(broken))
    ended = ended_with_trace(tmp_path, "run", "app:functions", "--url", "http://127.0.0.1:9")
    assert ended.returncode == 8
    assert "error[E0517]: the App's lifespan failed: ConnectionError: no database\n" in ended.stderr
    assert f" --> {tmp_path}/app.py:9\n" in ended.stderr
    assert ended.stderr.count("  File ") == 1


def test_an_error_of_ours_without_a_code_at_import_is_shown_as_any_other(tmp_path: Path) -> None:
    tmp_path.joinpath("app.py").write_text("from onward import NonRetryable\nraise NonRetryable('not here')\n")
    ended = ended_with_trace(tmp_path, "run", "app:functions")
    assert (ended.returncode, "error[E0504]: importing 'app' failed: NonRetryable: not here" in ended.stderr) == (
        8,
        True,
    )
