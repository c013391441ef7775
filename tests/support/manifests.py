"""What `deploy/` says, as the tests see it: rendered, in pieces, and the tools that judge it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from onward.durations import duration_ms

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
K8S = DEPLOY / "k8s"
TOOLS = ROOT / "build" / "manifests-venv" / "bin"
KUSTOMIZE_MIN = (1, 27)

Manifest = dict[str, Any]
KUBERNETES = ("1.29.0", "1.33.0", "1.37.0")
OVERLAYS = sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml"))
ENGINES = sorted(path.parent.name for path in K8S.glob("engine/*/kustomization.yaml"))


def tool(name: str) -> str:
    """Return the path of a program that judges files."""
    path = TOOLS / name
    assert path.exists(), f"{name} is not there: make {TOOLS.parent.relative_to(ROOT)}/.ready"
    return str(path)


def judged_by(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """Run a program that judges something; return what it says if it is content."""
    environment = {**os.environ, **(environment or {})}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@cache
def kubectl() -> str:
    """Return the path of a kubectl that knows components."""
    path = shutil.which("kubectl")
    needed = f"kubectl {KUSTOMIZE_MIN[0]}.{KUSTOMIZE_MIN[1]} or newer is needed for `kubectl kustomize`"
    assert path, f"{needed}, and there is none"
    version = re.search(r"v(\d+)\.(\d+)", judged_by(path, "version", "--client"))
    assert version, f"{needed}, and it does not say which one this is"
    assert (int(version[1]), int(version[2])) >= KUSTOMIZE_MIN, f"{needed}; this is {version[0]}"
    return path


@cache
def rendered(folder: str) -> str:
    """Return what a folder below deploy/k8s makes, as YAML."""
    return judged_by(kubectl(), "kustomize", K8S / folder)


def parts(folder: str) -> list[Manifest]:
    """Return the objects that a folder makes."""
    return parts_of(rendered(folder))


def parts_of(manifests: str) -> list[Manifest]:
    """Return the objects that manifests are."""
    return [msgspec.yaml.decode(document, type=dict[str, Any]) for document in manifests.split("\n---\n")]


def one(folder: str, kind: str, name: str) -> Manifest:
    """Return one object."""
    [found] = [part for part in parts(folder) if part["kind"] == kind and part["metadata"]["name"].startswith(name)]
    return found


def pods(folder: str) -> dict[str, Manifest]:
    """Return the pods that a folder starts, by the name of whoever starts them."""
    return {
        part["metadata"]["name"]: part["spec"]["template"]["spec"]
        for part in parts(folder)
        if part["kind"] in {"Deployment", "StatefulSet"}
    }


def settings_of(folder: str, owner: str) -> dict[str, str]:
    """Return the environment of a pod's container; what only Kubernetes knows is its own name."""
    [container] = pods(folder)[owner]["containers"]
    names = [source["configMapRef"]["name"] for source in container.get("envFrom", [])]
    settings: dict[str, str] = {}
    for name in names:
        settings |= one(folder, "ConfigMap", name)["data"]
    for variable in container["env"]:
        value = variable.get("value", variable["name"].lower())
        settings[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda found: settings[found[1]], value)
    return settings


def seconds(text: str) -> float:
    """Return a duration of an option in seconds."""
    return duration_ms(text) / 1000
