"""Joins requests that wait at the same time into one batch, without threads of its own.

The thread of a request that finds room runs TensorFlow itself, while other requests wait. When it ends, the request
that has waited longest runs next, joined with all waiting requests of the same kind. So a single request stays in its
thread and waits for no other, and under load the batches grow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import grpc
import numpy as np

from tfdvbpr_serving.config import BatchingOptions
from tfdvbpr_serving.protocol.messages import Arrays
from tfdvbpr_serving.server.requests import RequestContext, RequestError, deadline_exceeded
from tfdvbpr_serving.server.runners import Cancellation


@dataclass(frozen=True, eq=False)
class Work:
    """What a request is for: `run` computes, from several threads.

    `observe` is called with the rows of each batch and the waiting seconds of its first request.
    """

    run: Callable[[Arrays, Cancellation], Arrays]
    observe: Callable[[int, float], None]


@dataclass(eq=False)
class _Job:
    """One request; its thread waits on `wake` unless it leads a batch."""

    work: Work
    arrays: Arrays
    rows: int
    kind: Hashable
    context: RequestContext
    since: float
    wake: threading.Event | None = None
    leads: bool = False
    outputs: Arrays | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.outputs is not None or self.error is not None

    def sleep(self) -> None:
        """Before its thread waits: sets the event that wakes it, also if the client cancels."""
        self.wake = threading.Event()
        self.context.on_cancel(self.wake.set)


@dataclass(eq=False)
class _Batch:
    jobs: list[_Job]
    rows: int
    full: threading.Event = field(default_factory=threading.Event)


class Batcher:
    """Runs requests of one signature, joined into batches; or, unless `joins`, of several, as all designs of a server.

    At most `max_waiting` rows wait (requests, where they are not joined).
    """

    def __init__(self, *, options: BatchingOptions, joins: bool, max_waiting: int) -> None:
        self._joins = joins
        self._max_rows = options.max_batch_size
        self._timeout = options.batch_timeout_micros / 1e6 if joins else 0.0
        self._threads = options.num_batch_threads
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._running = 0
        self._queue: deque[_Job] = deque()
        self._waiting = 0  # rows in the queue
        self._open: dict[Hashable, _Batch] = {}  # batches whose leader waits for others

    def predict(self, work: Work, arrays: Arrays, *, rows: int, kind: Hashable, context: RequestContext) -> Arrays:
        """The outputs for one request, which is not run after its deadline or cancellation.

        Args:
            work: one and the same for all requests that are joined.
            arrays: by name; all of `rows` rows if requests are joined.
            rows: of the request, at most `max_batch_size` if requests are joined.
            kind: requests of different kinds are never joined: their other dimensions differ.
            context: cancels a call that runs alone.

        Raises:
            RequestError: RESOURCE_EXHAUSTED if too many wait, DEADLINE_EXCEEDED, CANCELLED, or the model's error.
        """
        job = _Job(work, arrays, rows if self._joins else 1, kind, context, time.monotonic())
        if self._enter(job) or self._wait(job):
            self._lead(job)
        if job.error is not None:
            raise job.error
        if job.outputs is None:
            raise RuntimeError("A batch must run each of its requests. It left one out.")
        return job.outputs

    def waiting(self, work: Work) -> int:
        """Rows that wait for it (requests, where they are not joined)."""
        with self._lock:
            return sum(job.rows for job in self._queue if job.work is work)

    def _enter(self, job: _Job) -> bool:
        """True if the request's own thread must run it now; otherwise it is in a batch or in the queue."""
        with self._lock:
            batch = self._open.get(job.kind)
            if batch is not None and batch.rows + job.rows <= self._max_rows:
                job.sleep()
                batch.jobs.append(job)
                batch.rows += job.rows
                if batch.rows == self._max_rows:
                    batch.full.set()
                return False
            if self._running < self._threads:
                self._running += 1
                return True
            if self._waiting + job.rows > self._max_waiting:
                raise RequestError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"The server's queue must have room: at most {self._max_waiting} may wait. It is full. Try later.",
                )
            job.sleep()
            self._queue.append(job)
            self._waiting += job.rows
            return False

    def _wait(self, job: _Job) -> bool:
        """Waits until it is done or no longer active (False), or has to lead the next batch (True)."""
        wake = job.wake
        if wake is None:
            raise RuntimeError("A waiting request must have an event. It has none.")
        while True:
            wake.wait(job.context.seconds_left())
            with self._lock:
                if job.done or job.leads:
                    break
                if not job.context.active:
                    if job in self._queue:
                        self._queue.remove(job)
                        self._waiting -= job.rows
                    job.error = job.context.error()
                    break
                wake.clear()
        job.context.on_cancel(None)
        return job.leads and not job.done

    def _lead(self, job: _Job) -> None:
        """Runs a batch that begins with this request, then promotes the next one."""
        try:
            batch = self._gather(job)
            job.work.observe(sum(one.rows for one in batch), time.monotonic() - job.since)
            self._run_all(batch)
        finally:
            with self._lock:
                if self._queue:
                    self._promote(self._queue.popleft())
                else:
                    self._running -= 1

    def _promote(self, job: _Job) -> None:
        self._waiting -= job.rows
        job.leads = True
        if job.wake is not None:
            job.wake.set()

    def _gather(self, job: _Job) -> list[_Job]:
        """The request and those of its kind that wait, or come within the timeout."""
        batch = _Batch([job], job.rows)
        if not self._joins:
            return batch.jobs
        with self._lock:
            self._join_waiting(batch, job.kind)
            wait = self._timeout - (time.monotonic() - job.since)
            if wait <= 0 or batch.rows >= self._max_rows or job.kind in self._open:
                return batch.jobs
            self._open[job.kind] = batch
        batch.full.wait(wait)
        with self._lock:
            del self._open[job.kind]
        return batch.jobs

    def _join_waiting(self, batch: _Batch, kind: Hashable) -> None:
        if not self._queue:
            return
        left: deque[_Job] = deque()
        for job in self._queue:
            if job.kind == kind and batch.rows + job.rows <= self._max_rows:
                batch.jobs.append(job)
                batch.rows += job.rows
                self._waiting -= job.rows
            else:
                left.append(job)
        self._queue = left

    def _run_all(self, jobs: list[_Job]) -> None:
        active = []
        for job in jobs:
            if job.done:  # its own thread has ended it
                continue
            if job.context.active:
                active.append(job)
            else:
                _finish(job, error=job.context.error())
        if len(active) > 1 and self._run_together(active):
            return
        for job in active:
            self._run_alone(job)

    def _run_alone(self, job: _Job) -> None:
        cancellation = Cancellation()
        job.context.on_cancel(_both(cancellation.cancel, job.wake))
        try:
            _finish(job, outputs=job.work.run(job.arrays, cancellation))
        except RequestError as error:
            timed_out = error.code == grpc.StatusCode.CANCELLED and job.context.expired
            _finish(job, error=deadline_exceeded() if timed_out else error)
        except Exception as error:
            _finish(job, error=error)
        finally:
            job.context.on_cancel(None)

    def _run_together(self, jobs: list[_Job]) -> bool:
        """False if they must run one by one: an invalid image must fail its own request only."""
        total = sum(job.rows for job in jobs)
        try:
            arrays = {name: np.concatenate([job.arrays[name] for job in jobs]) for name in jobs[0].arrays}
            outputs = jobs[0].work.run(arrays, Cancellation())
        except Exception:
            return False
        if any(array.shape[:1] != (total,) for array in outputs.values()):
            return False
        start = 0
        for job in jobs:
            _finish(job, outputs={name: array[start : start + job.rows] for name, array in outputs.items()})
            start += job.rows
        return True


def _finish(job: _Job, *, outputs: Arrays | None = None, error: Exception | None = None) -> None:
    job.outputs, job.error = outputs, error
    if job.wake is not None:
        job.wake.set()


def _both(cancel: Callable[[], None], wake: threading.Event | None) -> Callable[[], None]:
    if wake is None:
        return cancel

    def cancel_and_wake() -> None:
        cancel()
        wake.set()

    return cancel_and_wake
