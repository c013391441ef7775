"""docs/deploy.md says what is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from onward.testing import TestEngine
from onward_cli.commands import COMMANDS

from tests.support.manifests import DEPLOY, K8S, OVERLAYS, ROOT, judged_by, parts, pods, rendered, settings_of, tool
from tests.support.pages import Page

PAGE = Page("docs/deploy.md")
LINES = [line[2:] for block in PAGE.blocks("console") for line in block.splitlines()]


def manifests() -> str:
    return "\n".join(rendered(f"overlays/{name}") for name in OVERLAYS)


def secrets_of(overlay: str) -> set[str]:
    return set(
        re.findall(r"secretName: (\S+)|secretKeyRef:\n\s+key: \S+\n\s+name: (\S+)", rendered(f"overlays/{overlay}"))
    )


async def test_the_app_of_the_page_runs() -> None:
    page = PAGE.program()
    async with TestEngine(page.functions) as engine:
        [run] = await engine.send(page.OrderPlaced({"order": "o1"}))
        assert run.output == "paid o1"


def test_the_page_names_every_folder() -> None:
    table = PAGE.text.partition("## A worker's image")[0]
    for folder in [*K8S.glob("components/*"), *K8S.glob("engine/*")]:
        assert f"`{folder.relative_to(DEPLOY)}`" in table
    for overlay in OVERLAYS:
        assert re.search(rf"[`/]{overlay}`", table)


def test_the_files_that_its_commands_name_are_there() -> None:
    named = [
        word for line in LINES for word in shlex.split(line) if word.startswith("deploy/") and word != "deploy/token"
    ]
    assert len(named) >= 5
    assert [word for word in named if not (ROOT / word).exists()] == []


def test_its_commands_of_ours_exist() -> None:
    ours = re.findall(r"(?:^|\s)worker (\w+)", "\n".join(LINES))
    assert set(ours) <= set(COMMANDS)


def test_it_makes_every_secret_that_a_manifest_wants() -> None:
    made = set(re.findall(r"create secret generic (\S+) --from-literal=(\w+)=", "\n".join(LINES)))
    wanted = {name for pair in map(secrets_of, OVERLAYS) for names in pair for name in names if name}
    of_files = set(re.findall(r"create secret generic (\S+) --from-file=", "\n".join(LINES)))
    assert {name for name, _ in made} | of_files == wanted
    assert dict(made)["onward-token"] == "token"
    for name, key in made - {("onward-token", "token")}:
        assert f"key: {key}\n              name: {name}" in manifests()


def test_secrets_of_files_have_those_that_the_settings_name() -> None:
    for name in ("onward-engine", "onward-worker"):
        [line] = [line for line in LINES if f"generic {name}-tls " in line]
        used = {
            text for text in settings_of("overlays/mutual-tls", name).values() if text.startswith("/run/secrets/tls")
        }
        assert {f"/run/secrets/tls/{file}" for file in re.findall(r"--from-file=(\S+)=", line)} == used


def test_the_image_of_the_page_passes_the_linter_and_builds_on_ours(tmp_path: Path) -> None:
    [text] = PAGE.blocks("dockerfile")
    tmp_path.joinpath("Dockerfile").write_text(text)
    assert judged_by(tool("hadolint"), tmp_path / "Dockerfile") == ""
    assert f"docker build -f deploy/images/worker/Dockerfile -t {text.split()[1]} ." in LINES


def test_the_settings_that_it_explains_are_those_of_the_manifests() -> None:
    explained = set(re.findall(r"`((?:ONWARD|HTTPS)_\w+)`", PAGE.text))
    assert set(re.findall(r"name: ((?:ONWARD|HTTPS)_\w+)", manifests())) <= explained | {
        *("ONWARD_HOST", "ONWARD_DB", "ONWARD_ADMIN_TOKEN_FILE"),
        *("ONWARD_TLS_CERT", "ONWARD_TLS_KEY", "ONWARD_TLS_CLIENT_CA"),  # the engine's own, which its --help explains
    }


def test_the_addresses_that_stand_for_others_are_named() -> None:
    stand_ins = set(re.findall(r"onward\.example\.com|192\.0\.2\.\d+/32", manifests()))
    assert [name for name in stand_ins if f"`{name}`" not in PAGE.text] == []


def test_a_quarter_of_the_workers_and_one_engine_may_be_away() -> None:
    budgets = {
        part["metadata"]["name"]: part["spec"]["maxUnavailable"]
        for part in parts("overlays/production")
        if part["kind"] == "PodDisruptionBudget"
    }
    assert budgets == {"onward-worker": "25%", "onward-engine": 1}
    assert pods("overlays/production")["onward-engine"]["topologySpreadConstraints"]
