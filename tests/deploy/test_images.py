"""The Dockerfiles and the compose file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from onward_cli.extras import ENGINE_NEEDS
from onward_cli.heartbeat import VARIABLE

from tests.support.manifests import DEPLOY, ROOT, judged_by, pods, seconds, tool

IMAGES = ["worker", "engine"]
COMPOSE: dict[str, Any] = msgspec.yaml.decode((DEPLOY / "compose.yaml").read_text(), type=dict[str, Any])
SERVICES: dict[str, Any] = COMPOSE["services"]
WORKERS = [name for name in SERVICES if name.startswith("worker")]


def dockerfile(image: str) -> str:
    return (DEPLOY / "images" / image / "Dockerfile").read_text("utf-8")


def locked(name: str) -> set[str]:
    """Return the packages of a file in requirements/."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    return {found.replace("-", "_") for found in re.findall(r"^([a-z0-9.-]+)==", text, flags=re.MULTILINE)}


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_finds_nothing(image: str) -> None:
    assert judged_by(tool("hadolint"), DEPLOY / "images" / image / "Dockerfile") == ""


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_begins_as_the_pod_that_it_is_for(image: str) -> None:
    pod = pods("overlays/production")[f"onward-{image}"]
    text = dockerfile(image)
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}\n" in text
    command = re.search(r"^CMD (\[.*\])$", text, flags=re.MULTILINE)
    assert command
    assert msgspec.json.decode(command[1]) == pod["containers"][0]["args"]
    assert 'ENTRYPOINT ["tini", "--", "worker"]' in text


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_copies_is_there_and_not_ignored(image: str) -> None:
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [
        source
        for line in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile(image), re.MULTILINE)
        for source in line.split()
    ]
    assert len(sources) == 9
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{Path(source).parts[0]}" in allowed


def test_a_worker_s_image_has_nothing_that_only_engines_need() -> None:
    assert "requirements/worker.txt" in dockerfile("worker")
    assert locked("worker").isdisjoint({*ENGINE_NEEDS, "asyncpg"})
    assert {*ENGINE_NEEDS, "asyncpg"} <= locked("engine")


def test_a_worker_s_image_probes_its_heartbeat_as_patiently_as_kubernetes_does() -> None:
    probe = pods("overlays/production")["onward-worker"]["containers"][0]["livenessProbe"]
    check = re.search(r"^HEALTHCHECK (.*) CMD (.*)$", dockerfile("worker"), flags=re.MULTILINE)
    assert check
    assert msgspec.json.decode(check[2]) == probe["exec"]["command"]
    assert f"--interval={probe['periodSeconds']}s" in check[1]
    assert f"--retries={probe['failureThreshold']}" in check[1]
    assert f"{VARIABLE}=/run/onward" in dockerfile("worker")


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_of_compose_has_no_port_and_no_way_out(name: str) -> None:
    assert "ports" not in SERVICES[name]
    assert all(COMPOSE["networks"][network]["internal"] for network in SERVICES[name]["networks"])


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_of_compose_has_time_to_leave(name: str) -> None:
    drain = SERVICES[name]["environment"]["ONWARD_DRAIN_TIMEOUT"]
    assert seconds(SERVICES[name]["stop_grace_period"]) >= seconds(drain) + 10


@pytest.mark.parametrize("name", [*WORKERS, "engine"])
def test_what_is_ours_in_compose_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["secrets"] == ["token"]


def test_only_this_machine_reaches_the_engine_of_compose() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8484:8484"]


def test_what_compose_refers_to_is_there() -> None:
    for service in SERVICES.values():
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        mounts = [volume.split(":")[0] for volume in service.get("volumes", [])]
        assert all(
            (DEPLOY / mount).is_file() if mount.startswith(".") else mount in COMPOSE["volumes"] for mount in mounts
        )
