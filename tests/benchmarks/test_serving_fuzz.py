"""10,000 hostile requests from four threads: each gets the right status and a sentence, and memory stays flat."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import psutil
from serving_bench import served

from tfdvbpr_serving.client.channels import MAX_MESSAGE_BYTES
from tfdvbpr_serving.protocol import messages

REQUESTS, THREADS, ROUNDS = 10_000, 4, 5


def test_ten_thousand_hostile_requests(tmp_path: Path) -> None:
    from hostile_requests import Code, good_request, hostile, problem_of
    from serving_toy_models import save_designer, save_recommender

    save_recommender(tmp_path / "recommender" / "1")
    save_designer(tmp_path / "designer" / "1")
    target = os.environ.get("TFDVBPR_SERVING_TARGET")
    assert target is None, "This benchmark measures the memory of a server of its own."
    kinds: Counter[str] = Counter()
    problems: list[str] = []
    rss: list[float] = []
    with served(str(tmp_path / "recommender"), str(tmp_path / "designer")) as server:
        channel = grpc.insecure_channel(server.target, options=[("grpc.max_send_message_length", MAX_MESSAGE_BYTES)])
        predict = channel.unary_unary(messages.PREDICT)

        def send(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(REQUESTS // THREADS // ROUNDS):
                one = hostile(rng)
                kinds[one.kind] += 1
                code, details = Code.OK, ""
                try:
                    predict(one.request, timeout=60)
                except grpc.RpcError as error:
                    code, details = error.code(), error.details()
                found = problem_of(one, code, details)
                if found:
                    problems.append(found)

        for turn in range(ROUNDS):
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(send, range(turn * THREADS, (turn + 1) * THREADS)))
            rng = np.random.default_rng(turn)
            for signature in ("recommend", "score", "embed_images", "design", "generate"):
                assert predict(good_request(rng, signature).SerializeToString(), timeout=30)
            rss.append(psutil.Process(server.pid).memory_info().rss / 2**20)
        channel.close()
    print(f"{sum(kinds.values())} requests of {len(kinds)} kinds: {dict(kinds.most_common())}")
    print("RSS in MiB after each fifth:", [round(value) for value in rss])
    assert problems == []
    assert rss[-1] < rss[0] * 1.10
