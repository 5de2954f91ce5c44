"""What it costs that images of requests are decoded by another process, which may be killed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.server.deadlines import Deadlines
from tfdvbpr_serving.server.decoding import ImageDecoder
from tfdvbpr_serving.server.requests import RequestContext

REPEATS = 500


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("side", [224, 1024])
def test_decoding_in_another_process(kind: str, side: int) -> None:
    """TensorFlow decodes the file in this process, or the PNG that a decoder has made of it in another."""
    coarse = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, kind)
    file, deadlines = buffer.getvalue(), Deadlines()
    deadlines.start()
    decoder = ImageDecoder(num_processes=1, limits=ServerLimits(), deadlines=deadlines)
    try:
        here = _milliseconds(lambda: _decoded(file))
        there = _milliseconds(lambda: _decoded(*decoder.decode("image_bytes", [file], RequestContext())))
    finally:
        decoder.close()
        deadlines.stop()
    print(f"\n{kind} of {side} x {side}, {len(file):,} bytes; min and p50: here {here[0]:.2f}, {here[1]:.2f} ms, "
          f"by another process first {there[0]:.2f}, {there[1]:.2f} ms")  # fmt: skip
    assert there[0] < 10 * here[0] + 5  # neither a process a file nor a wait


def _decoded(file: bytes) -> np.ndarray:
    found: np.ndarray = tf.io.decode_image(file, channels=3, expand_animations=False).numpy()
    return found


def _milliseconds(function: Callable[[], object]) -> tuple[float, float]:
    """The least and the median of many calls, one at a time."""
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        found.append(1000 * (time.perf_counter() - start))
    return min(found), float(np.median(found))
