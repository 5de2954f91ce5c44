"""A SavedModel needs TensorFlow and nothing else: `validate` asks it in such a process, and finds what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from export_helpers import Exported
from tensorflow_serving.apis import prediction_log_pb2

from tfdvbpr.errors import ConfigError
from tfdvbpr_export.saving import EXTRA, RECORDED_NAME
from tfdvbpr_export.validation.validate import validate


@pytest.mark.parametrize("model", ["recommender", "served_designer"])
def test_a_version_is_fit_to_be_served(model: str, request: pytest.FixtureRequest) -> None:
    exported: Exported = request.getfixturevalue(model)
    found = validate(exported.folder.parent, latency_seconds=0.0)
    assert found.problems == ()
    assert {*found.signatures, "serving_default"} == set(exported.model.signatures)
    for name, told in found.signatures.items():
        assert told.requests >= 1, name
        assert told.difference <= 1e-5, name
        assert told.refused >= 2, name
        assert told.answered >= 1, name
        assert told.p50_ms > 0, name


def test_another_answer_than_the_recorded_one_is_found(recommender: Exported, tmp_path: Path) -> None:
    """Of the recommender with another answer on record, and one request the model does not know."""
    folder = tmp_path / "recommender" / "1"
    shutil.copytree(recommender.folder, folder)
    path = folder / EXTRA / RECORDED_NAME
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            log = prediction_log_pb2.PredictionLog.FromString(record)
            outputs = log.predict_log.response.outputs
            if log.predict_log.request.model_spec.signature_name == "score":
                outputs["scores"].CopyFrom(tf.make_tensor_proto(tf.make_ndarray(outputs["scores"]) + 0.25))
            writer.write(log.SerializeToString())
    found = validate(folder, max_megabytes=1e-3, latency_seconds=0.0)
    assert found.problems[0].startswith("its files are")
    found = validate(folder, max_latency_ms=1e-6, latency_seconds=0.0)
    assert any(
        problem.startswith("score, recorded request") and "`scores` differs" in problem for problem in found.problems
    )
    assert any("more than the 1e-06 ms allowed" in problem for problem in found.problems)


def test_files_cut_short_are_found(recommender: Exported, tmp_path: Path) -> None:
    folder = tmp_path / "recommender" / "1"
    shutil.copytree(recommender.folder, folder)
    data = folder / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    found = validate(folder)
    assert not found.fit
    assert found.problems[0].startswith("variables/variables.data")
    data.unlink()
    assert "missing instead of" in validate(folder).problems[0]


def test_what_is_no_export(recommender: Exported, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is neither"):
        validate(tmp_path)
    folder = tmp_path / "1"
    shutil.copytree(recommender.folder, folder)
    manifest = folder / EXTRA / "tfdvbpr.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "signatures": [*told["signatures"], "guess"]}))
    assert validate(folder).problems[0] == "guess: in the manifest but not in the model"
    manifest.unlink()
    with pytest.raises(ConfigError, match="must be written by tfdvbpr-export"):
        validate(folder)
    (folder / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ConfigError, match="must be a whole SavedModel"):
        validate(folder)
