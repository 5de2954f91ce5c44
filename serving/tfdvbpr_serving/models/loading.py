"""One version of a model: loads a SavedModel, runs its warm-up requests, counts its users. Imports TensorFlow."""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfdvbpr.signatures import DESIGNER_MODEL_NAME, SIGNATURES
from tfdvbpr_serving.config import BatchingOptions, ServerLimits
from tfdvbpr_serving.errors import ModelLoadError
from tfdvbpr_serving.protocol.messages import Arrays
from tfdvbpr_serving.protocol.tensorflow_pb2 import SignatureDef
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictionLog
from tfdvbpr_serving.server.batching import Batcher, Work
from tfdvbpr_serving.server.cost import MemoryBudget
from tfdvbpr_serving.server.decoding import ImageDecoder
from tfdvbpr_serving.server.images import IMAGE_INPUT_SUFFIX
from tfdvbpr_serving.server.requests import RequestContext, RequestError
from tfdvbpr_serving.server.runners import Cancellation, SignatureRunner

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
DEFAULT_SIGNATURE = "serving_default"

# An input whose largest value sets the width of the outputs: requests of different widths are not joined, so that a
# batched response has the same width as an unbatched one.
_WIDTH_INPUT = "k"

_log = logging.getLogger(__name__)


@dataclass
class ServingOptions:
    """Options of loaded models; without batching every request runs alone.

    `observe_batch` is called with model, signature, rows and seconds waited of each batch. Designs and images of all
    models share `designs` and `decoding`, which leave a processor core to the requests that take milliseconds; images
    are decoded by `decoder` first, if there is one.
    """

    batching: BatchingOptions | None
    limits: ServerLimits
    observe_batch: Callable[[str, str, int, float], None] = lambda *_: None
    decoder: ImageDecoder | None = None
    designs: Batcher = field(init=False)
    decoding: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        threads = max(1, (os.cpu_count() or 1) - 1)
        if self.batching is not None:
            threads = min(threads, self.batching.num_batch_threads)
        self.designs = Batcher(
            options=BatchingOptions(num_batch_threads=threads),
            joins=False,
            max_waiting=self.limits.max_waiting_designs,
        )
        self.decoding = threading.Semaphore(threads)

    def with_batching(self, batching: BatchingOptions) -> ServingOptions:
        """The same, threads included, with other batching."""
        other = copy(self)
        other.batching = batching
        return other


class LoadedModel:
    """One loaded version of a model, by the name of requests; dropped when retired and its last request has ended."""

    def __init__(
        self,
        name: str,
        version: int,
        path: Path,
        signature_defs: Mapping[str, SignatureDef],
        *,
        options: ServingOptions,
    ) -> None:
        self.name = name
        self.version = version
        self.path = path
        self.signature_defs = signature_defs
        self._saved_model = tf.saved_model.load(str(path))  # its signatures have only weak references to it
        self._runners = {
            signature: SignatureRunner(
                signature, definition, self._saved_model.signatures[signature], limits=options.limits
            )
            for signature, definition in signature_defs.items()
        }
        self._work = {signature: self._work_of(runner, options) for signature, runner in self._runners.items()}
        self._batchers = {signature: self._batcher(runner, options) for signature, runner in self._runners.items()}
        self._decoder = options.decoder
        self._lock = threading.Lock()
        self._users = 0
        self._on_idle: Callable[[], None] | None = None

    def _work_of(self, runner: SignatureRunner, options: ServingOptions) -> Work:
        def run(arrays: Arrays, cancellation: Cancellation) -> Arrays:
            return runner.run(arrays, cancellation=cancellation)

        def run_images(arrays: Arrays, cancellation: Cancellation) -> Arrays:
            with options.decoding:
                return runner.run(arrays, cancellation=cancellation)

        def observe(rows: int, seconds: float) -> None:
            options.observe_batch(self.name, runner.name, rows, seconds)

        decodes = any(name.endswith(IMAGE_INPUT_SUFFIX) for name in runner.inputs) and not self._is_designer(
            runner.name
        )
        return Work(run_images if decodes else run, observe)

    def _batcher(self, runner: SignatureRunner, options: ServingOptions) -> Batcher:
        """What runs a signature's requests, and the most rows of one: all designs share one that does not join them."""
        limits, batching = options.limits, options.batching
        if self._is_designer(runner.name):
            runner.max_rows = limits.max_design_rows
            return options.designs
        if batching is None or not runner.batchable:
            return Batcher(
                options=batching or BatchingOptions(), joins=False, max_waiting=limits.max_concurrent_requests
            )
        runner.max_rows = batching.max_batch_size
        return Batcher(options=batching, joins=True, max_waiting=batching.max_waiting_rows)

    def _is_designer(self, signature: str) -> bool:
        """Designs take seconds, so they are not joined. The default signature of a designer is a design as well."""
        others = self.signature_defs if signature == DEFAULT_SIGNATURE else [signature]
        return any(name in SIGNATURES and SIGNATURES[name].model == DESIGNER_MODEL_NAME for name in others)

    @property
    def waiting(self) -> Mapping[str, int]:
        """Rows (designs: requests) in the queue, by signature."""
        return {name: batcher.waiting(self._work[name]) for name, batcher in self._batchers.items()}

    def runner(self, signature: str) -> SignatureRunner:
        """The signature of that name; FAILED_PRECONDITION, as TensorFlow Serving, if there is none."""
        runner = self._runners.get(signature)
        if runner is None:
            known = ", ".join(self._runners)
            message = f'Serving signature key "{signature}" not found in model {self.name!r}. It has: {known}.'
            raise RequestError(grpc.StatusCode.FAILED_PRECONDITION, message)
        return runner

    def predict(self, runner: SignatureRunner, arrays: Arrays, context: RequestContext) -> Arrays:
        """The outputs by name, computed alone or in a batch; a `RequestError` has TensorFlow Serving's status."""
        arrays = self._decoded(runner.name, arrays, context)
        rows = 1
        for name, spec in runner.inputs.items():
            if spec.batched:
                rows = len(arrays[name])
                break
        kind: list[Hashable] = [array.shape[1:] for array in arrays.values()]
        width = arrays.get(_WIDTH_INPUT)
        if width is not None and width.dtype.kind == "i":
            kind.append(int(width.max()))
        return self._batchers[runner.name].predict(
            self._work[runner.name], arrays, rows=rows, kind=tuple(kind), context=context
        )

    def _decoded(self, signature: str, arrays: Arrays, context: RequestContext) -> Arrays:
        """The same with images decoded by another process: their pixels, in files that this one has written.

        Models of other projects may want more of a file than its colours, and get it as it came, once it is decoded.
        """
        images = [name for name, array in arrays.items() if name.endswith(IMAGE_INPUT_SUFFIX) and array.dtype == object]
        if self._decoder is None or not images:
            return arrays
        arrays = dict(arrays)
        for name in images:
            files = self._decoder.decode(name, arrays[name].ravel().tolist(), context)
            if signature in SIGNATURES and name in SIGNATURES[signature].inputs:
                written = np.empty(len(files), object)
                written[:] = files
                arrays[name] = written.reshape(arrays[name].shape)
        return arrays

    def acquire(self) -> bool:
        """Keeps the model loaded for a request; False if it has been retired."""
        with self._lock:
            if self._on_idle is not None:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """Ends a request's use of the model."""
        with self._lock:
            self._users -= 1
            idle = self._on_idle if self._users == 0 else None
        if idle is not None:
            idle()

    def retire(self, on_idle: Callable[[], None]) -> None:
        """Accepts no more requests; calls back when the last one has ended, at once if there is none."""
        with self._lock:
            self._on_idle = on_idle
            idle = self._users == 0
        if idle:
            on_idle()


def load_model(name: str, version: int, path: Path, *, options: ServingOptions) -> LoadedModel:
    """Loads a version folder and runs its recorded warm-up requests, so that the first request is fast.

    Raises:
        ModelLoadError: if TensorFlow cannot load it, it has no signatures or a warm-up request fails.
    """
    _register_scann_ops()
    try:
        definitions = _signature_defs(path)
        if not definitions:
            raise ModelLoadError(f"{path} must have signatures to serve. Received none. Export it with tfdvbpr-export.")
        model = LoadedModel(name, version, path, definitions, options=options)
    except ModelLoadError:
        raise
    except Exception as error:  # TensorFlow raises almost anything for a broken file
        raise ModelLoadError(f"{path} must be a SavedModel. Received: {error}. Export it again.") from error
    _warm_up(model, options.limits)
    return model


def _register_scann_ops() -> None:
    """Importing ScaNN registers the ops of models that were exported with it."""
    if importlib.util.find_spec("scann") is not None:
        importlib.import_module("scann.scann_ops.py.scann_ops")


def _signature_defs(path: Path) -> dict[str, SignatureDef]:
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    graph = next((g for g in saved.meta_graphs if "serve" in g.meta_info_def.tags), saved.meta_graphs[0])
    definitions = {name: graph.signature_def[name] for name in sorted(graph.signature_def) if not name.startswith("__")}
    return {name: SignatureDef.FromString(one.SerializeToString()) for name, one in definitions.items()}


def _warm_up(model: LoadedModel, limits: ServerLimits) -> None:
    file = model.path / WARMUP_FILE
    if not file.is_file():
        return
    count = 0
    memory = MemoryBudget(limits.max_bytes_in_progress)
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            log = PredictionLog.FromString(record)
            if log.WhichOneof("log_type") != "predict_log":
                raise ModelLoadError(f"{file} must hold predict logs. Number {count + 1} is of another kind.")
            request = log.predict_log.request
            runner = model.runner(request.model_spec.signature_name or DEFAULT_SIGNATURE)
            runner.wanted_outputs(list(request.output_filter))
            with memory.reserve() as reservation:
                # Not through the queues: the versions before this one need them meanwhile.
                runner.run(runner.read(request.inputs, reservation), cancellation=Cancellation())
            count += 1
    except ModelLoadError:
        raise
    except Exception as error:  # the file may hold anything
        raise ModelLoadError(f"Every warm-up request in {file} must succeed. Number {count + 1}: {error}") from error
    _log.info("%s version %d: %d warm-up requests run", model.name, model.version, count)
