"""Malformed tensors by the million, and good requests beside attacks that know the protocol (`make fuzz`).

Environment: TFDVBPR_FUZZ_TENSORS (1,000,000).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import grpc
import httpx
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from serving_bench import Served, load, served

from tfdvbpr_serving.protocol import messages

TENSORS = int(os.environ.get("TFDVBPR_FUZZ_TENSORS", "1000000"))
TURNS, SECONDS = 3, 4.0  # good requests alone and beside an attack by turns
MOST_RATIO, MOST_GROWTH, ATTACKERS = 2.0, 1.05, 2
RIGHT = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED",
         "PERMISSION_DENIED", "OUT_OF_RANGE", "UNAUTHENTICATED"}  # fmt: skip

Attack = Callable[[Served, int, threading.Event], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from serving_toy_models import save_designer, save_recommender

    root = tmp_path_factory.mktemp("models")
    save_recommender(root / "recommender" / "1")
    save_designer(root / "designer" / "1")
    with served(str(root / "recommender"), str(root / "designer"), "--rest-port", "0") as found:
        yield found


def test_a_million_malformed_tensors(tmp_path: Path) -> None:
    """Through the functions that read a request in the server: its cost, its parsing, the check by the signature."""
    from hostile_requests import good_request
    from serving_fuzz_inputs import malformed_tensors
    from serving_toy_models import save_recommender

    from tfdvbpr_serving.config import BatchingOptions, ServerLimits
    from tfdvbpr_serving.models.loading import ServingOptions, load_model
    from tfdvbpr_serving.protocol.tensorflow_pb2 import TensorProto
    from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictRequest
    from tfdvbpr_serving.server.cost import MemoryBudget, message_bytes
    from tfdvbpr_serving.server.requests import RequestError, invalid_argument

    save_recommender(tmp_path / "1")
    limits = ServerLimits()
    model = load_model("recommender", 1, tmp_path / "1", options=ServingOptions(BatchingOptions(), limits))
    budget, outcomes, rss = MemoryBudget(limits.max_bytes_in_progress), Counter[str](), []
    rng = np.random.default_rng(0)
    goods = {
        name: PredictRequest.FromString(good_request(rng, name, rows=2).SerializeToString()).inputs
        for name in model.signature_defs
        if name != "serving_default"
    }
    names = {name: [s for s, inputs in goods.items() if name in inputs] for inputs in goods.values() for name in inputs}
    for number, (name, body) in enumerate(islice(malformed_tensors(0), TENSORS)):
        try:
            with budget.reserve(len(body)) as reservation:
                reservation.add(message_bytes(TensorProto.DESCRIPTOR, body, max_values=limits.max_values))
                signature = names.get(name, ["score"])[number % len(names.get(name, ["score"]))]
                inputs = {key: goods[signature][key] for key in goods[signature]}
                try:
                    inputs[name] = TensorProto.FromString(body)
                except Exception as error:
                    raise invalid_argument("unreadable") from error
                model.runner(signature).read(inputs, reservation)
            outcomes["valid by chance"] += 1
        except RequestError as error:
            outcomes[error.code.name] += 1
        if number % max(1, TENSORS // 20) == 0:
            rss.append(psutil.Process().memory_info().rss / 2**20)
    print(f"\n{TENSORS} tensors: {dict(outcomes)}; RSS in MiB: {[round(each) for each in rss]}")
    assert set(outcomes) <= {"valid by chance", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
    assert budget.used == 0
    assert max(rss[2:]) <= MOST_GROWTH * rss[1]


def _examples(strategy: st.SearchStrategy, count: int) -> list:
    """Hypothesis's own examples, the same in each run."""
    found: list = []

    @settings(max_examples=count, database=None, derandomize=True, phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategy)
    def collect(one: object) -> None:
        found.append(one)

    collect()
    return found


class Attacks:
    """Each calls the server until it is stopped. Statuses that are not right are kept in `problems`."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.problems: list[str] = []
        self._bodies: list[bytes] = []
        self._rest: list[tuple[bytes, dict[str, str]]] = []

    def protos(self, server: Served, seed: int, stopping: threading.Event) -> None:
        from serving_fuzz_inputs import METHODS, grpc_bodies

        self._bodies = self._bodies or _examples(grpc_bodies(), 400)
        rng = np.random.default_rng(seed)
        self._call(server, stopping, lambda: (
            METHODS[0] if rng.random() < 0.7 else METHODS[rng.integers(len(METHODS))],
            self._bodies[rng.integers(len(self._bodies))],
        ))  # fmt: skip

    def requests(self, server: Served, seed: int, stopping: threading.Event) -> None:
        from hostile_requests import hostile

        rng = np.random.default_rng(seed)
        pool = [hostile(rng).request for _ in range(200)]
        pool = [one for one in pool if len(one) < 2**22]
        self._call(server, stopping, lambda: (messages.PREDICT, pool[rng.integers(len(pool))]))

    def images(self, server: Served, seed: int, stopping: threading.Event) -> None:
        from hostile_requests import hostile

        rng = np.random.default_rng(seed)
        kinds = ("many scans", "image bomb", "broken image", "flipped image")
        pool = [hostile(rng, kind).request for kind in kinds for _ in range(10)]
        self._call(server, stopping, lambda: (messages.PREDICT, pool[rng.integers(len(pool))]))

    def rest(self, server: Served, seed: int, stopping: threading.Event) -> None:
        from serving_fuzz_inputs import PATHS, rest_bodies

        self._rest = self._rest or _examples(rest_bodies(), 300)
        rng = np.random.default_rng(seed)
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not stopping.is_set():
                body, headers = self._rest[rng.integers(len(self._rest))]
                path = PATHS[rng.integers(len(PATHS))]
                response = client.post(f"{server.rest_url}/v1/models/{path}", content=body, headers=headers)
                self._note(f"REST {path}", str(response.status_code), response.status_code < 500)

    def half_requests(self, server: Served, seed: int, stopping: threading.Event) -> None:
        """Sockets with half a header or half a body, all open at once, for both ports."""
        halves = (b"POST /v1/models/recommender:predict HTTP/1.1\r\nHost: x",
                  b"POST /v1/models/recommender:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
                  b"PRI * HTTP/2.0\r\n\r\nSM")  # fmt: skip
        ports = [int(address.rsplit(":", 1)[1]) for address in (server.target, server.rest_url)]
        with ExitStack() as stack:
            while not stopping.is_set():
                if self.sent["half request"] >= 600:
                    stopping.wait(0.1)
                    continue
                try:
                    one = stack.enter_context(socket.create_connection(("127.0.0.1", ports[seed % 2]), timeout=10))
                    one.sendall(halves[self.sent["half request"] % len(halves)])
                except OSError:
                    stopping.wait(0.05)
                self._note("half request", "sent", True)

    def no_message(self, server: Served, seed: int, stopping: threading.Event) -> None:
        """gRPC calls that never send their message."""

        def silence() -> Iterator[bytes]:
            stopping.wait()
            return
            yield

        with grpc.insecure_channel(server.target, [("seed", seed)]) as channel:
            call = channel.stream_unary(messages.PREDICT)
            while not stopping.is_set():
                if self.sent["no message"] < 300:
                    call.future(silence(), timeout=120)
                    self._note("no message", "sent", True)
                else:
                    stopping.wait(0.1)

    def _call(self, server: Served, stopping: threading.Event, next_one: Callable[[], tuple[str, bytes]]) -> None:
        with grpc.insecure_channel(server.target) as channel:
            while not stopping.is_set():
                method, body = next_one()
                try:
                    channel.unary_unary(method)(body, timeout=60)
                    status, details = "OK", ""
                except grpc.RpcError as error:
                    status, details = error.code().name, error.details()
                self._note(f"{method}: {details}", status, status in RIGHT)

    def _note(self, what: str, status: str, right: bool) -> None:
        self.sent[status if what != "half request" and what != "no message" else what] += 1
        if not right:
            self.problems.append(f"{what}: {status}")


@pytest.mark.parametrize("kind", ["protos", "requests", "images", "rest", "half_requests", "no_message"])
def test_good_requests_beside_an_attack(server: Served, kind: str) -> None:
    attacks = Attacks()
    with _attacking(server, attacks, kind):  # makes its examples; not measured
        time.sleep(1)
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    alone, beside = [], []
    for _ in range(TURNS):
        alone.append(load(server.target, "recommend", concurrency=1, seconds=SECONDS)["p50_ms"])
        with _attacking(server, attacks, kind):
            beside.append(load(server.target, "recommend", concurrency=1, seconds=SECONDS)["p50_ms"])
    growth = process.memory_info().rss / before
    ratio = float(np.median(beside) / np.median(alone))
    print(f"\n{kind}: p50 alone {np.round(alone, 1)} ms, beside {np.round(beside, 1)} ms, ratio {ratio:.2f}, "
          f"RSS x {growth:.3f}, sent {dict(attacks.sent)}")  # fmt: skip
    assert attacks.problems == []
    assert ratio <= MOST_RATIO
    assert growth <= MOST_GROWTH


@contextmanager
def _attacking(server: Served, attacks: Attacks, kind: str) -> Iterator[None]:
    stopping = threading.Event()
    threads = [
        threading.Thread(target=getattr(attacks, kind), args=(server, seed, stopping)) for seed in range(ATTACKERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
