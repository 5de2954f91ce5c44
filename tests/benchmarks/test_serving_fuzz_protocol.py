"""Malformed tensors by the million, and good requests beside attacks that know the protocol (`make fuzz`).

Environment: TFDVBPR_FUZZ_TENSORS (1,000,000).
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
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
MOST_REFUSED = 1.0  # refusals (RESOURCE_EXHAUSTED) for each answer
HELD = 300  # half requests of each attacker
SILENT = 150  # calls without a message of each attacker
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
        _warm_up(found)
        yield found


def _warm_up(server: Served) -> None:
    """Good requests of every kind, 32 at once: the threads, decoders and buffers that a server in use has."""
    from hostile_requests import good_request

    rng = np.random.default_rng(0)
    with grpc.insecure_channel(server.target) as channel, ThreadPoolExecutor(32) as pool:
        predict = channel.unary_unary(messages.PREDICT)
        for signature in ("recommend", "score", "embed_images", "design", "generate"):
            requests = [good_request(rng, signature).SerializeToString() for _ in range(200)]
            list(pool.map(lambda request: _status_of(predict, request), requests))
    load(server.target, "recommend", concurrency=32, seconds=SECONDS)


def _status_of(predict: Callable[..., object], request: bytes) -> tuple[str, str]:
    """The status of a call and what it says."""
    try:
        predict(request, timeout=60)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


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
                try:
                    response = client.post(f"{server.rest_url}/v1/models/{path}", content=body, headers=headers)
                except httpx.NetworkError:  # the server reads no more of a body that it has refused
                    self._note(path, "closed", True)
                else:
                    self._note(path, str(response.status_code), response.status_code < 500)

    def half_requests(self, server: Served, seed: int, stopping: threading.Event) -> None:
        """Sockets with half a header or half a body: `HELD` of them all the time, on one of the two ports each."""
        halves = (b"POST /v1/models/recommender:predict HTTP/1.1\r\nHost: localhost",
                  b"POST /v1/models/recommender:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
                  b"PRI * HTTP/2.0\r\n\r\nSM")  # fmt: skip
        host, port = (server.target, server.rest_url.removeprefix("http://"))[seed % 2].rsplit(":", 1)
        with ExitStack() as stack, selectors.DefaultSelector() as open_ones:
            while not stopping.wait(0.01):
                for _ in range(HELD - len(open_ones.get_map())):
                    one = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
                    one.sendall(halves[self.sent["sent"] % len(halves)])
                    open_ones.register(one, selectors.EVENT_READ)
                    self._note("half a request", "sent", True)
                for key, _ in open_ones.select(0):
                    if _has_ended(key.fileobj):  # type: ignore[arg-type]
                        open_ones.unregister(key.fileobj)
                        self._note("half a request", "cut off", True)

    def no_message(self, server: Served, seed: int, stopping: threading.Event) -> None:
        """gRPC calls that never send their message: `SILENT` of them all the time, over ten connections."""
        with ExitStack() as stack:
            channels = [
                stack.enter_context(grpc.insecure_channel(server.target, [("n", 10 * seed + n)])) for n in range(10)
            ]
            calls = [channel.stream_unary(messages.PREDICT) for channel in channels]
            running: list[grpc.Future] = []
            while not stopping.wait(0.1):
                self.sent.update(call.code().name for call in running if call.done())  # type: ignore[attr-defined]
                running = [call for call in running if not call.done()]
                for number in range(SILENT - len(running)):
                    ended = threading.Event()
                    running.append(calls[number % 10].future(iter(ended.wait, True), timeout=120))
                    running[-1].add_done_callback(lambda _, ended=ended: ended.set())  # type: ignore[misc]
                    self._note("no message", "sent", True)

    def good_calls(self, server: Served, seed: int, stopping: threading.Event) -> None:
        """No attack: what as many good callers cost, who are as fast."""
        from hostile_requests import good_request

        body = good_request(np.random.default_rng(seed), "recommend").SerializeToString()
        self._call(server, stopping, lambda: (messages.PREDICT, body))

    def resets(self, server: Served, seed: int, stopping: threading.Event) -> None:
        """Good calls that are cancelled as soon as they are sent."""
        from hostile_requests import good_request

        body = good_request(np.random.default_rng(seed), "recommend").SerializeToString()
        with grpc.insecure_channel(server.target, [("n", seed)]) as channel:
            predict = channel.unary_unary(messages.PREDICT)
            while not stopping.is_set():
                for call in [predict.future(body, timeout=60) for _ in range(20)]:
                    call.cancel()
                    self._note("reset", "sent", True)

    def _call(self, server: Served, stopping: threading.Event, next_one: Callable[[], tuple[str, bytes]]) -> None:
        with grpc.insecure_channel(server.target) as channel:
            while not stopping.is_set():
                method, body = next_one()
                status, details = _status_of(channel.unary_unary(method), body)
                self._note(f"{method}: {details}", status, status in RIGHT)

    def _note(self, what: str, status: str, right: bool) -> None:
        self.sent[status] += 1
        if not right:
            self.problems.append(f"{what}: {status}")


def _has_ended(one: socket.socket) -> bool:
    """Whether the server has closed a connection; what it has sent is read."""
    try:
        return not one.recv(2**16)
    except OSError:
        return True


@pytest.mark.parametrize(
    "kind", ["protos", "requests", "images", "rest", "half_requests", "no_message", "resets", "good_calls"]
)
def test_good_requests_beside_an_attack(server: Served, kind: str) -> None:
    attacks, memory = Attacks(), Memory(server.pid)
    with _attacking(server, attacks, kind):  # makes its examples; not measured
        time.sleep(1)
    one_turn = partial(load, server.target, "recommend", concurrency=1, seconds=SECONDS)
    turns = []
    for _ in range(TURNS):
        before = one_turn()
        with _attacking(server, attacks, kind), memory:
            turns.append((before, one_turn()))
    alone, beside = ([turn["p50_ms"] for turn in each] for each in zip(*turns, strict=True))
    ratio = float(np.median(beside) / np.median(alone))
    refused = sum(turn["busy"] for _, turn in turns) / (SECONDS * sum(turn["per_second"] for _, turn in turns))
    print(f"\n{kind}: p50 alone {np.round(alone, 1)} ms, beside {np.round(beside, 1)} ms, ratio {ratio:.2f}, "
          f"{refused:.3f} refusals an answer, "
          f"RSS {memory}, sent {dict(attacks.sent)}")  # fmt: skip
    assert attacks.problems == []
    assert ratio <= MOST_RATIO or kind == "good_calls"  # the measure of what two callers cost, not an attack
    assert refused <= MOST_REFUSED
    assert memory.growth <= MOST_GROWTH


class Memory:
    """The resident memory of a server and its image decoders, sampled while `with` blocks run."""

    def __init__(self, pid: int) -> None:
        self._processes = [psutil.Process(pid), *psutil.Process(pid).children()]
        self._before = self._mib()
        self._samples: list[float] = []

    def _mib(self) -> float:
        found = 0
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):  # a decoder that was killed
                found += process.memory_info().rss
        return found / 2**20

    def __enter__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stopping.wait(0.1):
            self._samples.append(self._mib())

    @property
    def growth(self) -> float:
        """Of the median sample of the last tenth, over what it was before."""
        return float(np.median(self._samples[-len(self._samples) // 10 :])) / self._before

    def __str__(self) -> str:
        most = max(self._samples) / self._before
        return f"{self._before:.0f} MiB before, x {most:.3f} at most, x {self.growth:.3f} at last"


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
