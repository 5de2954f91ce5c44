"""The files for tensorflow_model_server, read with the protocol's own messages where the API package has them."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tfdvbpr.signatures import DESIGNER_MODEL_NAME, RECOMMENDER_MODEL_NAME
from tfdvbpr_serving.client import DEFAULT_MAX_ROWS_PER_REQUEST
from tfdvbpr_serving.config_files import batching_parameters, monitoring_config

SERVING = Path(__file__).parents[2] / "serving"


def test_models_config() -> None:
    text = (SERVING / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    models = {model.name: model for model in config.model_config_list.config}
    assert set(models) == {RECOMMENDER_MODEL_NAME, DESIGNER_MODEL_NAME}
    for name, model in models.items():
        assert model.base_path == f"/models/{name}"
        assert model.model_platform == "tensorflow"
        assert model.model_version_policy.latest.num_versions == 1


def test_batching_config_fits_the_client() -> None:
    config = text_format.Parse((SERVING / "batching.config").read_text(), batching_parameters()())
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == config.max_batch_size.value  # else the server refuses to start
    assert config.max_batch_size.value >= DEFAULT_MAX_ROWS_PER_REQUEST  # else it refuses the client's requests
    assert config.max_enqueued_batches.value > 0
    assert config.pad_variable_length_inputs


def test_monitoring_config() -> None:
    config = text_format.Parse((SERVING / "monitoring.config").read_text(), monitoring_config()())
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_compose_mounts_what_it_names() -> None:
    service = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]["serving"]
    assert service["image"] == "tensorflow/serving:2.20.0"
    mounts = {volume["target"]: volume["source"] for volume in service["volumes"]}
    named = {path for argument in service["command"] for path in re.findall(r"=(/config/\S+)", argument)}
    assert named == set(mounts) - {"/models"}
    for target in named:
        assert (SERVING / mounts[target]).is_file()
        assert Path(mounts[target]).name == Path(target).name
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
