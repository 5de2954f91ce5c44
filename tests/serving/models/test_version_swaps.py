"""New versions while requests never stop. tests/benchmarks/test_serving_swaps.py swaps ten times."""

from __future__ import annotations

import threading
from pathlib import Path

import grpc
import numpy as np
from serving_toy_models import save_version
from waiting import wait_until

from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.messages import array_from_tensor, predict_request
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictResponse
from tfdvbpr_serving.server.server import LocalServer


def test_two_swaps_under_load(tmp_path: Path) -> None:
    base = tmp_path / "versioned"
    save_version(base / "1", 1)
    seen: list[int] = []
    problems: list[str] = []

    def call_until_swapped(channel: grpc.Channel) -> None:
        call = channel.unary_unary(messages.PREDICT, response_deserializer=PredictResponse.FromString)
        x = np.array([0.5, 2.0], dtype=np.float32)
        request = predict_request(messages.model_spec("versioned"), {"x": x}).SerializeToString()
        while 3 not in seen and not problems:
            try:
                response = call(request, timeout=20)
            except grpc.RpcError as error:
                problems.append(f"{error.code()}: {error.details()}")
                return
            version = int(response.model_spec.version.value)
            numbers = array_from_tensor(response.outputs["version"]).tolist()
            if numbers != [version] * 2 or array_from_tensor(response.outputs["x"]).tolist() != [0.5, 2.0]:
                problems.append(f"version {version} sent {numbers}")
            seen.append(version)

    with LocalServer({"versioned": base}, poll_seconds=0.05) as server, grpc.insecure_channel(server.target) as channel:
        threads = [threading.Thread(target=call_until_swapped, args=(channel,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: 1 in seen or bool(problems))
        for number in (2, 3):
            save_version(base / str(number), number)
        for thread in threads:
            thread.join(60)
        assert problems == []
        assert {1, 3} <= set(seen)
        assert [m.version for m in server.models] == [3]
