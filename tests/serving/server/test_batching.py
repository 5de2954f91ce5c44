"""Requests that are joined into batches: by a batcher alone, and through a server."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest
from image_files import png
from waiting import wait_until

from tfdvbpr_serving.client import Client
from tfdvbpr_serving.client.responses import Recommendations
from tfdvbpr_serving.config import BatchingOptions, ServerLimits
from tfdvbpr_serving.errors import InvalidRequestError, ModelLoadError, ServerBusyError
from tfdvbpr_serving.protocol.messages import Arrays
from tfdvbpr_serving.server.batching import Batcher, Work
from tfdvbpr_serving.server.requests import RequestContext, RequestError
from tfdvbpr_serving.server.runners import Cancellation
from tfdvbpr_serving.server.server import LocalServer

ONE_THREAD = BatchingOptions(max_batch_size=4, num_batch_threads=1, max_enqueued_batches=2)


class Doubling:
    """Doubles x, notes the rows of every batch, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, arrays: Arrays, cancellation: Cancellation) -> Arrays:
        self.batches.append(arrays["x"].tolist())
        assert self.free.wait(20)
        if (arrays["x"] < 0).any():
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, "x must be 0 or more.")
        return {"y": arrays["x"] * 2}


class Held:
    """A batcher whose first request runs until `release`, so that what comes after has to wait."""

    def __init__(self, options: BatchingOptions = ONE_THREAD, *, joins: bool = True, max_waiting: int = 8) -> None:
        self.run = Doubling()
        self.run.free.clear()
        self.batcher = Batcher(options=options, joins=joins, max_waiting=max_waiting)
        self.work = Work(self.run, lambda *_: None)
        self.pool = ThreadPoolExecutor(16)
        self.first = self._submitted(0.0)
        wait_until(lambda: self.run.batches == [[0.0]])

    def _submitted(self, *values: float, kind: object = None, context: RequestContext | None = None) -> Future[Arrays]:
        arrays: Arrays = {"x": np.array(values)}
        return self.pool.submit(
            self.batcher.predict, self.work, arrays, rows=len(values), kind=kind, context=context or RequestContext()
        )

    def submit(self, *values: float, kind: object = None, context: RequestContext | None = None) -> Future[Arrays]:
        """Returns once the request waits, or has been rejected."""
        before = self.waiting
        future = self._submitted(*values, kind=kind, context=context)
        wait_until(lambda: self.waiting > before or future.done() or self.run.free.is_set())
        return future

    @property
    def waiting(self) -> int:
        return self.batcher.waiting(self.work)

    def release(self) -> None:
        self.run.free.set()


def test_waiting_requests_share_a_batch_and_get_their_own_rows() -> None:
    held = Held()
    futures = [held.submit(1.0), held.submit(2.0, 3.0), held.submit(4.0), held.submit(5.0)]
    held.release()
    assert [f.result(10)["y"].tolist() for f in futures] == [[2], [4, 6], [8], [10]]
    assert held.run.batches == [[0], [1, 2, 3, 4], [5]]  # at most four rows


def test_kinds_are_not_mixed() -> None:
    held = Held()
    futures = [held.submit(1.0, kind="a"), held.submit(2.0, kind="b"), held.submit(3.0, kind="a")]
    held.release()
    assert [f.result(10)["y"].tolist() for f in futures] == [[2], [4], [6]]
    assert held.run.batches == [[0], [1, 3], [2]]


def test_an_invalid_request_fails_alone() -> None:
    held = Held()
    futures = [held.submit(1.0), held.submit(-1.0), held.submit(2.0)]
    held.release()
    assert [futures[i].result(10)["y"].tolist() for i in (0, 2)] == [[2], [4]]
    with pytest.raises(RequestError, match="x must be 0 or more"):
        futures[1].result(10)


def test_designs_are_never_joined() -> None:
    held = Held(joins=False)
    futures = [held.submit(*range(1, 9)), held.submit(9.0)]  # more rows than max_batch_size, and no matter
    held.release()
    assert futures[1].result(10)["y"].tolist() == [18]
    assert held.run.batches == [[0], list(range(1, 9)), [9]]


def test_a_full_queue_rejects_requests_at_once() -> None:
    held = Held(max_waiting=3)
    waiting = [held.submit(1.0, 2.0), held.submit(3.0)]
    with pytest.raises(RequestError, match="at most 3 may wait") as caught:
        held.submit(4.0).result(10)
    assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    held.release()
    assert waiting[1].result(10)["y"].tolist() == [6]
    assert held.submit(5.0).result(10)["y"].tolist() == [10]


def test_a_request_whose_deadline_passes_in_the_queue_is_not_run() -> None:
    held = Held()
    late, cancelled, kept = RequestContext(0.05), RequestContext(), RequestContext(60)
    futures = [held.submit(1.0, context=late), held.submit(2.0, context=cancelled), held.submit(3.0, context=kept)]
    cancelled.cancel()
    for future, code in zip(futures, (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED), strict=False):
        with pytest.raises(RequestError) as caught:
            future.result(10)  # while the first one still runs
        assert caught.value.code == code
    assert held.waiting == 1
    held.release()
    assert futures[2].result(10)["y"].tolist() == [6]
    assert held.run.batches == [[0], [3]]


def test_the_timeout_waits_until_a_batch_is_full_and_no_longer() -> None:
    run = Doubling()
    options = BatchingOptions(max_batch_size=3, batch_timeout_micros=20_000_000, num_batch_threads=1)
    batcher = Batcher(options=options, joins=True, max_waiting=9)
    work = Work(run, lambda *_: None)
    with ThreadPoolExecutor(3) as pool:
        futures = [
            pool.submit(batcher.predict, work, {"x": np.array([float(i)])}, rows=1, kind=None, context=RequestContext())
            for i in range(3)
        ]
        assert [f.result(10)["y"].tolist() for f in futures] == [[0], [2], [4]]
    assert [len(batch) for batch in run.batches] == [3]
    short = BatchingOptions(max_batch_size=3, batch_timeout_micros=2000, num_batch_threads=1)
    alone = Batcher(options=short, joins=True, max_waiting=9)
    outputs = alone.predict(work, {"x": np.array([7.0])}, rows=1, kind=None, context=RequestContext())
    assert outputs["y"].tolist() == [14]


def test_many_threads_get_their_own_rows() -> None:
    run = Doubling()
    batcher = Batcher(options=BatchingOptions(max_batch_size=8), joins=True, max_waiting=999)
    work = Work(run, lambda *_: None)

    def predict(number: int) -> bool:
        values = np.arange(number % 3 + 1) + number * 10.0
        outputs = batcher.predict(work, {"x": values}, rows=len(values), kind=number % 2, context=RequestContext())
        return outputs["y"].tolist() == (values * 2).tolist()

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(predict, range(2000)))
    assert batcher.waiting(work) == 0


def test_works_that_share_threads_and_are_not_joined() -> None:
    """As all designs of a server: one runs at a time, whatever its signature."""
    held, other = Held(joins=False, max_waiting=2), Doubling()
    work = Work(other, lambda *_: None)
    waiting = held.pool.submit(
        held.batcher.predict, work, {"x": np.array([3.0])}, rows=1, kind=None, context=RequestContext()
    )
    wait_until(lambda: held.batcher.waiting(work) == 1)
    assert (held.waiting, other.batches) == (0, [])
    held.release()
    assert waiting.result(10)["y"].tolist() == [6]


def test_batched_responses_equal_unbatched_ones(model_folders: dict[str, Path]) -> None:
    """With a batch timeout, so that requests of different users, widths and k do share batches."""

    def recommend(client: Client, i: int) -> Recommendations:  # u4 is unknown
        return client.recommend([f"u{i % 5}"], k=1 + i % 3, exclude_items=["i0"], allow_unknown=True)[0]

    slow = BatchingOptions(max_batch_size=8, batch_timeout_micros=20_000, num_batch_threads=1)
    models = {"recommender": model_folders["recommender"]}
    with LocalServer(models, batching=None) as plain, Client(plain.target) as client:
        expected = [recommend(client, i) for i in range(24)]
        with pytest.raises(InvalidRequestError):
            client.embed_images([png(), b"no image"])
    with LocalServer(models, batching=slow) as server, Client(server.target) as client, ThreadPoolExecutor(24) as pool:
        found = list(pool.map(partial(recommend, client), range(24)))
        assert [row.item_ids for row in found] == [row.item_ids for row in expected]
        for row, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(row.scores, other.scores, rtol=1e-6)
        images = [png(red) for red in range(7)] + [b"no image at all"]
        futures = [pool.submit(client.embed_images, [image]) for image in images]
        assert [future.result()[0, 0] for future in futures[:7]] == list(range(7))
        with pytest.raises(InvalidRequestError):
            futures[7].result()
        page = server.metrics.page().decode()
        batches = float(page.split("tfdvbpr_serving_batch_rows_count{")[1].split("} ")[1].split("\n")[0])
        assert 'model="recommender",signature="recommend"' in page
        assert batches < 24


def test_a_version_brings_its_own_batching(tmp_path: Path, model_folders: dict[str, Path]) -> None:
    shutil.copytree(model_folders["recommender"] / "2", tmp_path / "recommender" / "1")
    own = tmp_path / "recommender" / "1" / "batching_params.pbtxt"
    own.write_text("max_batch_size { value: 2 }")
    with LocalServer({"recommender": tmp_path / "recommender"}) as server, Client(server.target) as client:
        with pytest.raises(InvalidRequestError, match="at most 2 rows"):
            client.recommend(["u0", "u1", "u2"])
        assert len(client.recommend(["u0", "u1"])) == 2
    own.write_text("max_batch_size: 2")
    with pytest.raises(ModelLoadError, match=r"batching_params.pbtxt must be a BatchingParameters in protobuf's text"):
        LocalServer({"recommender": tmp_path / "recommender"}).start()


def test_the_client_does_not_retry_a_busy_server(model_folders: dict[str, Path]) -> None:
    """The client retries UNAVAILABLE; a full queue is RESOURCE_EXHAUSTED, an error of its own kind."""
    one = BatchingOptions(max_batch_size=1, num_batch_threads=1, max_enqueued_batches=1)
    few = ServerLimits(max_waiting_designs=1)
    with (
        LocalServer({"designer": model_folders["designer"]}, batching=one, limits=few) as server,
        Client(server.target) as client,
        ThreadPoolExecutor(40) as pool,
    ):
        futures = [pool.submit(client.design, ["u0"], "tops", num_steps=30_000) for _ in range(40)]
        errors = [error for f in futures if (error := f.exception()) is not None]
    assert 0 < len(errors) <= 38
    assert {type(error) for error in errors} == {ServerBusyError}
