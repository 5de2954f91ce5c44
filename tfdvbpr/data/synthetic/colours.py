"""Ten colour names, and reading a garment's colour off its picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (206, 38, 42),
    "orange": (243, 128, 24),
    "yellow": (244, 205, 44),
    "green": (66, 152, 58),
    "teal": (22, 158, 160),
    "blue": (40, 84, 190),
    "purple": (128, 58, 168),
    "pink": (240, 118, 172),
    "brown": (122, 76, 44),
    "black": (44, 44, 50),
}
_MIN_DISTANCE = 22.0
_MIN_GARMENT = 0.02
_LIGHT_GROUND = 70.0
_MIN_CHROMA = 15.0
_MIN_HUED = 0.3
_OFF_WHITE = np.array([[[247, 246, 243]]], np.uint8)
_LIGHTNESS_WEIGHT = 0.5
_CHROMA_WEIGHT = 0.4


def read_colours(images_uint8: npt.NDArray[np.uint8]) -> list[str]:
    """The palette name of the garment in each picture.

    The ground is the median of the border where that is light, off-white otherwise. What differs from the ground is
    the garment; its most strongly coloured half (its darkest half, if little of it has a hue) is compared with the
    palette in CIELAB.

    Args:
        images_uint8: uint8 [N, H, W, 3], sRGB; rendered, photographed or generated.

    Returns:
        N names of PALETTE; "" for a picture in which less than 2 % of the pixels differ from the ground.

    Raises:
        ValueError: if the shape or dtype is another.
    """
    if images_uint8.ndim != 4 or images_uint8.shape[-1] != 3 or images_uint8.dtype != np.uint8:
        raise ValueError(
            "`images_uint8` must be uint8 [N, H, W, 3]. "
            f"Received {images_uint8.dtype} {images_uint8.shape}. Add the leading axis or scale to 0..255."
        )
    return [_read_colour(image) for image in images_uint8]


def _read_colour(image: npt.NDArray[np.uint8]) -> str:
    pixels = lab(image)
    ground = _ground(pixels)
    distances = np.linalg.norm(pixels - ground, axis=-1).ravel()
    garment = distances > _MIN_DISTANCE
    if garment.mean() < _MIN_GARMENT:
        return ""
    pixels = pixels.reshape(-1, 3)[garment]
    chroma = np.hypot(pixels[:, 1], pixels[:, 2])
    strength = chroma if (chroma > _MIN_CHROMA).mean() > _MIN_HUED else distances[garment]
    low, high = np.quantile(strength, [0.5, 0.95])
    core = np.median(pixels[(strength >= low) & (strength <= high)], axis=0)
    return list(PALETTE)[int(np.argmin(_differences(core, _PALETTE_LAB)))]


def _differences(colour: Pixels, others: Pixels) -> Pixels:
    """float32 [N]: how unlike [3] is to each of [N, 3], in CIELAB units.

    Lightness and chroma count less than hue, because folds, blur and a weak generator change them. Hue is a chord as in
    CIE94, so that it fades out towards grey.
    """
    lightness, red, blue = (others - colour).T
    chroma = np.hypot(others[:, 1], others[:, 2]) - np.hypot(colour[1], colour[2])
    hue_squared = np.maximum(red**2 + blue**2 - chroma**2, 0)
    return np.sqrt((_LIGHTNESS_WEIGHT * lightness) ** 2 + (_CHROMA_WEIGHT * chroma) ** 2 + hue_squared)


def _ground(pixels: Pixels) -> Pixels:
    """float32 [3]: CIELAB of the picture's ground."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ground = np.median(border, axis=0).astype(np.float32)
    return ground if ground[0] > _LIGHT_GROUND else lab(_OFF_WHITE)[0, 0]


def lab(images_uint8: npt.NDArray[np.uint8]) -> Pixels:
    """sRGB uint8 [..., 3] as CIELAB (D65) float32 [..., 3]: lightness 0..100, then green-red and blue-yellow."""
    linear = _LINEAR[images_uint8]
    xyz = linear @ _TO_XYZ.T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def _linear_table() -> Pixels:
    values = np.arange(256) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_table()
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_XYZ = (
    np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    / _WHITE[:, None]
).astype(np.float32)
_PALETTE_LAB = lab(np.array(list(PALETTE.values()), np.uint8))
