"""Mixed load for the soak, in a process of its own: TARGET REST_URL REQUESTS HOSTILE SECONDS.

Prints a line of JSON every 30 s, and one with `"last": true` at the end. Each answer is compared with the right one of
the version that it names.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
from PIL import Image

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.messages import Arrays, array_from_tensor
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictRequest, PredictResponse

PROGRESS_SECONDS, CALL_SECONDS = 30.0, 120.0
HOSTILE_SHARE = 0.05
RELATIVE, ABSOLUTE = (
    1e-3,
    1e-4,
)  # scores of a batch and of a row alone differ in their last bits, and ascents add them up
MOST_LEVELS = 2  # of 255, likewise

ALLOWED = {"broken image": ("OK",)}  # a JPEG that is cut off may still be decoded, as far as it goes
SHED = ("RESOURCE_EXHAUSTED",)  # right for any request of a full server

# What each kind calls, how many callers it has, and how long each rests between two calls, in seconds.
KINDS: dict[str, tuple[tuple[str, ...], int, float]] = {
    "recommend": (("recommend", "recommend_for_items", "similar_items"), 3, 0.05),
    "score": (("score",), 2, 0.05),
    "images": (("score_images", "similar_images", "embed_images"), 2, 0.1),
    "design": (("design", "tailor", "generate"), 1, 0.1),
    "rest": (("recommend", "score", "score_images", "generate"), 2, 0.1),
    "cancelled": (("recommend", "embed_images", "design"), 1, 0.2),
}
# Bodies and paths that REST must refuse with a status of 4xx.
REST_GARBAGE = (
    ("recommender:predict", b"{" * 5000),
    ("recommender:predict", b'{"instances": [1e999, {"b64": 3}]}'),
    ("recommender:predict", b'{"inputs": {"user_ids": ["u0"]}, "instances": []}'),
    ("recommender:predict", b'{"signature_name": "score", "inputs": {"user_ids": [' + b"9" * 4000 + b"]}}"),
    ("recommender/versions/99999999999999999999:predict", b"{}"),
    ("no-such-model:predict", b'{"instances": [1]}'),
)


class Known:
    """A request, and its right answer by generation."""

    def __init__(self, signature: str, request: bytes, answers: list[bytes]) -> None:
        self.signature = signature
        self.request = request
        self.model = SIGNATURES[signature].model
        self.answers = [_arrays(PredictResponse.FromString(answer)) for answer in answers]
        tensors = PredictRequest.FromString(request).inputs
        inputs = {name: array_from_tensor(tensors[name]) for name in tensors}
        columns = {name: _json(array, binary=name.endswith("_bytes")) for name, array in inputs.items()}
        self.body = json.dumps({"signature_name": signature, "inputs": columns}).encode()

    def problem(self, answer: Arrays, version: int) -> str | None:
        """What is wrong with an answer of a version, None if nothing is."""
        right = self.answers[(version - 1) % len(self.answers)]
        if answer.keys() != right.keys():
            return f"{self.signature}: outputs {sorted(answer)}"
        scores = next((right[name] for name in ("scores", "similarities") if name in right), None)
        for name, array in answer.items():
            if array.shape != right[name].shape or not _alike(name, array, right[name], scores):
                return f"{self.signature} of version {version}: {name} is {array!r:.300}, not {right[name]!r:.300}"
        return None


def _arrays(response: Any) -> Arrays:
    return {name: array_from_tensor(tensor) for name, tensor in response.outputs.items()}


def _json(array: Any, *, binary: bool) -> Any:
    if array.dtype != object:
        return array.tolist()
    texts = [{"b64": base64.b64encode(v).decode()} if binary else v.decode() for v in array.ravel().tolist()]
    return np.array([*texts, None], dtype=object)[:-1].reshape(array.shape).tolist()


def _alike(name: str, array: Any, right: Any, scores: Any) -> bool:
    if name.endswith("_bytes"):
        return all(map(_same_image, array.ravel().tolist(), right.ravel().tolist()))
    if array.dtype.kind == "f":
        return bool(np.allclose(array, right, RELATIVE, ABSOLUTE, equal_nan=True))
    if name == "item_ids" and scores is not None and scores.shape == right.shape:
        return all(_same_order(*row) for row in zip(array, right, scores, strict=True))
    return bool(np.array_equal(array, right))


def _same_order(row: Any, right: Any, scores: Any) -> bool:
    """Whether two rows of items agree, but for places whose scores are equal up to rounding."""
    for place in np.flatnonzero(row != right):
        gaps = np.abs(np.delete(scores, place) - scores[place])
        if not gaps.size or gaps.min() > ABSOLUTE + RELATIVE * abs(scores[place]):
            return False
    return True


def _same_image(file: bytes, right: bytes) -> bool:
    if not file or not right:
        return file == right
    pixels, wanted = (np.asarray(Image.open(io.BytesIO(one)), np.int16) for one in (file, right))
    return pixels.shape == wanted.shape and int(np.abs(pixels - wanted).max()) <= MOST_LEVELS


class Soak:
    """Callers of every kind, and what became of their calls."""

    def __init__(self, target: str, rest_url: str, known: list[Known], hostile: list[dict[str, Any]]) -> None:
        self.known: defaultdict[str, list[Known]] = defaultdict(list)
        for one in known:
            self.known[one.signature].append(one)
        self.hostile = [
            (base64.b64decode(one["request"]), one["kind"], {*one["statuses"], *ALLOWED.get(one["kind"], ()), *SHED})
            for one in hostile
        ]
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.ms: defaultdict[str, list[float]] = defaultdict(list)
        self.problems: list[str] = []
        self.newest: Counter[str] = Counter(recommender=1, designer=1)  # version by model
        self.rest_url = rest_url
        options = [("grpc.max_send_message_length", -1)]
        self.predict = grpc.aio.insecure_channel(target, options=options).unary_unary(messages.PREDICT)
        self.http = httpx.AsyncClient(timeout=CALL_SECONDS, trust_env=False)
        self.random = random.Random(0)

    async def run(self, seconds: float) -> None:
        start = time.monotonic()
        callers = [
            self._repeat(kind, start + seconds, rest) for kind, (_, count, rest) in KINDS.items() for _ in range(count)
        ]
        await asyncio.gather(*callers, self._attack(start + seconds), self._tell(start, start + seconds))

    async def _repeat(self, kind: str, end: float, rest: float) -> None:
        call: Callable[[Known], Awaitable[str]] = {"rest": self._rest, "cancelled": self._cancelled}.get(
            kind, self._call
        )
        while time.monotonic() < end:
            one = self.random.choice(self.known[self.random.choice(KINDS[kind][0])])
            began = time.perf_counter()
            try:
                outcome = await call(one)
            except grpc.aio.AioRpcError as error:
                outcome = "busy" if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED else "failed"
                if outcome == "failed":
                    self.problems.append(f"{kind} {one.signature}: {error.code().name}: {error.details()}")
            except httpx.HTTPError as error:
                outcome = "failed"
                self.problems.append(f"{kind} {one.signature}: {error!r}")
            self.counts[kind][outcome] += 1
            if outcome == "ok":
                self.ms[kind].append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(rest * self.random.uniform(0.5, 1.5))

    async def _call(self, one: Known) -> str:
        return self._checked(one, PredictResponse.FromString(await self.predict(one.request, timeout=CALL_SECONDS)))

    def _checked(self, one: Known, response: Any) -> str:
        version = int(response.model_spec.version.value)
        self.newest[one.model] = max(self.newest[one.model], version)
        return self._judged(one.problem(_arrays(response), version))

    def _judged(self, problem: str | None) -> str:
        if problem is None:
            return "ok"
        self.problems.append(problem)
        return "wrong"

    async def _rest(self, one: Known) -> str:
        """Names the version, since a REST answer does not; the next one if that is no longer served."""
        for _ in range(3):
            version = self.newest[one.model]
            path = f"{self.rest_url}/v1/models/{one.model}/versions/{version}:predict"
            response = await self.http.post(path, content=one.body)
            if response.status_code != 404:
                break
            status = (await self.http.get(f"{self.rest_url}/v1/models/{one.model}")).json()["model_version_status"]
            served = [int(each["version"]) for each in status if each["state"] == "AVAILABLE"]
            self.newest[one.model] = max(served, default=version)
        if response.status_code == 429:
            return "busy"
        if response.status_code != 200:
            self.problems.append(f"rest {one.signature}: {response.status_code}: {response.text[:300]}")
            return "failed"
        outputs = response.json()["outputs"]
        if not isinstance(outputs, dict):  # one output alone has no name
            outputs = {next(iter(SIGNATURES[one.signature].outputs)): outputs}
        return self._judged(one.problem({name: _array(one, name, value) for name, value in outputs.items()}, version))

    async def _cancelled(self, one: Known) -> str:
        """Cancels a call after a moment; it may have ended before."""
        call = self.predict(one.request, timeout=CALL_SECONDS)
        await asyncio.sleep(self.random.choice((0.0, 0.002, 0.02)))
        call.cancel()
        try:
            return self._checked(one, PredictResponse.FromString(await call))
        except asyncio.CancelledError:
            return "cancelled"

    async def _attack(self, end: float) -> None:
        """Malformed requests: five of a hundred calls, every fourth over REST, each with a status that is right."""
        while time.monotonic() < end:
            sent = self.counts["hostile"].total()
            if sent >= HOSTILE_SHARE * sum(count.total() for count in self.counts.values()):
                await asyncio.sleep(0.1)
                continue
            outcome = await (self._garbage() if sent % 4 == 3 else self._malformed())
            self.counts["hostile"]["ok" if outcome is None else "wrong"] += 1
            if outcome is not None:
                self.problems.append(outcome)

    async def _malformed(self) -> str | None:
        request, kind, statuses = self.random.choice(self.hostile)
        try:
            await self.predict(request, timeout=CALL_SECONDS)
            code, details = "OK", ""
        except grpc.aio.AioRpcError as error:
            code, details = error.code().name, error.details() or ""
        return None if code in statuses else f"hostile {kind}: {code}: {details}"

    async def _garbage(self) -> str | None:
        path, body = self.random.choice(REST_GARBAGE)
        try:
            response = await self.http.post(f"{self.rest_url}/v1/models/{path}", content=body)
        except httpx.HTTPError as error:
            return f"REST {path}: {error!r}"
        return None if 400 <= response.status_code < 500 else f"REST {path}: {response.status_code} {response.text}"

    async def _tell(self, start: float, end: float) -> None:
        before: dict[str, int] = {}
        while (now := time.monotonic()) < end:
            await asyncio.sleep(min(PROGRESS_SECONDS, max(0.0, end - now)))
            recent = {kind: ms[before.get(kind, 0) :] for kind, ms in self.ms.items()}
            before = {kind: len(ms) for kind, ms in self.ms.items()}
            print(json.dumps(self._summary(recent, time.monotonic() - start)), flush=True)

    def _summary(self, ms: dict[str, list[float]], seconds: float) -> dict[str, Any]:
        return {
            "seconds": round(seconds),
            "versions": dict(self.newest),
            "counts": {kind: dict(count) for kind, count in self.counts.items()},
            "p50_ms": {kind: round(float(np.median(found)), 1) for kind, found in ms.items() if found},
            "p99_ms": {kind: round(float(np.percentile(found, 99)), 1) for kind, found in ms.items() if found},
            "problems": len(self.problems),
        }

    def result(self, seconds: float) -> dict[str, Any]:
        return self._summary(self.ms, seconds) | {"problems": self.problems, "last": True}


def _array(one: Known, name: str, value: Any) -> Any:
    """An output of REST as gRPC has it."""
    dtype = SIGNATURES[one.signature].outputs[name].dtype
    if dtype != "string":
        return np.array(value, dtype)
    shape, flat = [], value
    while isinstance(flat, list):
        shape.append(len(flat))
        flat = flat[0] if flat else None
    flat = value
    for _ in shape[1:]:
        flat = [each for row in flat for each in row]
    array = np.empty(len(flat), object)
    array[:] = [base64.b64decode(v["b64"]) if isinstance(v, dict) else v.encode() for v in flat]
    return array.reshape(shape)


async def main(target: str, rest_url: str, requests: Path, hostile: Path, seconds: float) -> None:
    known = [
        Known(one["signature"], base64.b64decode(one["request"]), [base64.b64decode(a) for a in one["answers"]])
        for one in json.loads(requests.read_text())
    ]
    soak = Soak(target, rest_url, known, json.loads(hostile.read_text()))
    await soak.run(seconds)
    print(json.dumps(soak.result(seconds)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), float(sys.argv[5])))
