"""The files for tensorflow_model_server, compose and Kubernetes: parsed with their own messages, and compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tfdvbpr.signatures import DESIGNER_MODEL_NAME, RECOMMENDER_MODEL_NAME
from tfdvbpr_serving.cli import app
from tfdvbpr_serving.client.base import DEFAULT_MAX_ROWS_PER_REQUEST
from tfdvbpr_serving.config import BatchingOptions, VersionPolicy, read_batching_config, read_models_config
from tfdvbpr_serving.errors import ModelLoadError
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import BatchingParameters, MonitoringConfig
from tfdvbpr_serving.server.predictor import METRICS_PATH

ROOT = Path(__file__).parents[2]
DEPLOYMENT = ROOT / "serving" / "tfdvbpr_serving" / "deployment"

# Every flag of tensorflow_model_server 2.20 that the files here may use.
FLAGS = {
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "allow_version_labels_for_unavailable_models",
    "enable_batching",
    "enable_per_model_batching_parameters",
    "batching_parameters_file",
    "monitoring_config_file",
    "rest_api_timeout_in_ms",
}


def check_models(text: str, names: set[str], *, labelled: bool) -> None:
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    models = {model.name: model for model in config.model_config_list.config}
    assert set(models) == names
    for name, model in models.items():
        assert model.base_path == f"/models/{name}"
        assert model.model_platform == "tensorflow"
        policy = model.model_version_policy
        if labelled:
            assert "stable" in model.version_labels
            assert set(model.version_labels.values()) <= set(policy.specific.versions)  # else the server rejects it
        else:
            assert policy.latest.num_versions == 1
            assert not model.version_labels


def check_batching(text: str) -> None:
    config = text_format.Parse(text, BatchingParameters())
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == config.max_batch_size.value  # else the server does not start
    assert config.max_batch_size.value >= DEFAULT_MAX_ROWS_PER_REQUEST  # else it rejects the client's requests
    assert config.max_enqueued_batches.value > 0
    assert config.pad_variable_length_inputs


def check_monitoring(text: str) -> None:
    config = text_format.Parse(text, MonitoringConfig())
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == METRICS_PATH


def check_flags(arguments: list[str]) -> set[str]:
    """The files they name under /config/."""
    flags = {argument.removeprefix("--").split("=")[0] for argument in arguments}
    assert flags <= FLAGS
    assert {"model_config_file", "monitoring_config_file", "batching_parameters_file"} <= flags
    return {path for argument in arguments for path in re.findall(r"=(/config/\S+)", argument)}


def test_models() -> None:
    both = {RECOMMENDER_MODEL_NAME, DESIGNER_MODEL_NAME}
    check_models((DEPLOYMENT / "models.config").read_text(), both, labelled=True)
    check_models((DEPLOYMENT / "models.latest.config").read_text(), both, labelled=False)


def test_batching_and_monitoring() -> None:
    check_batching((DEPLOYMENT / "batching.config").read_text())
    check_monitoring((DEPLOYMENT / "monitoring.config").read_text())


def test_compose_mounts_what_it_names() -> None:
    services = yaml.safe_load((DEPLOYMENT / "compose.yaml").read_text())["services"]
    images = {name: service["image"] for name, service in services.items()}
    assert images["serving"] == "tensorflow/serving:2.20.0"
    assert images["serving-gpu"] == "tensorflow/serving:2.20.0-gpu"
    assert all(":" in image for image in images.values())  # no moving tags
    profiles = [profile for service in services.values() for profile in service["profiles"]]
    assert sorted(profiles) == ["cpu", "gpu", "monitoring", "scann"]
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        mounts = {volume["target"]: volume["source"] for volume in service["volumes"]}
        assert all(volume["read_only"] for volume in service["volumes"])
        for target, source in mounts.items():
            if target != "/models":
                file = re.sub(r"\$\{\w+:-(.+)\}", r"\1", source)
                assert (DEPLOYMENT / file).is_file()
                assert Path(file).name == Path(target).name
        if name in ("serving", "serving-gpu"):
            assert check_flags(service["command"]) == set(mounts) - {"/models"}
    device = services["serving-gpu"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert (ROOT / services["serving-scann"]["build"]["dockerfile"]).is_file()
    targets = yaml.safe_load((DEPLOYMENT / "prometheus.yml").read_text())["scrape_configs"][0]
    assert targets["metrics_path"] == METRICS_PATH
    assert targets["static_configs"][0]["targets"] == ["serving:8501"]
    assert "serving" in services["serving"]["networks"]["default"]["aliases"]


def test_the_scann_services_arguments_are_those_of_the_command() -> None:
    services = yaml.safe_load((DEPLOYMENT / "compose.yaml").read_text())["services"]
    options = {name for option in typer.main.get_command(app).params for name in option.opts}
    assert {argument.split("=")[0] for argument in services["serving-scann"]["command"]} <= options


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, dict[str, Any]]:
    documents = list(yaml.safe_load_all((DEPLOYMENT / "kubernetes.yaml").read_text()))
    return {document["kind"]: document for document in documents}


def test_kubernetes_configuration_is_that_of_the_files(kubernetes: dict[str, dict[str, Any]]) -> None:
    data = kubernetes["ConfigMap"]["data"]
    check_models(data["models.config"], {RECOMMENDER_MODEL_NAME}, labelled=True)
    for name in ("batching.config", "monitoring.config"):
        assert data[name] == (DEPLOYMENT / name).read_text()


def test_kubernetes_parts_fit_together(kubernetes: dict[str, dict[str, Any]]) -> None:
    versions = {kind: document["apiVersion"] for kind, document in kubernetes.items()}
    assert versions == {
        "ConfigMap": "v1",
        "Deployment": "apps/v1",
        "Service": "v1",
        "PodDisruptionBudget": "policy/v1",
        "HorizontalPodAutoscaler": "autoscaling/v2",
    }
    deployment, name = kubernetes["Deployment"]["spec"], kubernetes["Deployment"]["metadata"]["name"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels == kubernetes["Service"]["spec"]["selector"]
    assert kubernetes["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes["PodDisruptionBudget"]["spec"]["minAvailable"] < deployment["replicas"]
    scaler = kubernetes["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["scaleTargetRef"]["name"], scaler["minReplicas"]) == (name, deployment["replicas"])
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "tensorflow/serving:2.20.0"
    files = check_flags(container["args"])
    assert files == {f"/config/{key}" for key in kubernetes["ConfigMap"]["data"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"models": "/models", "config": "/config"}
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts)
    assert pod["volumes"][1]["configMap"]["name"] == kubernetes["ConfigMap"]["metadata"]["name"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert {port["targetPort"] for port in kubernetes["Service"]["spec"]["ports"]} == set(ports)
    assert {"name": "MALLOC_ARENA_MAX", "value": "2"} in container["env"]
    probes = {
        container[probe][kind]["port"]
        for probe, kind in (("readinessProbe", "httpGet"), ("livenessProbe", "tcpSocket"))
    }
    assert probes <= set(ports)
    assert pod["terminationGracePeriodSeconds"] > int(container["lifecycle"]["preStop"]["exec"]["command"][1]) + 20


def test_the_local_server_reads_the_same_files(tmp_path: Path) -> None:
    recommender, designer = read_models_config(DEPLOYMENT / "models.config")
    assert (recommender.base_path, dict(designer.labels)) == (Path("/models/recommender"), {"stable": 1})
    assert recommender.policy == VersionPolicy(latest=None, specific=(1,))
    assert {m.policy for m in read_models_config(DEPLOYMENT / "models.latest.config")} == {VersionPolicy(latest=1)}
    assert read_batching_config(DEPLOYMENT / "batching.config") == BatchingOptions(64, 2000, 4, 100)
    (tmp_path / "few").write_text("max_batch_size { value: 8 }")
    assert read_batching_config(tmp_path / "few") == BatchingOptions(max_batch_size=8)


MODEL = 'config {{ name: "{name}" base_path: "m" model_platform: "{platform}" }}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a `model_config_list`"),
        ("model_config_list {}", "must have a `model_config_list`"),
        ("model_config_list { " + MODEL.format(name="", platform="") + " }", "must have `name` and `base_path`"),
        ("model_config_list { " + MODEL.format(name="a", platform="caffe") + " }", 'must be "tensorflow"'),
        ("model_config_list { " + MODEL.format(name="a", platform="") * 2 + " }", "must have different names"),
        ("models { }", "in protobuf's text form"),
    ],
)
def test_broken_models_configs(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "models.config").write_text(text)
    with pytest.raises(ModelLoadError, match=message):
        read_models_config(tmp_path / "models.config")


def test_other_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="must be a readable file"):
        read_models_config(tmp_path / "missing")
    (tmp_path / "batching.config").write_text("max_batch_size { value: 0 }")
    with pytest.raises(ModelLoadError, match="`max_batch_size` must be 1 or more"):
        read_batching_config(tmp_path / "batching.config")


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (VersionPolicy(), [7]),
        (VersionPolicy(latest=2), [3, 7]),
        (VersionPolicy(latest=None), [1, 3, 7]),
        (VersionPolicy(specific=(1, 3, 9)), [1, 3]),
    ],
)
def test_version_policies(policy: VersionPolicy, wanted: list[int]) -> None:
    assert policy.wanted([7, 1, 3]) == wanted
