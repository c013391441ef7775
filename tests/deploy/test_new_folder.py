"""The image and the manifests that `worker init` makes: as good as those in deploy/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from onward_cli.init import contents

from tests.support.manifests import DEPLOY, K8S, KUBERNETES, Manifest, judged_by, kubectl, parts_of, tool

FILES = contents("shop")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files."""
    home = tmp_path_factory.mktemp("shop")
    for path, text in FILES.items():
        home.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        home.joinpath(path).write_text(text, encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def manifests(folder: Path) -> str:
    """What `kubectl apply -k k8s` would apply."""
    return judged_by(kubectl(), "kustomize", folder / "k8s")


def only(manifests: str, kind: str) -> Manifest:
    [found] = [part for part in parts_of(manifests) if part["kind"] == kind]
    return found


def test_a_worker_of_a_new_folder_is_the_one_of_our_manifests() -> None:
    ours = {path.name: path.read_text("utf-8") for path in K8S.joinpath("base").iterdir()}
    assert {path.removeprefix("k8s/base/"): text for path, text in FILES.items() if "/base/" in path} == ours


def test_hadolint_finds_nothing(folder: Path) -> None:
    assert judged_by(tool("hadolint"), folder / "Dockerfile") == ""


def test_its_image_ends_as_ours_does() -> None:
    last = DEPLOY.joinpath("images/worker/Dockerfile").read_text("utf-8").rpartition("WORKDIR")[2]
    assert FILES["Dockerfile"].rpartition("WORKDIR")[2] == last


def test_its_image_has_what_runs_and_nothing_else() -> None:
    left_out = FILES[".dockerignore"].split()
    assert {"k8s", "test_*.py", "README.md", "requirements-dev.txt", ".*"} <= set(left_out)
    assert {"app.py", "onward.toml", "requirements.txt"}.isdisjoint(left_out)


@pytest.mark.parametrize("version", KUBERNETES)
def test_its_manifests_are_valid(manifests: str, tmp_path: Path, version: str) -> None:
    tmp_path.joinpath("all.yaml").write_text(manifests)
    judged_by(tool("kubernetes-validate"), "--strict", "-k", version, tmp_path / "all.yaml")


def test_it_reaches_names_and_the_engine_and_nobody_reaches_it(manifests: str) -> None:
    policy = only(manifests, "NetworkPolicy")["spec"]
    assert policy["ingress"] == []
    assert [rule["ports"][-1]["port"] for rule in policy["egress"]] == [53, 443]


def test_all_of_it_is_called_as_the_app(manifests: str) -> None:
    assert only(manifests, "Namespace")["metadata"]["name"] == "shop"
    assert {part["metadata"].get("namespace", "shop") for part in parts_of(manifests)} == {"shop"}
    assert "image: registry.example.com/shop-worker:0.1.0" in manifests
    assert re.findall(r"secretName: (\S+)", manifests) == ["onward-token"]
    assert "create secret generic onward-token" in FILES["README.md"]


def test_a_name_that_yaml_would_take_for_something_else_stays_a_name() -> None:
    files = contents("no")
    [namespace], [overlay] = (parts_of(files[f"k8s/{name}.yaml"]) for name in ("namespace", "kustomization"))
    assert (namespace["metadata"]["name"], overlay["namespace"]) == ("no", "no")
