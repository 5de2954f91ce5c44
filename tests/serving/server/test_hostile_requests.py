"""A server rejects what no client should send, and continues. tests/benchmarks/test_serving_fuzz.py sends 10,000."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from hostile_requests import KINDS, Code, Request, good_request, hostile, problem_of, set_all
from waiting import wait_until

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.client.channels import MAX_MESSAGE_BYTES
from tfdvbpr_serving.config import ServerLimits
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


def test_a_message_of_many_empty_messages(predict: grpc.UnaryUnaryMultiCallable) -> None:
    """600 kB of empty map entries would be 60 MB once they are parsed."""
    rng = np.random.default_rng(0)
    with pytest.raises(grpc.RpcError) as caught:
        predict(good_request(rng, "score").SerializeToString() + b"\x12\x00" * 300_000, timeout=30)
    assert (caught.value.code(), "values" in caught.value.details()) == (Code.INVALID_ARGUMENT, True)


def test_requests_in_progress_share_a_budget_of_memory(model_folders: dict[str, Path]) -> None:
    """One design holds its memory; what needs more than the rest is refused, and served once the design has ended."""
    limits = ServerLimits(max_bytes_in_progress=12 * 2**20)
    with LocalServer(model_folders, limits=limits) as server, grpc.insecure_channel(server.target) as channel:
        predict = channel.unary_unary(messages.PREDICT)
        rng = np.random.default_rng(0)
        design, large = good_request(rng, "design", rows=1), good_request(rng, "score", rows=1)
        set_all(design, "num_steps", 2**31 - 1)
        for request in (design, large):
            request.inputs["user_ids"].string_val[0] = bytes(2_500_000)
        running = [predict.future(design.SerializeToString(), timeout=600)]

        def memory_is_held() -> bool:
            if running[-1].done():  # it was refused while `large` had the memory
                running.append(predict.future(design.SerializeToString(), timeout=600))
            return refused(predict, large)

        wait_until(memory_is_held)
        assert predict(good_request(rng, "score").SerializeToString(), timeout=30)
        running[-1].cancel()
        wait_until(lambda: not refused(predict, large))


def refused(predict: grpc.UnaryUnaryMultiCallable, request: Request) -> bool:
    try:
        predict(request.SerializeToString(), timeout=30)
    except grpc.RpcError as error:
        return error.code() == Code.RESOURCE_EXHAUSTED and "The server is full" in error.details()
    return False
