"""A SavedModel needs TensorFlow and nothing else: `validate` loads it in such a process, and finds problems."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tfdvbpr.errors import ConfigError
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.validation import validate
from tfdvbpr_export.versions import EXTRA, MANIFEST_NAME, RECORDED_NAME


def test_a_version_is_fit_to_be_served(recommender_folder: Path) -> None:
    """A designer: tests/benchmarks/test_designer_validation.py."""
    found = validate(recommender_folder.parent, latency_seconds=0.0)
    assert found.problems == ()
    assert set(found.signatures) == {name for name, one in SIGNATURES.items() if one.model == "recommender"}
    for name, report in found.signatures.items():
        assert report.requests >= 1, name
        assert report.difference <= 1e-5, name
        if len(SIGNATURES[name].inputs) > 1 or SIGNATURES[name].takes_images:
            assert report.refused >= 2, name
        assert report.answered >= 1, name
        assert report.p50_ms > 0, name


def test_another_answer_than_the_recorded_one_is_found(recommender_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recommender" / "1"
    shutil.copytree(recommender_folder, folder)
    path = folder / EXTRA / RECORDED_NAME
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            log = prediction_log_pb2.PredictionLog.FromString(record)
            outputs = log.predict_log.response.outputs
            if log.predict_log.request.model_spec.signature_name == "score":
                outputs["scores"].CopyFrom(tf.make_tensor_proto(tf.make_ndarray(outputs["scores"]) + 0.25))
                writer.write(log.SerializeToString())
    manifest = folder / EXTRA / MANIFEST_NAME
    values = json.loads(manifest.read_text())
    values["files"][f"{EXTRA}/{RECORDED_NAME}"] = path.stat().st_size
    manifest.write_text(json.dumps(values))
    found = validate(folder, latency_seconds=0.0)
    assert [problem for problem in found.problems if "no recorded request" in problem] == [
        f"{name}: no recorded request" for name in values["signatures"] if name != "score"
    ]
    assert any(
        problem.startswith("score, recorded request") and "`scores` differs" in problem for problem in found.problems
    )


def test_files_cut_short_are_found(recommender_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recommender" / "1"
    shutil.copytree(recommender_folder, folder)
    data = folder / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    found = validate(folder)
    assert not found.fit
    assert found.problems[0].startswith("variables/variables.data")
    data.unlink()
    assert "missing instead of" in validate(folder).problems[0]


def test_folders_that_are_no_export(recommender_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is neither"):
        validate(tmp_path)
    folder = tmp_path / "1"
    shutil.copytree(recommender_folder, folder)
    manifest = folder / EXTRA / "tfdvbpr.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**values, "signatures": {**values["signatures"], "guess": {}}}))
    assert validate(folder).problems == ("guess: no signature of this release",)
    manifest.write_text(json.dumps({**values, "format_version": 2}))
    with pytest.raises(ConfigError, match=r"must be of format version 3\..* is of 2\. Export it again"):
        validate(folder)
    manifest.unlink()
    with pytest.raises(ConfigError, match="must be written by tfdvbpr-export"):
        validate(folder)


def test_a_graph_that_does_not_load(recommender_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "1"
    shutil.copytree(recommender_folder, folder)
    graph = folder / "saved_model.pb"
    graph.write_bytes(b"\xff" * graph.stat().st_size)
    assert validate(folder).problems[0].startswith("the clean process ended with code 1: ")
