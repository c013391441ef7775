"""The manifests: valid for Kubernetes and KEDA, in line with the policies that we promise, and true to the command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from onward_cli.commands import app
from onward_cli.heartbeat import LIVE_S
from typer.testing import CliRunner

from tests.support.manifests import (
    ENGINES,
    K8S,
    KUBERNETES,
    OVERLAYS,
    TOOLS,
    Manifest,
    judged_by,
    one,
    parts,
    pods,
    rendered,
    seconds,
    settings_of,
    tool,
)

FOLDERS = [f"overlays/{name}" for name in OVERLAYS] + [f"engine/{name}" for name in ENGINES]
WITH_ENGINE = ["overlays/dev", "overlays/mutual-tls", "overlays/production", *(f"engine/{name}" for name in ENGINES)]
WORKERS = [(f"overlays/{name}", "onward-worker") for name in OVERLAYS]
PODS = [*WORKERS, *((folder, "onward-engine") for folder in WITH_ENGINE)]
WAY_OUT_S = 10


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is rendered, a file a folder."""
    home = tmp_path_factory.mktemp("rendered")
    for folder in FOLDERS:
        home.joinpath(folder.replace("/", "-") + ".yaml").write_text(rendered(folder), encoding="utf-8")
    return home


def container_of(folder: str, name: str) -> Manifest:
    [container] = pods(folder)[name]["containers"]
    found: Manifest = container
    return found


def option_of(command: str, variable: str) -> str:
    """Return the default of the option that is read from a variable, as `--help` shows it."""
    shown = re.sub(r"\s+", " ", CliRunner().invoke(app, [*command.split(), "--help"]).stdout)
    found = re.search(rf"\[env var: {variable}; default: (\w+)\]", shown)
    assert found, f"{command} has no option for {variable}"
    return found[1]


# -- valid


@pytest.mark.parametrize("version", KUBERNETES)
def test_everything_is_valid_for_kubernetes(files: Path, version: str) -> None:
    said = judged_by(tool("kubernetes-validate"), "--strict", "-k", version, *sorted(files.iterdir()))
    unknown = re.findall(r"schema for kind (\w+)", said)
    assert set(unknown) <= {"ScaledObject", "TriggerAuthentication"}


def test_checkov_finds_nothing_but_what_we_have_reasons_for(files: Path) -> None:
    overlays = [argument for file in files.glob("overlays-*") for argument in ("--file", file)]
    said = judged_by(
        *(tool("checkov"), "--config-file", K8S / ".checkov.yaml", "--skip-download", "--compact", *overlays)
    )
    assert said.count("Failed checks: 0") == 1
    assert int(re.findall(r"Passed checks: (\d+)", said)[0]) > 300


def test_the_objects_of_keda_are_what_its_crds_say(files: Path) -> None:
    judge = Path(__file__).with_name("keda.py")
    assert judged_by(TOOLS / "python", judge, files / "overlays-production.yaml").strip() == "2 judged"


# -- policies


def test_all_pods_are_looked_at() -> None:
    assert sorted((folder, name) for folder in FOLDERS for name in pods(folder)) == sorted(PODS)


@pytest.mark.parametrize(("folder", "name"), PODS)
def test_every_pod_is_restricted(folder: str, name: str) -> None:
    """The conditions of Kubernetes' own profile of that name, and a little more."""
    pod, container = pods(folder)[name], container_of(folder, name)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {(set(volume) - {"name"}).pop() for volume in pod["volumes"]} <= {"secret", "emptyDir"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("folder", FOLDERS)
def test_namespaces_refuse_what_is_not_restricted(folder: str) -> None:
    for part in parts(folder):
        if part["kind"] == "Namespace":
            assert part["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(("folder", "name"), PODS)
def test_memory_is_limited_and_the_processor_is_not(folder: str, name: str) -> None:
    resources = container_of(folder, name)["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


@pytest.mark.parametrize(("folder", "name"), WORKERS)
def test_nobody_can_reach_a_worker(folder: str, name: str) -> None:
    policy = one(folder, "NetworkPolicy", name)["spec"]
    assert (policy["ingress"], sorted(policy["policyTypes"])) == ([], ["Egress", "Ingress"])
    assert policy["podSelector"]["matchLabels"] == one(folder, "Deployment", name)["spec"]["selector"]["matchLabels"]
    assert "ports" not in container_of(folder, name)
    services = [part for part in parts(folder) if part["kind"] == "Service"]
    assert all(service["spec"]["selector"]["app.kubernetes.io/name"] != name for service in services)


@pytest.mark.parametrize(("folder", "name"), WORKERS)
def test_a_worker_reaches_names_and_one_place_more(folder: str, name: str) -> None:
    names, engine = one(folder, "NetworkPolicy", name)["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert all("to" in rule and "ports" in rule for rule in (names, engine))
    assert len(engine["to"]) == len(engine["ports"]) == 1


@pytest.mark.parametrize(("folder", "name"), PODS)
def test_every_rule_about_pods_means_pods_that_are_there(folder: str, name: str) -> None:
    labels = {"app.kubernetes.io/name": name}
    [owner] = [
        part for part in parts(folder) if "template" in part.get("spec", {}) and part["metadata"]["name"] == name
    ]
    template = owner["spec"]["template"]
    assert owner["spec"]["selector"]["matchLabels"] == labels
    assert labels.items() <= template["metadata"]["labels"].items()
    for constraint in template["spec"].get("topologySpreadConstraints", []):
        assert constraint["labelSelector"]["matchLabels"] == labels
    for part in parts(folder):
        if part["kind"] == "PodDisruptionBudget" and part["metadata"]["name"] == name:
            assert part["spec"]["selector"]["matchLabels"] == labels


# -- what the worker promises


@pytest.mark.parametrize(("folder", "name"), WORKERS)
def test_the_grace_period_covers_the_drain_and_the_way_out(folder: str, name: str) -> None:
    drain_s = seconds(settings_of(folder, name)["ONWARD_DRAIN_TIMEOUT"])
    assert pods(folder)[name]["terminationGracePeriodSeconds"] >= drain_s + WAY_OUT_S
    assert "lifecycle" not in container_of(folder, name)


@pytest.mark.parametrize(("folder", "name"), WORKERS)
def test_probes_are_the_quick_command_and_find_the_heartbeat(folder: str, name: str) -> None:
    container = container_of(folder, name)
    probes = {kind: container[kind]["exec"]["command"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    live, ready = ["worker", "probe", "live"], ["worker", "probe", "ready"]
    assert probes == {"startupProbe": live, "livenessProbe": live, "readinessProbe": ready}
    assert (container["readinessProbe"]["periodSeconds"], container["livenessProbe"]["periodSeconds"]) == (15, 30)
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "run"]
    assert mount["mountPath"] == settings_of(folder, name)["ONWARD_RUN_DIR"]
    [volume] = [volume for volume in pods(folder)[name]["volumes"] if volume["name"] == "run"]
    assert volume["emptyDir"]["medium"] == "Memory"


@pytest.mark.parametrize(("folder", "name"), WORKERS)
def test_a_blocked_worker_is_not_restarted_before_the_engine_gives_it_up(folder: str, name: str) -> None:
    probe = container_of(folder, name)["livenessProbe"]
    patience_s = LIVE_S + (probe["failureThreshold"] - 1) * probe["periodSeconds"]
    assert patience_s >= seconds(option_of("run", "ONWARD_STALL_LIMIT"))


@pytest.mark.parametrize(("folder", "name"), PODS)
def test_every_setting_is_one_of_the_command(folder: str, name: str) -> None:
    [command, *rest] = container_of(folder, name)["args"]
    shown = CliRunner().invoke(app, [command, *(rest[:1] if command == "engine" else []), "--help"]).stdout
    settings = {setting for setting in settings_of(folder, name) if setting.startswith("ONWARD_")}
    assert settings <= set(re.findall(r"ONWARD_\w+", shown))


def test_with_mutual_tls_both_sides_have_the_files_that_their_settings_name() -> None:
    folder = "overlays/mutual-tls"
    assert settings_of(folder, "onward-worker")["ONWARD_URL"] == "https://onward-engine:8484"
    assert "ONWARD_INSECURE" not in settings_of(folder, "onward-worker")
    for name, used in (
        ("onward-worker", {"ONWARD_CA_FILE", "ONWARD_CLIENT_CERT", "ONWARD_CLIENT_KEY"}),
        ("onward-engine", {"ONWARD_TLS_CERT", "ONWARD_TLS_KEY", "ONWARD_TLS_CLIENT_CA"}),
    ):
        [mount] = [mount for mount in container_of(folder, name)["volumeMounts"] if mount["name"] == "tls"]
        [volume] = [volume for volume in pods(folder)[name]["volumes"] if volume["name"] == "tls"]
        files = {settings_of(folder, name)[setting] for setting in used}
        assert files == {f"{mount['mountPath']}/{file}" for file in ("ca.crt", "tls.crt", "tls.key")}
        assert volume["secret"]["secretName"] == f"{name}-tls"


def test_an_engine_that_wants_certificates_is_probed_without_one() -> None:
    container = container_of("overlays/mutual-tls", "onward-engine")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert (container[probe]["tcpSocket"], "httpGet" in container[probe]) == ({"port": "http"}, False)


def test_keda_counts_workers_by_the_slots_that_one_has_and_decides_alone() -> None:
    [trigger] = one("overlays/production", "ScaledObject", "onward-worker")["spec"]["triggers"]
    assert (
        trigger["metadata"]["targetValue"] == settings_of("overlays/production", "onward-worker")["ONWARD_CONCURRENCY"]
    )
    assert trigger["metadata"]["url"].startswith("http://onward-engine.onward.svc:8484/v1/scale?")
    assert "replicas" not in one("overlays/production", "Deployment", "onward-worker")["spec"]


def test_an_autoscaler_decides_alone() -> None:
    assert "replicas" not in one("overlays/behind-proxy", "Deployment", "onward-worker")["spec"]


def test_engines_on_a_file_are_one_and_on_postgresql_three() -> None:
    assert one("engine/sqlite", "StatefulSet", "onward-engine")["spec"]["replicas"] == 1
    assert one("engine/postgres", "Deployment", "onward-engine")["spec"]["replicas"] == 3


def test_the_judge_of_keda_notices_an_unknown_field(tmp_path: Path) -> None:
    wrong = rendered("overlays/production").replace("cooldownPeriod", "coolDownPeriod")
    tmp_path.joinpath("wrong.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(AssertionError, match="something is unknown"):
        judged_by(TOOLS / "python", Path(__file__).with_name("keda.py"), tmp_path / "wrong.yaml")
