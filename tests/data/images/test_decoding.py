from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tiny_data import encoded, huge_png

from tfdvbpr.data import ImageFit
from tfdvbpr.data.images.decoding import BrokenImageError, checked_jpeg, decoder, to_float, to_uint8


def _pixels(data: bytes, size: tuple[int, int] = (16, 16), fit: ImageFit = "pad") -> npt.NDArray[np.uint8]:
    decoded: npt.NDArray[np.uint8] = decoder(size, fit)(data).numpy()
    return decoded


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def test_every_byte_comes_back() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    floats = to_float(values).numpy()
    assert floats.dtype == np.float32
    assert floats.min() == -1.0
    assert floats.max() == 1.0
    np.testing.assert_array_equal(to_uint8(floats).numpy(), values)


def test_to_uint8_clips_and_rounds() -> None:
    np.testing.assert_array_equal(to_uint8(np.array([-9.0, 9.0, -1 + 0.6 / 127.5], np.float32)).numpy(), [0, 255, 1])


def test_a_plain_jpeg_is_kept_byte_for_byte() -> None:
    colour = encoded(np.full((20, 30, 3), 90, np.uint8))
    grey = _file(Image.new("L", (20, 30), 90), "JPEG")
    assert checked_jpeg(colour) == colour
    assert checked_jpeg(grey) == grey
    np.testing.assert_allclose(_pixels(grey, fit="squash"), 90, atol=2)


@pytest.mark.parametrize(
    ("fit", "top", "middle"), [("pad", (255, 255, 255), (0, 200, 0)), ("crop", (0, 200, 0), (0, 200, 0))]
)
def test_pad_and_crop_of_a_wide_image(fit: ImageFit, top: tuple[int, ...], middle: tuple[int, ...]) -> None:
    """Green, with a red and a blue end that cropping to a square cuts off."""
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, :30], wide[:, 30:90], wide[:, 90:] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    fitted = _pixels(encoded(wide, "PNG"), (24, 24), fit)
    np.testing.assert_allclose(fitted[1, 12], top, atol=1)
    np.testing.assert_allclose(fitted[12, 12], middle, atol=1)
    left = (0, 200, 0) if fit == "crop" else (200, 0, 0)
    np.testing.assert_allclose(fitted[12, 1], left, atol=1)


def test_pad_of_a_tall_image_keeps_all_of_it_in_the_middle() -> None:
    tall = np.zeros((60, 20, 3), np.uint8)
    fitted = _pixels(encoded(tall, "PNG"), (30, 30), "pad")
    assert (fitted[:, :9] == 255).all()
    assert (fitted[:, 21:] == 255).all()
    assert (fitted[:, 11:19] == 0).all()


def test_squash_ignores_the_aspect() -> None:
    halves = np.zeros((20, 60, 3), np.uint8)
    halves[:, 30:] = 240
    fitted = _pixels(encoded(halves, "PNG"), (16, 32), "squash")
    assert fitted.shape == (16, 32, 3)
    assert (fitted[:, :13] < 3).all()
    assert (fitted[:, 19:] > 237).all()


def test_an_image_of_the_right_size_is_not_touched() -> None:
    exact = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    for fit in ("pad", "crop", "squash"):
        np.testing.assert_array_equal(_pixels(encoded(exact, "PNG"), (16, 24), fit), exact)


def test_a_thin_line_survives_padding() -> None:
    assert _pixels(encoded(np.zeros((1, 900, 3), np.uint8), "PNG"), (16, 16), "pad").shape == (16, 16, 3)


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((10, 20, 200, 255), (8, 8, 24, 24))
    pixels = _pixels(checked_jpeg(_file(image, "PNG")), (32, 32))
    np.testing.assert_allclose(pixels[2, 2], 255, atol=2)
    np.testing.assert_allclose(pixels[16, 16], (10, 20, 200), atol=6)


def test_a_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([0, 0, 0, 200, 30, 30])
    image.paste(1, (0, 0, 16, 32))
    pixels = _pixels(checked_jpeg(_file(image, "PNG", transparency=0)), (32, 32))
    np.testing.assert_allclose(pixels[16, 28], 255, atol=2)
    np.testing.assert_allclose(pixels[16, 4], (200, 30, 30), atol=6)


def test_exif_rotation_is_applied() -> None:
    """Orientation 6: the camera lay on its side; the stored top is the right edge."""
    stored = np.full((32, 32, 3), 255, np.uint8)
    stored[:16] = (220, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = _pixels(checked_jpeg(_file(Image.fromarray(stored), "JPEG", exif=exif, quality=95)), (32, 32))
    np.testing.assert_allclose(pixels[16, 26], (220, 0, 0), atol=8)
    np.testing.assert_allclose(pixels[16, 5], 255, atol=8)


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("RGB", (32, 32), (40, 160, 80))
    pixels = _pixels(checked_jpeg(_file(image.convert("CMYK"), "JPEG")), (32, 32))
    np.testing.assert_allclose(pixels[16, 16], (40, 160, 80), atol=8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP", "TIFF"])
def test_other_formats_become_jpeg(kind: str) -> None:
    jpeg = checked_jpeg(_file(Image.new("RGB", (32, 32), (120, 60, 30)), kind))
    assert jpeg.startswith(b"\xff\xd8")
    np.testing.assert_allclose(_pixels(jpeg, (32, 32))[16, 16], (120, 60, 30), atol=6)


def test_sixteen_bit_grey_keeps_its_tones() -> None:
    ramp = np.linspace(0, 65_535, 32, dtype=np.uint16)[None].repeat(32, axis=0)
    pixels = _pixels(checked_jpeg(_file(Image.fromarray(ramp), "PNG")), (32, 32))
    np.testing.assert_allclose(pixels[16, :, 0], ramp[0] / 257, atol=6)


def _truncated() -> bytes:
    whole = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    return whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not an image"),
        (_truncated(), "truncated"),
        (encoded(np.zeros((30, 30, 3), np.uint8), "PNG")[:60], "cannot be decoded"),
        (encoded(np.zeros((101, 100, 3), np.uint8)), "101 pixels is more than the limit of 10000"),
    ],
    ids=["empty", "html", "truncated-jpeg", "truncated-png", "large"],
)
def test_broken_images_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(BrokenImageError, match=reason):
        checked_jpeg(data, max_pixels=10_000)


def test_a_huge_image_is_refused_from_its_header() -> None:
    data = huge_png(20_000)
    assert len(data) < 200_000
    with pytest.raises(BrokenImageError, match="limit of 50000000"):
        checked_jpeg(data)
