"""Checks a SavedModel in a process that can import neither Keras nor this project; run by `tfdvbpr-export validate`.

Usage: python -I validation_script.py VERSION_FOLDER RECORDED_ANSWERS OPTIONS.json REPORT.json
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

REFUSED = ("keras", "tf_keras", "tensorflow_recommenders", "tfdvbpr", "tfdvbpr_export", "tfdvbpr_serving")
# None means: not there. TensorFlow itself looks for Keras when it is imported; a finder that raises would stop it.
sys.modules.update(dict.fromkeys(REFUSED))  # type: ignore[arg-type]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import prediction_log_pb2  # noqa: E402

_BROKEN = [
    b"",
    b"not an image",
    b"\xff\xd8\xff\xe0" + b"\0" * 40,
    b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0" + b"\0" * 40,
]
_STRANGE = ["", "no such id \u2603", "a\x00b\n", "x" * 100_000]
_HOSTILE_NUMBERS: dict[str, list[Any]] = {
    "int32": [-1, -(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "float32": [np.nan, np.inf],
}
_LEAST_CALLS, _MOST_CALLS = 3, 200
_MOST_STEPS = 1_000  # of a model that allows more, a request for all of them would take hours


def _tensors(named: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {name: tf.make_ndarray(tensor) for name, tensor in named.items()}


class Checker:
    """A loaded SavedModel, and the problems found so far."""

    def __init__(self, folder: str, options: dict[str, Any]) -> None:
        for module in options["op_modules"]:
            importlib.import_module(module)
        began = time.perf_counter()
        self.model = tf.saved_model.load(folder)
        self.load_seconds = time.perf_counter() - began
        self.options = options
        self.problems: list[str] = []

    def answer(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The answer of a signature."""
        function = self.model.signatures[signature]
        specs = function.structured_input_signature[1]
        outputs = function(**{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    def compare(self, signature: str, number: int, inputs: dict[str, Any], expected: dict[str, Any]) -> float:
        """Compares an answer with the recorded one; returns the largest difference of numbers."""
        answer, largest = self.answer(signature, inputs), 0.0
        where = f"{signature}, recorded request {number}"
        if set(answer) != set(expected):
            self.problems.append(f"{where}: outputs {sorted(answer)} instead of {sorted(expected)}")
            return float("inf")
        for name, value in expected.items():
            found = answer[name]
            if found.shape != value.shape:
                self.problems.append(f"{where}: `{name}` has shape {found.shape} instead of {value.shape}")
            elif name.endswith("_bytes"):
                self._compare_images(f"{where}: `{name}`", found, value)
            elif value.dtype == object:
                if not np.array_equal(found, value):
                    self.problems.append(f"{where}: `{name}` differs")
            else:
                apart = _apart(found, value)
                if apart > self.options["tolerance"]:
                    self.problems.append(f"{where}: `{name}` differs by {apart:.2g}")
                largest = max(largest, apart)
        return largest

    def _compare_images(self, where: str, found: Any, expected: Any) -> None:
        for one, other in zip(found.ravel(), expected.ravel(), strict=True):
            if bool(one) != bool(other):
                self.problems.append(f"{where}: an image is present in one of the two only")
            elif one and one != other:
                pixels = [tf.io.decode_image(file, channels=3).numpy().astype(int) for file in (one, other)]
                apart = int(np.abs(pixels[0] - pixels[1]).max()) if pixels[0].shape == pixels[1].shape else 256
                if apart > self.options["pixel_tolerance"]:
                    self.problems.append(f"{where}: an image differs by {apart}/255")

    def refuse_or_answer(self, signature: str, why: str, inputs: dict[str, Any], rows: int | None) -> str:
        """A hostile request must be refused with INVALID_ARGUMENT, or be answered with as many rows as it has."""
        try:
            answer = self.answer(signature, inputs)
        except tf.errors.InvalidArgumentError:
            if rows != 0:
                return "refused"
            self.problems.append(f"{signature}, {why}: refused, where an empty answer is right")
            return "failed"
        except Exception as error:  # any other error is a problem of the model
            self.problems.append(f"{signature}, {why}: {type(error).__name__} instead of an answer or a refusal")
            return "failed"
        wrong = {name: len(value) for name, value in answer.items() if rows is not None and len(value) != rows}
        if wrong or rows is None:
            self.problems.append(f"{signature}, {why}: answered with rows {wrong or 'that no request has'}")
            return "failed"
        return "answered"

    def hostile(self, signature: str, inputs: dict[str, Any]) -> dict[str, int]:
        """Sends the hostile requests; how many were refused and how many answered."""
        unbounded = {"num_steps"} if self.options["max_steps"] > _MOST_STEPS else set[str]()
        results = [self.refuse_or_answer(signature, *request) for request in _hostile_requests(inputs, unbounded)]
        return {result: results.count(result) for result in ("refused", "answered")}

    def latency(self, signature: str, inputs: dict[str, Any]) -> list[float]:
        """Milliseconds of calls after the first, sorted."""
        self.answer(signature, inputs)
        found: list[float] = []
        enough = self.options["latency_seconds"] * 1000
        while len(found) < _LEAST_CALLS or (sum(found) < enough and len(found) < _MOST_CALLS):
            began = time.perf_counter()
            self.answer(signature, inputs)
            found.append((time.perf_counter() - began) * 1000)
        return sorted(found)


def _apart(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """The largest difference, relative to the largest number where that is above 1; infinite where NaN or ∞ differ."""
    first, second = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    finite = np.isfinite(second)
    if not np.array_equal(finite, np.isfinite(first)) or not np.array_equal(
        first[~finite], second[~finite], equal_nan=True
    ):
        return float("inf")
    if not finite.any():
        return 0.0
    return float(np.abs(first - second)[finite].max() / max(1.0, np.abs(second[finite]).max()))


def _hostile_requests(inputs: dict[str, Any], unbounded: set[str]) -> Any:
    """(why, request, rows of a right answer or None where only a refusal is right).

    Inputs named in `unbounded` get no number above those of the request, for the model would work as long.
    """
    rows = len(next(iter(inputs.values())))
    value: Any
    yield "no rows", {name: value[:0] for name, value in inputs.items()}, 0
    for name, value in inputs.items():
        if len(inputs) > 1:
            yield f"`{name}` one row short", {**inputs, name: value[:-1]}, None
        if name.endswith("_bytes"):
            for broken in _BROKEN:
                yield f"`{name}` broken", {**inputs, name: np.full_like(value, broken)}, None
        elif value.dtype == object:
            for strange in _STRANGE:
                yield f"`{name}` strange", {**inputs, name: np.full_like(value, strange.encode())}, rows
        else:
            for number in _HOSTILE_NUMBERS.get(value.dtype.name, []):
                if name in unbounded and number > value.max():
                    continue
                yield f"`{name}` {number}", {**inputs, name: np.full_like(value, number)}, rows
        if value.ndim > 1:
            for width in (0, 5000):
                wide = np.full((rows, width), b"no such id", object)
                yield f"`{name}` {width} columns", {**inputs, name: wide}, rows


def main(folder: str, recorded: str, options_path: str, report_path: str) -> None:
    """Sends all requests and writes the report."""
    with open(options_path, encoding="utf-8") as file:
        options = json.load(file)
    checker = Checker(folder, options)
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log
        for record in tf.data.TFRecordDataset(recorded).as_numpy_iterator()
    ]
    signatures: dict[str, dict[str, Any]] = {}
    requests = [
        (log.request.model_spec.signature_name, _tensors(log.request.inputs), _tensors(log.response.outputs))
        for log in logs
    ]
    found, expected = set(checker.model.signatures), {*options["signatures"], "serving_default"}
    checker.problems += [f"{name}: in the manifest but not in the model" for name in sorted(expected - found)]
    checker.problems += [f"{name}: in the model but not in the manifest" for name in sorted(found - expected)]
    recorded_names = {name for name, *_ in requests}
    checker.problems += [f"{name}: no recorded request" for name in options["signatures"] if name not in recorded_names]
    requests = [request for request in requests if request[0] in found]
    first_inputs: dict[str, Any] = {}
    for number, (name, inputs, answer) in enumerate(requests, 1):
        first_inputs.setdefault(name, inputs)
        report = signatures.setdefault(name, {"requests": 0, "difference": 0.0})
        report["requests"] += 1
        report["difference"] = max(report["difference"], checker.compare(name, number, inputs, answer))
    for name, report in signatures.items():
        report |= checker.hostile(name, first_inputs[name])
        times = checker.latency(name, first_inputs[name])
        report["p50_ms"], report["p99_ms"] = times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]
    # The hostile requests must not have changed the model.
    for number, (name, inputs, answer) in enumerate(requests, 1):
        checker.compare(name, number, inputs, answer)
    loaded = [name for name, module in sys.modules.items() if module and name.partition(".")[0] in REFUSED]
    checker.problems += [f"{name} was imported, without which the model must work" for name in sorted(loaded)]
    report = {"signatures": signatures, "problems": checker.problems, "load_seconds": checker.load_seconds}
    with open(report_path, "w", encoding="utf-8") as file:
        json.dump(report, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
