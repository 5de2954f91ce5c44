"""Callers that call again at once, whatever the answer, in a process of its own: TARGET CALLERS SECONDS.

Prints JSON: calls by status and by the client's error, and the milliseconds of those that were answered or refused.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import grpc
import numpy as np
from serving_requests import request_of

from tfdvbpr_serving.errors import CallSite, error_from_grpc
from tfdvbpr_serving.protocol import messages

CALL = "recommend"


async def run(target: str, callers: int, seconds: float) -> dict[str, Any]:
    statuses: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    ms: dict[str, list[float]] = {"answered": [], "refused": []}
    requests = [request_of(CALL, number) for number in range(256)]
    site = CallSite(target, "recommender", CALL, 60.0)
    async with grpc.aio.insecure_channel(target) as channel:
        await channel.channel_ready()
        call = channel.unary_unary(messages.PREDICT)
        end = time.monotonic() + seconds

        async def repeat(number: int) -> None:
            while time.monotonic() < end:
                start = time.perf_counter()
                try:
                    await call(requests[number % len(requests)], timeout=site.timeout_seconds)
                    status, outcome = "OK", "answered"
                except grpc.aio.AioRpcError as error:
                    status, outcome = error.code().name, "refused"
                    found = error_from_grpc(error.code(), error.details(), call=site)
                    errors[f"{type(found).__name__}: {(error.details() or '')[:70]}"] += 1
                statuses[status] += 1
                ms[outcome].append(1000 * (time.perf_counter() - start))

        await asyncio.gather(*(repeat(number) for number in range(callers)))
    p50 = {name: round(float(np.median(each)), 1) for name, each in ms.items() if each}
    return {"statuses": dict(statuses), "errors": dict(errors), "p50_ms": p50}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
