"""The process that decodes images of requests: it may be killed, and has limits of memory and processor time.

It gives the pixels of `tf.io.decode_image(file, channels=3)` to the bit, without TensorFlow. Request: `REQUEST`, then
the file. Response: `RESPONSE`, then uint8 [height, width, 3]; a height of 0 for a file that cannot be decoded.
"""

from __future__ import annotations

import io
import math
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

REQUEST = struct.Struct("<QQd")  # bytes of the file, the most pixels, the most seconds of processor time
RESPONSE = struct.Struct("<QQd")  # height, width, seconds of processor time
READY = b"."  # once, when everything is imported
JPEG_BEGINS = b"\xff\xd8\xff"

_PNG_ENDS = b"IEND\xaeB`\x82"

_Pixels = npt.NDArray[np.uint8]

# What a decoder says of a file whose pixels TensorFlow reads all the same; a file that ends too early is not whole.
_DAMAGED = ("Corrupt JPEG data", "Invalid SOS parameters", "Inconsistent progression", "Unknown Adobe")
_OTHER_MEMORY = 256 << 20
_PIXEL_MEMORY = 24  # bytes: of the coefficients of a progressive JPEG, its colours before and after conversion


def pixels_of(file: bytes, *, max_pixels: int) -> _Pixels:
    """The pixels of a JPEG or PNG file: uint8 [height, width, 3], RGB, without alpha.

    Raises:
        Exception: of any kind, for a file that is broken or has more pixels than `max_pixels`.
    """
    pixels = _jpeg_pixels(file, max_pixels) if file.startswith(JPEG_BEGINS) else _png_pixels(file, max_pixels)
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def _jpeg_pixels(file: bytes, max_pixels: int) -> _Pixels:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(file, strict=False)
    _check_size(height * width, max_pixels)
    if colours not in ("CMYK", "YCCK"):
        return _decoded_jpeg(file, "RGB", np.zeros((height, width, 3), np.uint8))
    cmyk = _decoded_jpeg(file, "CMYK", np.zeros((height, width, 4), np.uint8)).astype(np.uint16)
    inks, black = cmyk[..., :3], cmyk[..., 3:]
    inverted = b"Adobe" in file  # whose programs write 255 for no ink
    return (inks * black // 255 if inverted else (255 - inks) * (255 - black) // 255).astype(np.uint8)


def _decoded_jpeg(file: bytes, colours: str, empty: _Pixels) -> _Pixels:
    """Decodes into `empty`, of which a damaged file may leave a part as it is."""
    options: dict[str, Any] = {"colorspace": colours, "fastdct": True, "fastupsample": False}  # as TensorFlow's
    try:
        simplejpeg.decode_jpeg(file, **options, strict=True, buffer=empty)
    except ValueError as error:
        if not str(error).startswith(_DAMAGED):
            raise
        simplejpeg.decode_jpeg(file, **options, strict=False, buffer=empty)
    return empty


def _png_pixels(file: bytes, max_pixels: int) -> _Pixels:
    if _PNG_ENDS not in file:  # Pillow would not miss it
        raise ValueError("A PNG file must have an end. It is cut off.")
    with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
        _check_size(image.width * image.height, max_pixels)
        image.load()
        if image.mode.startswith("I"):  # 16 bits of grey, of which Pillow keeps the upper 8 for colours alone
            return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        return np.asarray(image.convert("RGB"))


def _check_size(pixels: int, most: int) -> None:
    if not 0 < pixels <= most:
        raise ValueError(f"An image must have 1 to {most} pixels. Received {pixels}.")


def main() -> None:
    """Decodes until its input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing but responses may go there
    _limit_memory(_OTHER_MEMORY + _PIXEL_MEMORY * int(sys.argv[1]))
    sink.write(READY)
    sink.flush()
    while header := source.read(REQUEST.size):
        length, max_pixels, seconds = REQUEST.unpack(header)
        began = time.process_time()
        _limit_time(began + seconds)
        _respond(sink, source.read(length), max_pixels, began)


def _respond(sink: BinaryIO, file: bytes, max_pixels: int, began: float) -> None:
    try:
        pixels = pixels_of(file, max_pixels=max_pixels)
    except Exception:  # a file from outside can fail in any way, too little memory included
        pixels = np.zeros((0, 0, 3), np.uint8)
    height, width, _ = pixels.shape
    sink.write(RESPONSE.pack(height, width, time.process_time() - began))
    sink.write(pixels.data)
    sink.flush()


def _limit_memory(most: int) -> None:
    try:
        import resource
    except ImportError:  # no such limits here
        return
    own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _has_proc() else 4 << 30
    for kind, limit in ((resource.RLIMIT_AS, own + most), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        _set(kind, limit)


def _limit_time(seconds: float) -> None:
    """The process is killed by the system after so many seconds of processor time since its start."""
    try:
        import resource
    except ImportError:
        return
    _set(resource.RLIMIT_CPU, math.ceil(seconds))


def _set(kind: int, limit: int) -> None:
    import resource

    most = resource.getrlimit(kind)[1]
    try:
        resource.setrlimit(kind, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))
    except (OSError, ValueError):  # a system that knows the limit but not how to set it
        return


def _has_proc() -> bool:
    return Path("/proc/self/statm").is_file()
