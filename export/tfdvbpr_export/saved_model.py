"""Writes a version: the SavedModel, warm-up requests, recorded answers, model card and manifest. Imports TensorFlow."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import wraps
from pathlib import Path
from typing import Any

import tensorflow as tf
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from tensorflow_serving.apis import prediction_log_pb2

from tfdvbpr._version import __version__
from tfdvbpr.run.folder import RunManifest
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr.text import markdown
from tfdvbpr_export.requests import Request, require
from tfdvbpr_export.versions import EXTRA, FORMAT_VERSION, MANIFEST_NAME, RECORDED_NAME, whole_version

CARD_NAME = "model_card.md"
WARMUP_NAME = "tf_serving_warmup_requests"
_RUN_FIELDS = {"model", "library_version", "created", "dataset", "dataset_fingerprint", "image_size", "fit"}
_log = logging.getLogger(__name__)


def served(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a method as the function behind a signature, with the inputs that `tfdvbpr.signatures` names.

    The inputs of a request must have as many rows each: TensorFlow would silently repeat a single one. The method is
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
            return require(even, sentence, rows, then=lambda: method(module, *map(tf.identity, tensors)))

        return tf.function(checked, input_signature=specs, autograph=False)

    return decorate


def write_version(
    module: tf.Module,
    folder: Path,
    *,
    examples: Mapping[str, Sequence[Request]],
    about: Mapping[str, Any],
    op_namespaces: Sequence[str] = (),
) -> Path:
    """Writes one version folder, whole or not at all.

    Args:
        module: has a method for each signature.
        folder: the version folder to make.
        examples: by signature, requests; a server answers the first of each before it takes others, and `validate`
            repeats all of them. The first signature is also `serving_default`.
        about: what the manifest holds beside library version, time, signatures and files.
        op_namespaces: of ops that a server must have beside TensorFlow's own.

    Returns:
        `folder`.

    Raises:
        OutputExistsError: if the folder holds something already.
    """
    _log.info("Tracing %d signatures: %s.", len(examples), ", ".join(examples))
    functions = _traced(module, list(examples))
    default = next(iter(functions.values()))
    with whole_version(folder) as scratch:
        _log.info("Saving the model.")
        tf.saved_model.save(
            module,
            str(scratch),
            signatures={**functions, "serving_default": default},
            options=tf.saved_model.SaveOptions(namespace_whitelist=list(op_namespaces) or None),
        )
        extra = scratch / EXTRA
        extra.mkdir()
        _log.info("Recording answers to %d requests.", sum(map(len, examples.values())))
        _write_logs(extra / WARMUP_NAME, (_log_of(name, requests[0]) for name, requests in examples.items()))
        recorded = ((name, request) for name, requests in examples.items() for request in requests)
        responses = (_log_of(name, request, functions[name](**_constants(name, request))) for name, request in recorded)
        _write_logs(extra / RECORDED_NAME, responses)
        manifest = _manifest(functions, about)
        (extra / CARD_NAME).write_text(model_card(manifest), encoding="utf-8")
        # The size of each file shows a copy that was cut short.
        files = [path for path in sorted(scratch.rglob("*")) if path.is_file()]
        manifest["files"] = {path.relative_to(scratch).as_posix(): path.stat().st_size for path in files}
        (extra / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return folder


def run_facts(manifest: RunManifest) -> dict[str, Any]:
    """What an exported model's manifest holds of a run; no path of the machine it was trained on."""
    return manifest.model_dump(mode="json", include=_RUN_FIELDS)


def model_card(manifest: Mapping[str, Any]) -> str:
    """The model card of a recommender or a designer, in Markdown, from its manifest."""
    environment = Environment(
        loader=PackageLoader("tfdvbpr_export", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_escaped,
    )
    signatures = {name: SIGNATURES[name] for name in manifest["signatures"]}
    template = environment.get_template("model_card.md.jinja")
    return template.render(about=manifest, signatures=signatures, metrics=_flat(manifest["metrics"])).rstrip() + "\n"


def _escaped(value: Any) -> Any:
    """What a template prints: text from a run as plain Markdown; what the template marks as safe stays."""
    return markdown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested metrics as (name, value) rows."""
    rows: list[tuple[str, str]] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name} ")
        else:
            rows.append((f"{prefix}{name}", f"{value:.4f}" if isinstance(value, float) else str(value)))
    return rows


def _traced(module: tf.Module, names: list[str]) -> dict[str, Any]:
    """The methods of signatures as concrete functions, put in their place: saving would trace the methods once more.

    A method that is not served becomes None, for saving would trace it too.
    """
    functions = {name: getattr(module, name).get_concrete_function() for name in names}
    for name in SIGNATURES:
        if hasattr(module, name):
            setattr(module, name, functions.get(name))
    return functions


def _manifest(functions: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "library_version": __version__,
        "tensorflow_version": tf.__version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "served_as": SIGNATURES[next(iter(functions))].model,
        "signatures": {
            name: {
                "inputs": {key: _text(spec.dtype, spec.shape) for key, spec in SIGNATURES[name].inputs.items()},
                "outputs": {
                    key: _text(function.structured_outputs[key].dtype.name, function.structured_outputs[key].shape)
                    for key in SIGNATURES[name].outputs
                },
            }
            for name, function in functions.items()
        },
        **about,
    }


def _text(dtype: str, shape: Sequence[int | None]) -> str:
    """Dtype and sizes such as `float32 [B, ?]`."""
    return f"{dtype} [{', '.join(['B', *('?' if size is None else str(size) for size in shape[1:])])}]"


def _constants(signature: str, request: Request) -> dict[str, Any]:
    inputs = SIGNATURES[signature].inputs
    return {name: tf.constant(value, inputs[name].dtype) for name, value in request.items()}


def _log_of(signature: str, inputs: Request, outputs: Mapping[str, Any] | None = None) -> Any:
    """A PredictionLog, which TensorFlow Serving reads warm-up requests from."""
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = SIGNATURES[signature].model
    request.model_spec.signature_name = signature
    for name, value in _constants(signature, inputs).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    for name, value in (outputs or {}).items():
        log.predict_log.response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log


def _write_logs(path: Path, logs: Iterator[Any]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
