"""Calls a server without a pause from 8 threads until a version has responded: TARGET VERSION.

Prints "seen N" when N has responded for the first time. Exits with 1 if a call failed, a response came from another
version than it says, an echo was wrong, or a thread saw an older version after a newer one.
"""

from __future__ import annotations

import sys
import threading
import time

import grpc
import numpy as np

from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.messages import array_from_tensor, predict_request
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictResponse

THREADS = 8


def main(target: str, last: int) -> int:
    seen: set[int] = set()
    problems: list[str] = []
    counts = [0] * THREADS
    lock = threading.Lock()

    def call_until_last(number: int, channel: grpc.Channel) -> None:
        call = channel.unary_unary(messages.PREDICT, response_deserializer=PredictResponse.FromString)
        newest = 0
        while last not in seen and not problems:
            x = np.array([number + counts[number]], dtype=np.float32)
            request = predict_request(messages.model_spec("versioned"), {"x": x}).SerializeToString()
            try:
                response = call(request, timeout=20)
            except grpc.RpcError as error:
                problems.append(f"{error.code().name}: {error.details()}")
                return
            version = int(response.model_spec.version.value)
            numbers = array_from_tensor(response.outputs["version"]).tolist()
            if array_from_tensor(response.outputs["x"]).tolist() != x.tolist() or numbers != [version]:
                problems.append(f"wrong: version {version} sent {numbers}")
            if version < newest:
                problems.append(f"version {version} after {newest}")
            newest = max(newest, version)
            counts[number] += 1
            with lock:
                if version not in seen:
                    seen.add(version)
                    print("seen", version, flush=True)

    start = time.monotonic()
    with grpc.insecure_channel(target) as channel:
        threads = [threading.Thread(target=call_until_last, args=(number, channel)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seconds = time.monotonic() - start
    print(f"{sum(counts)} responses in {seconds:.0f} s, {len(problems)} failed or wrong {problems[:3]}", flush=True)
    return int(bool(problems) or min(counts) == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
