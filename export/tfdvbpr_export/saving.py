"""Writing a version: the SavedModel, requests and answers, model card and manifest. Imports TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import wraps
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tfdvbpr._version import __version__
from tfdvbpr.run import RunManifest
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.card import CARD_NAME, model_card
from tfdvbpr_export.refusing import provided
from tfdvbpr_export.validation.examples import Examples, Request
from tfdvbpr_export.versions import EXTRA, MANIFEST_NAME, version_at, whole_version

WARMUP_NAME = "tf_serving_warmup_requests"
RECORDED_NAME = "tfdvbpr_recorded_answers"
_FORMAT_VERSION = 2
_RUN_FIELDS = ("model", "library_version", "created", "dataset", "dataset_fingerprint", "image_size", "fit")


def served(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a method as the function behind a signature, with the inputs that `tfdvbpr.signatures` names.

    The inputs of a request must have as many rows each: TensorFlow would quietly repeat a single one. The method is
    graph ops throughout, and AutoGraph, which would take as long as the tracing, has nothing to rewrite.
    """
    inputs = SIGNATURES[signature].inputs
    specs = [tf.TensorSpec(description.shape, description.dtype, name=name) for name, description in inputs.items()]

    def decorate(method: Callable[..., Any]) -> Any:
        @wraps(method)
        def checked(module: Any, *tensors: Any, **named: Any) -> Any:
            tensors = (*tensors, *(named[name] for name in list(inputs)[len(tensors) :]))
            rows = tf.stack([tf.shape(tensor)[0] for tensor in tensors])
            sentence = f"The inputs {', '.join(inputs)} must have as many rows each. Received {{}}."
            even = tf.reduce_all(tf.equal(rows, rows[0]))
            return provided(even, sentence, rows, then=lambda: method(module, *map(tf.identity, tensors)))

        return tf.function(checked, input_signature=specs, autograph=False)

    return decorate


def write_version(
    module: tf.Module,
    folder: Path,
    *,
    examples: Examples,
    about: Mapping[str, Any],
    op_namespaces: Sequence[str] = (),
) -> Path:
    """Writes one version folder, whole or not at all.

    Args:
        module: has a method for each signature.
        folder: the version folder to make.
        examples: by signature, requests; a server answers the first of each before it takes others, and `validate` asks
            all of them again. The first signature is also `serving_default`.
        about: what `tfdvbpr.json` says beside library version, time, signatures and files.
        op_namespaces: of ops that a server must have beside TensorFlow's own.

    Returns:
        `folder`.

    Raises:
        OutputExistsError: if the folder holds something already.
    """
    functions = _traced(module, list(examples))
    default = next(iter(functions.values()))
    with whole_version(folder) as scratch:
        tf.saved_model.save(
            module,
            str(scratch),
            signatures={**functions, "serving_default": default},
            options=tf.saved_model.SaveOptions(namespace_whitelist=list(op_namespaces) or None),
        )
        extra = scratch / EXTRA
        extra.mkdir()
        _write_logs(extra / WARMUP_NAME, (_log(name, requests[0]) for name, requests in examples.items()))
        answered = ((name, request, _answer(functions[name], name, request)) for name, request in _each(examples))
        _write_logs(extra / RECORDED_NAME, (_log(name, request, answer) for name, request, answer in answered))
        told = _told(list(examples), about)
        (extra / CARD_NAME).write_text(model_card(told), encoding="utf-8")
        told["files"] = _sizes(scratch)
        (extra / MANIFEST_NAME).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return folder


def run_facts(manifest: RunManifest) -> dict[str, Any]:
    """What an exported model says of the run it came from; no path of the machine it was trained on."""
    return manifest.model_dump(mode="json", include=set(_RUN_FIELDS))


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a version folder, or the newest below a base path, says of itself."""
    told: dict[str, Any] = json.loads((version_at(folder) / EXTRA / MANIFEST_NAME).read_text(encoding="utf-8"))
    return told


def _traced(module: tf.Module, names: list[str]) -> dict[str, Any]:
    """The methods of signatures as concrete functions, put in their place: saving would trace the methods once more."""
    functions = {name: getattr(module, name).get_concrete_function() for name in names}
    for name, function in functions.items():
        setattr(module, name, function)
    return functions


def _each(examples: Examples) -> Iterator[tuple[str, Request]]:
    return ((name, request) for name, requests in examples.items() for request in requests)


def _tensor(signature: str, name: str, value: Any) -> Any:
    description = SIGNATURES[signature].inputs[name]
    return tf.constant(value, description.dtype)


def _answer(function: Any, signature: str, request: Request) -> Mapping[str, Any]:
    return dict(function(**{name: _tensor(signature, name, value) for name, value in request.items()}))


def _log(signature: str, inputs: Request, outputs: Mapping[str, Any] | None = None) -> Any:
    """A PredictionLog, which is what TensorFlow Serving reads warm-up requests from."""
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = SIGNATURES[signature].model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(_tensor(signature, name, value)))
    for name, value in (outputs or {}).items():
        log.predict_log.response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log


def _write_logs(path: Path, logs: Iterator[Any]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def _told(signatures: list[str], about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format_version": _FORMAT_VERSION,
        "library_version": __version__,
        "tensorflow_version": tf.__version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "served_as": SIGNATURES[signatures[0]].model,
        "signatures": signatures,
        **about,
    }


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file, so that a copy which was cut short is found out."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }
