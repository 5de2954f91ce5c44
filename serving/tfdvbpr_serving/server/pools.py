"""Threads that run gRPC calls, and the refusal of calls when there are too many."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class CountedPool(ThreadPoolExecutor):
    """Threads, and how many calls no thread has begun yet.

    Example:
        >>> pool = CountedPool(1, thread_name_prefix="calls")
        >>> release = threading.Event()
        >>> calls = [pool.submit(release.wait) for _ in range(3)]
        >>> pool.num_waiting >= 2
        True
        >>> release.set()
        >>> [call.result() for call in calls], pool.num_waiting
        ([True, True, True], 0)
        >>> pool.shutdown()
    """

    def __init__(self, num_threads: int, *, thread_name_prefix: str) -> None:
        super().__init__(num_threads, thread_name_prefix=thread_name_prefix)
        self.num_waiting = 0
        self._lock = threading.Lock()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs a call in a thread."""
        with self._lock:
            self.num_waiting += 1
        return super().submit(self._begin, function, *args, **kwargs)

    def _begin(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            self.num_waiting -= 1
        return function(*args, **kwargs)


class CallersThread(ThreadPoolExecutor):
    """No threads: runs a call at once in the thread that submits it, which in gRPC is the one that accepts calls.

    Example:
        >>> CallersThread().submit(max, 1, 2).result()
        2
    """

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs a call; the future has ended."""
        future: Future[T] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Places:
    """Requests in progress, of which there are at most so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether every place is taken."""
        return self._taken >= self._most

    def take(self) -> bool:
        """Takes a place; False if there is none."""
        with self._lock:
            if self._taken >= self._most:
                return False
            self._taken += 1
            return True

    def leave(self) -> None:
        """Gives a place back."""
        with self._lock:
            self._taken -= 1
