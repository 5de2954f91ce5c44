"""A server rejects what no client should send, and continues. tests/benchmarks/test_serving_fuzz.py sends 10,000."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from hostile_requests import KINDS, Code, good_request, hostile, problem_of

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.client.channels import MAX_MESSAGE_BYTES
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.server.server import LocalServer


@pytest.fixture(scope="module")
def predict(toy_server: LocalServer) -> Iterator[grpc.UnaryUnaryMultiCallable]:
    options = [("grpc.max_send_message_length", MAX_MESSAGE_BYTES)]
    with grpc.insecure_channel(toy_server.target, options=options) as channel:
        yield channel.unary_unary(messages.PREDICT)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gets_its_status_and_a_sentence(predict: grpc.UnaryUnaryMultiCallable, kind: str) -> None:
    rng = np.random.default_rng(sum(map(ord, kind)))
    for _ in range(2 if kind == "64 MB string" else 12):
        one = hostile(rng, kind)
        code, details = Code.OK, ""
        try:
            predict(one.request, timeout=30)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
        assert problem_of(one, code, details) is None
    assert predict(good_request(rng, "recommend").SerializeToString(), timeout=30)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_good_requests_are_answered(predict: grpc.UnaryUnaryMultiCallable, signature: str) -> None:
    assert predict(good_request(np.random.default_rng(0), signature).SerializeToString(), timeout=30)


def test_what_is_no_message_at_all(predict: grpc.UnaryUnaryMultiCallable) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(grpc.RpcError) as caught:
        predict(b"\xff" * 50, timeout=30)
    assert caught.value.code() == Code.INVALID_ARGUMENT
    assert "must be a PredictRequest" in caught.value.details()
    assert predict(good_request(rng, "score").SerializeToString(), timeout=30)
