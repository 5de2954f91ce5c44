"""A bounded closed loop of requests, in a process of its own: TARGET SIGNATURE CONCURRENCY SECONDS; prints JSON.

A request that a full server refuses is counted ("busy") and sent again after 10 ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import grpc
import numpy as np
from serving_requests import STATUS, request_of

from tfdvbpr_serving.protocol import messages


async def run(target: str, signature: str, concurrency: int, seconds: float) -> dict[str, float]:
    requests = [request_of(signature, number) for number in range(512)]
    latencies: list[float] = []
    busy = 0
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(messages.GET_MODEL_STATUS if signature == STATUS else messages.PREDICT)

        async def answered(request: bytes) -> float:
            """Seconds that the answer took."""
            nonlocal busy
            while True:
                start = time.perf_counter()
                try:
                    await call(request, timeout=30)
                    return time.perf_counter() - start
                except grpc.aio.AioRpcError as error:
                    if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise
                    busy += 1
                    await asyncio.sleep(0.01)

        for request in requests[:100]:
            await answered(request)
        end = time.perf_counter() + seconds

        async def loop(first: int) -> None:
            number = first
            while time.perf_counter() < end:
                latencies.append(await answered(requests[number % len(requests)]))
                number += concurrency

        await asyncio.gather(*(loop(first) for first in range(concurrency)))
    ms = np.array(latencies) * 1e3
    return {
        "p5_ms": float(np.percentile(ms, 5)),
        "p50_ms": float(np.percentile(ms, 50)),
        "p99_ms": float(np.percentile(ms, 99)),
        "per_second": len(ms) / seconds,
        "busy": busy,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))))
