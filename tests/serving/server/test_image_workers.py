"""Images are decoded by other processes: the same pixels, and no image stops, crashes or fills the server."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from image_files import gif, jpeg, jpeg_with_scans, png, png_with_size
from PIL import Image
from waiting import wait_until

from tfdvbpr_serving.client import Client
from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.errors import InvalidRequestError
from tfdvbpr_serving.server import decoding
from tfdvbpr_serving.server.deadlines import Deadlines
from tfdvbpr_serving.server.decoding import ImageDecoder, stored_png
from tfdvbpr_serving.server.image_worker import pixels_of
from tfdvbpr_serving.server.requests import RequestContext, RequestError
from tfdvbpr_serving.server.server import LocalServer

MOST = 50_000_000


@pytest.fixture(scope="module")
def deadlines() -> Iterator[Deadlines]:
    deadlines = Deadlines()
    deadlines.start()
    yield deadlines
    deadlines.stop()


@pytest.fixture(scope="module")
def decoder(deadlines: Deadlines) -> Iterator[ImageDecoder]:
    decoder = ImageDecoder(num_processes=1, limits=ServerLimits(max_pixels_in_progress=10**9), deadlines=deadlines)
    yield decoder
    decoder.close()


def photo(height: int, width: int, *, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpegs(height: int, width: int) -> Iterator[bytes]:
    image = photo(height, width)
    for quality in (30, 75, 95):
        for subsampling in (0, 1, 2):
            for progressive in (False, True):
                yield saved(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    yield saved(image, "JPEG", restart_marker_rows=1)
    for mode in ("L", "CMYK"):
        yield saved(image.convert(mode), "JPEG")


def pngs(height: int, width: int) -> Iterator[bytes]:
    image, rng = photo(height, width), np.random.default_rng(1)
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1"):
        one = image.convert(mode)
        if mode.endswith("A"):
            one.putalpha(photo(height, width, seed=1).convert("L"))
        yield saved(one, "PNG")
    yield saved(image.convert("P"), "PNG", transparency=3)
    yield saved(image, "PNG", transparency=(1, 2, 3))
    for bits in (1, 2, 4):
        yield saved(image.quantize(2**bits), "PNG", bits=bits)
    for dtype in (np.uint8, np.uint16):
        for channels in range(1, 5):
            noise = rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)
            yield tf.io.encode_png(noise).numpy()


def of_tensorflow(file: bytes) -> np.ndarray:
    return tf.io.decode_image(file, channels=3, expand_animations=False).numpy()


@pytest.mark.parametrize("kind", [jpegs, pngs])
@pytest.mark.parametrize("size", [(64, 48), (37, 53), (1, 1), (7, 300)])
def test_pixels_are_tensorflows_to_the_bit(kind: object, size: tuple[int, int]) -> None:
    for file in kind(*size):  # type: ignore[operator]
        expected = of_tensorflow(file)
        pixels = pixels_of(file, max_pixels=MOST)
        np.testing.assert_array_equal(pixels, expected)
        np.testing.assert_array_equal(of_tensorflow(stored_png(*size, pixels.tobytes())), expected)


def test_damaged_files_that_tensorflow_reads_have_its_pixels() -> None:
    """Bytes of a JPEG changed at random, behind its headers: TensorFlow reads no file that is refused."""
    rng, num_read = np.random.default_rng(0), 0
    file = saved(photo(37, 53), "JPEG")
    for _ in range(150):
        damaged = bytearray(file)
        for position in rng.integers(file.index(b"\xff\xda") + 14, len(file), 3):
            damaged[position] = rng.integers(256)
        try:
            expected = of_tensorflow(bytes(damaged))
        except tf.errors.InvalidArgumentError:
            continue
        num_read += 1
        np.testing.assert_array_equal(pixels_of(bytes(damaged), max_pixels=MOST), expected)
    assert num_read > 20


def test_a_process_decodes_and_broken_files_are_refused(decoder: ImageDecoder) -> None:
    files = [saved(photo(37, 53), "JPEG"), png(), jpeg(progressive=True)]
    for file, decoded in zip(files, decoder.decode("image_bytes", files, RequestContext()), strict=True):
        np.testing.assert_array_equal(of_tensorflow(decoded), of_tensorflow(file))
    (process,) = decoder.process_ids
    truncated = [saved(photo(40, 40), kind)[:-400] for kind in ("JPEG", "PNG")]
    for broken in (*truncated, png_with_size(2000, 2000), png()[:40], gif(), b"", b"\xff\xd8\xff\xe0"):
        with pytest.raises(RequestError, match="One cannot be decoded") as caught:
            decoder.decode("image_bytes", [broken], RequestContext())
        assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert decoder.process_ids == [process]


def test_an_image_that_takes_too_long_is_killed_and_the_next_one_decoded(
    decoder: ImageDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One JPEG whose 3,000 scans go through a million pixels each takes half a minute and more."""
    slow = jpeg_with_scans(3000, size=(1000, 1000))
    decoder.decode("image_bytes", [png()], RequestContext())
    (process,) = decoder.process_ids
    monkeypatch.setattr(decoding, "_PIXELS_PER_SECOND", 1e12)
    monkeypatch.setattr(decoding, "_LEAST_SECONDS", 1.0)  # of processor time, by the system
    with pytest.raises(RequestError, match="can be decoded within 1 s") as caught:
        decoder.decode("image_bytes", [slow], RequestContext())
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    monkeypatch.setattr(decoding, "_LEAST_SECONDS", 60.0)  # by the request's own deadline
    with pytest.raises(RequestError, match="before the deadline"):
        decoder.decode("image_bytes", [slow], RequestContext(0.5))
    assert decoder.decode("image_bytes", [png()], RequestContext())
    assert decoder.process_ids != [process]


def test_a_process_has_memory_for_its_largest_image_and_no_more() -> None:
    """81 million pixels, which Pillow holds as 324 MB, in a process for images of one: refused, and it goes on."""
    large = saved(Image.new("1", (9000, 9000)), "PNG")
    assert pixels_of(large, max_pixels=100_000_000).shape == (9000, 9000, 3)
    worker = decoding._Worker(1)
    try:
        worker.start()
        assert worker.decode(large, 100_000_000, 60.0) is None
        assert worker.decode(png(), 100_000_000, 60.0) is not None
    finally:
        worker.close()


def test_a_process_that_dies_is_replaced(decoder: ImageDecoder) -> None:
    for _ in range(3):
        assert decoder.decode("image_bytes", [jpeg()], RequestContext())
        (process,) = decoder.process_ids
        os.kill(process, signal.SIGKILL)
        wait_until(lambda process=process: ended(process))
    assert decoder.decode("image_bytes", [jpeg()], RequestContext())


def ended(process: int) -> bool:
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_smaller_images_go_first_and_cancelled_ones_do_not_wait(deadlines: Deadlines) -> None:
    decoder = ImageDecoder(num_processes=1, limits=ServerLimits(), deadlines=deadlines)
    ended: list[str] = []

    def decode(name: str, file: bytes, context: RequestContext) -> None:
        try:
            decoder.decode(name, [file], context)
        finally:
            ended.append(name)

    large, gone = (
        png_with_size(6000, 5000),
        RequestContext(),
    )  # a header; that there is no more is found out in its turn
    held = decoder._acquire(1.0, RequestContext())
    with ThreadPoolExecutor(8) as pool:
        pool.submit(decode, "large", large, RequestContext())
        cancelled = pool.submit(decode, "gone", large, gone)
        wait_until(lambda: len(decoder._waiting) == 2)
        small = [pool.submit(decode, "small", png(), RequestContext()) for _ in range(3)]
        wait_until(lambda: len(decoder._waiting) == 5)
        gone.cancel()
        assert isinstance(cancelled.exception(30), RequestError)
        decoder._release(held)
        for future in small:
            future.result(60)
    decoder.close()
    assert ended == ["gone", "small", "small", "small", "large"]


def test_images_in_progress_share_a_budget_of_pixels(deadlines: Deadlines) -> None:
    decoder = ImageDecoder(num_processes=1, limits=ServerLimits(max_pixels_in_progress=100), deadlines=deadlines)
    assert decoder.decode("image_bytes", [png(), jpeg()], RequestContext())
    with pytest.raises(RequestError, match="The server is full") as caught:
        decoder.decode("image_bytes", [png()] * 20, RequestContext())
    assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert decoder.decode("image_bytes", [png()] * 16, RequestContext())
    decoder.close()


def test_a_server_decodes_in_another_process_and_counts_its_time(toy_server: LocalServer, toy: Client) -> None:
    before = toy_server.metrics.page().decode()
    assert toy.embed_images([png(7), jpeg()])[0].tolist() == [7, 20, 30]
    assert "tfdvbpr_serving_decoding_seconds_total" in before
    assert toy_server.metrics.page().decode() != before
    assert toy_server._decoder.process_ids
    with pytest.raises(InvalidRequestError, match="One cannot be decoded"):
        toy.embed_images([png(), saved(photo(40, 40), "JPEG")[:-400]])
