"""Writing a version: the SavedModel, its warm-up requests and a manifest. Imports TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tfdvbpr._version import __version__
from tfdvbpr.run import RunManifest
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.versions import whole_version

EXTRA = "assets.extra"
WARMUP_NAME = "tf_serving_warmup_requests"
MANIFEST_NAME = "tfdvbpr.json"
_FORMAT_VERSION = 1
_RUN_FIELDS = ("model", "library_version", "created", "dataset", "dataset_fingerprint", "image_size", "fit")

Arrays = Mapping[str, Any]


def served(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a method as the function behind a signature, with the inputs that `tfdvbpr.signatures` names.

    The method is graph ops throughout, and AutoGraph, which would take as long as the tracing, has nothing to rewrite.
    """
    inputs = SIGNATURES[signature].inputs
    specs = [tf.TensorSpec(description.shape, description.dtype, name=name) for name, description in inputs.items()]
    return tf.function(input_signature=specs, autograph=False)


def write_version(module: tf.Module, folder: Path, *, warmup: Mapping[str, Arrays], about: Mapping[str, Any]) -> Path:
    """Writes one version folder, whole or not at all.

    Args:
        module: has a method for each signature.
        folder: the version folder to make.
        warmup: by signature, inputs a server answers once before it takes requests; the first signature is also
            `serving_default`.
        about: what `tfdvbpr.json` says beside library version, time and signatures.

    Returns:
        `folder`.

    Raises:
        OutputExistsError: if the folder holds something already.
    """
    signatures = {name: getattr(module, name) for name in warmup}
    default = next(iter(signatures.values()))
    with whole_version(folder) as scratch:
        tf.saved_model.save(module, str(scratch), signatures={**signatures, "serving_default": default})
        extra = scratch / EXTRA
        extra.mkdir()
        _write_warmup(extra / WARMUP_NAME, warmup)
        (extra / MANIFEST_NAME).write_text(json.dumps(_told(warmup, about), indent=2) + "\n", encoding="utf-8")
    return folder


def run_facts(manifest: RunManifest) -> dict[str, Any]:
    """What an exported model says of the run it came from; no path of the machine it was trained on."""
    return manifest.model_dump(mode="json", include=set(_RUN_FIELDS))


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a version folder says of itself."""
    told: dict[str, Any] = json.loads((folder / EXTRA / MANIFEST_NAME).read_text(encoding="utf-8"))
    return told


def _write_warmup(path: Path, warmup: Mapping[str, Arrays]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, inputs in warmup.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = SIGNATURES[name].model
            request.model_spec.signature_name = name
            for key, description in SIGNATURES[name].inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(inputs[key], dtype=description.dtype))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def _told(warmup: Mapping[str, Arrays], about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format_version": _FORMAT_VERSION,
        "library_version": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "signatures": list(warmup),
        **about,
    }
