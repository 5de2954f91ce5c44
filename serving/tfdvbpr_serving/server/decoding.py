"""Decodes images of requests in other processes, so that none can stop, crash or fill the server."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from typing import IO

import grpc
import numpy as np

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.server.deadlines import Deadlines
from tfdvbpr_serving.server.image_worker import READY, REQUEST, RESPONSE
from tfdvbpr_serving.server.images import declared_pixels, decoding_passes
from tfdvbpr_serving.server.requests import RequestContext, RequestError, invalid_argument

_COMMAND = "from tfdvbpr_serving.server.image_worker import main; main()"

# A processor decodes 30 to 100 million pixels a second. An image may take some ten times as long, and the clock ten
# times as long as the processor, which others use too.
_LEAST_SECONDS, _PIXELS_PER_SECOND, _CLOCK_SECONDS = 2.0, 5e6, 10.0
_START_SECONDS = 60.0
# A killed process takes longer to replace than most images take.
_LEAST_SECONDS_TO_KILL = 1.0
# Smaller images go first, but one waits at most this much longer for them than its own decoding may take.
_PATIENCE = 1.0

_log = logging.getLogger(__name__)


class ImageDecoder:
    """Decodes JPEG and PNG files in processes that are killed, and replaced, when an image takes too long.

    The processes, of one thread each, are all the processor time that images of all requests take.

    Args:
        num_processes: each is started when it is first needed.
        limits: of images; more than `max_pixels_in_progress` of all requests are refused.
        deadlines: kill what takes too long.
        observe: called with the seconds of processor time of each image.

    Example:
        >>> decoder = ImageDecoder(num_processes=1, limits=ServerLimits(), deadlines=deadlines)  # doctest: +SKIP
        >>> (png,) = decoder.decode("image_bytes", [jpeg], RequestContext())  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        num_processes: int,
        limits: ServerLimits,
        deadlines: Deadlines,
        observe: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._limits = limits
        self._deadlines = deadlines
        self._observe = observe
        self._changed = threading.Condition()
        self._idle = [_Worker(limits.max_image_pixels) for _ in range(num_processes)]
        self._workers = tuple(self._idle)
        self._waiting: list[tuple[float, int]] = []
        self._numbers = itertools.count()
        self._pixels = 0

    @property
    def process_ids(self) -> list[int]:
        """Of the processes that run."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def decode(self, name: str, files: Sequence[bytes], context: RequestContext) -> list[bytes]:
        """The files of an input as PNG files of the same pixels, which this process has written.

        Args:
            name: of the input, for errors.
            files: JPEG and PNG files, checked by `check_images`.
            context: of the request; its deadline ends the decoding.

        Raises:
            RequestError: INVALID_ARGUMENT for a file that cannot be decoded, or not in the time that its size allows;
                RESOURCE_EXHAUSTED if images of all requests have too many pixels; DEADLINE_EXCEEDED, CANCELLED.
        """
        costs = [int((declared_pixels(file) or 0) * decoding_passes(file)) for file in files]
        self._reserve(sum(costs))
        try:
            return [self._decoded(name, file, cost, context) for file, cost in zip(files, costs, strict=True)]
        finally:
            with self._changed:
                self._pixels -= sum(costs)

    def _reserve(self, pixels: int) -> None:
        most = self._limits.max_pixels_in_progress
        with self._changed:
            if self._pixels + pixels > most:
                raise RequestError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"Images in progress must have at most {most} pixels together. The server is full. This request "
                    f"needs {pixels} more. Send fewer, or later.",
                )
            self._pixels += pixels

    def _decoded(self, name: str, file: bytes, cost: int, context: RequestContext) -> bytes:
        seconds = _LEAST_SECONDS + cost / _PIXELS_PER_SECOND
        worker = self._acquire(seconds, context)
        try:
            self._start(worker)
            left = context.seconds_left()
            clock = _CLOCK_SECONDS * seconds if left is None else min(_CLOCK_SECONDS * seconds, left)
            with self._deadlines.watch(max(clock, _LEAST_SECONDS_TO_KILL), worker.kill):
                found = worker.decode(file, self._limits.max_image_pixels, seconds)
        except OSError as error:
            _log.warning("An image ended its decoder: %s", error)
            if not context.active:
                raise context.error() from error
            raise invalid_argument(
                f"{name!r} must hold images that can be decoded within {seconds:.0f} s, by their size. One cannot. "
                "Save it again."
            ) from error
        finally:
            self._release(worker)
        if found is None:
            raise invalid_argument(f"{name!r} must hold whole JPEG or PNG files. One cannot be decoded. Save it again.")
        height, width, pixels, spent = found
        self._observe(spent)
        return stored_png(height, width, pixels)

    def _start(self, worker: _Worker) -> None:
        try:
            with self._deadlines.watch(_START_SECONDS, worker.kill):
                worker.start()
        except OSError as error:
            _log.error("A process that decodes images cannot be started: %s", error)
            raise RequestError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "The server must have room for a process that decodes images. It is full. Try later.",
            ) from error

    def _acquire(self, seconds: float, context: RequestContext) -> _Worker:
        ticket = (time.monotonic() + _PATIENCE * seconds, next(self._numbers))
        with self._changed:
            heapq.heappush(self._waiting, ticket)
            try:
                while not (self._idle and self._waiting[0] == ticket):
                    if not context.active:
                        raise context.error()
                    left = context.seconds_left()
                    self._changed.wait(0.2 if left is None else min(0.2, left))  # also sees a cancelled request
                return self._idle.pop()
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._changed.notify_all()

    def _release(self, worker: _Worker) -> None:
        with self._changed:
            self._idle.append(worker)
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            worker.close()


class _Worker:
    """One process, started when it is needed."""

    def __init__(self, max_image_pixels: int) -> None:
        self._max_image_pixels = max_image_pixels
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process unless it runs; OSError if it cannot."""
        process = self.process
        if process is not None and process.poll() is None:
            return
        if process is not None:  # killed since it decoded last
            _ended(process)
        self.process = process = self._started()
        if _pipes(process)[0].read(len(READY)) != READY:
            self.process = None
            raise OSError(f"exit code {_ended(process)}")

    def decode(self, file: bytes, max_pixels: int, seconds: float) -> tuple[int, int, bytes, float] | None:
        """Height, width, pixels and seconds of processor time, None for a broken file; OSError if it was killed."""
        process = self.process
        if process is None:
            raise OSError("no process")
        source, sink = _pipes(process)
        try:
            sink.write(REQUEST.pack(len(file), max_pixels, seconds))
            sink.write(file)
            sink.flush()
            header = source.read(RESPONSE.size)
            if len(header) < RESPONSE.size:
                raise OSError("no response")
            height, width, spent = RESPONSE.unpack(header)
            if not height:
                return None
            if not 0 < height * width <= max_pixels:  # whatever a broken decoder says
                raise OSError("a response of another size")
            pixels = source.read(3 * height * width)
            if len(pixels) < 3 * height * width:
                raise OSError("half a response")
        except OSError as error:
            self.process = None
            raise OSError(f"{error}; exit code {_ended(process)}") from error
        return height, width, pixels, spent

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", _COMMAND, str(self._max_image_pixels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the server, which lets requests in progress end
        )

    def kill(self) -> None:
        """Ends the process, and so `decode`. Safe to call twice, from any thread."""
        process = self.process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the process when nothing is decoded any more."""
        process, self.process = self.process, None
        if process is not None:
            _ended(process)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdout is None or process.stdin is None:
        raise RuntimeError("A decoder must have pipes. It has none.")
    return process.stdout, process.stdin


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Kills a process, closes its pipes and returns its exit code."""
    process.kill()
    for pipe in _pipes(process):
        with contextlib.suppress(OSError):  # what it has not read
            pipe.close()
    return process.wait()


def stored_png(height: int, width: int, pixels: bytes) -> bytes:
    """A PNG file of uint8 [height, width, 3], RGB, without compression.

    Example:
        >>> stored_png(1, 2, bytes(6))[:8]
        b'\\x89PNG\\r\\n\\x1a\\n'
    """
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter, 0 for none
    rows[:, 1:] = np.frombuffer(pixels, np.uint8).reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), level=0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
        for kind, data in chunks
    )
