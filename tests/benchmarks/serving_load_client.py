"""A bounded closed loop of requests, in a process of its own: TARGET SIGNATURE CONCURRENCY SECONDS; prints JSON."""

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
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(messages.GET_MODEL_STATUS if signature == STATUS else messages.PREDICT)
        for request in requests[:100]:
            await call(request, timeout=30)
        end = time.perf_counter() + seconds

        async def loop(first: int) -> None:
            number = first
            while (start := time.perf_counter()) < end:
                await call(requests[number % len(requests)], timeout=30)
                latencies.append(time.perf_counter() - start)
                number += concurrency

        await asyncio.gather(*(loop(first) for first in range(concurrency)))
    ms = np.array(latencies) * 1e3
    return {
        "p5_ms": float(np.percentile(ms, 5)),
        "p50_ms": float(np.percentile(ms, 50)),
        "p99_ms": float(np.percentile(ms, 99)),
        "per_second": len(ms) / seconds,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))))
