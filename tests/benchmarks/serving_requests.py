"""The requests of the load benchmark, made without TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.messages import predict_request
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import GetModelStatusRequest

STATUS = "status"  # no signature: a call that computes nothing
USERS, ITEMS = 10_000, 50_000


def inputs_of(signature: str, number: int) -> dict[str, np.ndarray[Any, Any]]:
    """One row: a user and, for `score`, twenty items."""
    values = {"user_ids": [f"u{number % USERS}"], "item_ids": [[f"i{(number * 7 + i) % ITEMS}" for i in range(20)]]}
    found = {}
    for name, tensor in SIGNATURES[signature].inputs.items():
        value = values[name] if name in values else SIGNATURES[signature].neutral(name, 1)
        found[name] = np.array(value, dtype=object if tensor.dtype == "string" else tensor.dtype)
    return found


def request_of(signature: str, number: int) -> bytes:
    spec = messages.model_spec("recommender", signature=signature)
    if signature == STATUS:
        return bytes(GetModelStatusRequest(model_spec=messages.model_spec("recommender")).SerializeToString())
    return bytes(predict_request(spec, inputs_of(signature, number)).SerializeToString())
