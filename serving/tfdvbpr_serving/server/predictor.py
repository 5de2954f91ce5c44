"""A prediction request from its model's name to its outputs, whichever protocol it came by."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from tfdvbpr_serving.client.calls import Call
from tfdvbpr_serving.models.loading import DEFAULT_SIGNATURE
from tfdvbpr_serving.models.store import ModelStore
from tfdvbpr_serving.server.metrics import ServerMetrics
from tfdvbpr_serving.server.refusals import RequestError
from tfdvbpr_serving.server.runners import Arrays, SignatureRunner

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelChoice:
    """The model a request names.

    Attributes:
        name: of the model.
        version: None for the newest.
        label: of a version, instead of its number.
        signature: "" for serving_default.
    """

    name: str
    version: int | None = None
    label: str | None = None
    signature: str = ""


@dataclass(frozen=True)
class Answer:
    """The outputs, and who gave them."""

    model: str
    version: int
    signature: str
    outputs: Arrays


class Predictor:
    """Answers requests from the models of a store, and counts them.

    Args:
        store: the models.
        metrics: where requests are counted.
    """

    def __init__(self, store: ModelStore, metrics: ServerMetrics) -> None:
        self._store = store
        self._metrics = metrics

    def predict(
        self,
        choice: ModelChoice,
        read: Callable[[SignatureRunner], Arrays],
        *,
        output_filter: list[str],
        call: Call,
        protocol: str,
    ) -> Answer:
        """The answer to one request.

        Args:
            choice: who is to answer.
            read: the inputs, checked by the signature it is given.
            output_filter: outputs to return; empty for all.
            call: until when the answer is wanted.
            protocol: "grpc" or "rest", for the metrics.

        Raises:
            RequestError: with the gRPC status TensorFlow Serving would give; whatever is unforeseen becomes INTERNAL.
        """
        start = time.perf_counter()
        labels, status = ("", ""), grpc.StatusCode.OK
        try:
            model = self._store.acquire(choice.name, version=choice.version, label=choice.label)
            try:
                runner = model.runner(choice.signature or DEFAULT_SIGNATURE)
                labels = (model.name, runner.name)  # only names that exist: a metric for each invention would never end
                wanted = runner.wanted_outputs(output_filter)
                outputs = model.answer(runner, read(runner), call)
            finally:
                model.release()
            chosen = outputs if len(wanted) == len(outputs) else {name: outputs[name] for name in wanted}
            return Answer(model.name, model.version, runner.name, chosen)
        except RequestError as error:
            status = error.code
            raise
        except Exception as error:
            status = grpc.StatusCode.INTERNAL
            _log.exception("A request failed")
            raise RequestError(status, f"{type(error).__name__}: {error}. See the server's log.") from error
        finally:
            self._metrics.request(*labels, status.name, protocol, time.perf_counter() - start)
