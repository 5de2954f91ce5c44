"""Images of garments rendered from a description of a few words, and reading the colour back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from tfdvbpr.data.synthetic.garment_shapes import SHAPES, Material, Part, Points

Pixels = npt.NDArray[np.float32]
Channel = npt.NDArray[np.floating]

CATEGORIES: tuple[str, ...] = tuple(SHAPES)
CUTS: dict[str, tuple[str, ...]] = {category: tuple(cuts) for category, cuts in SHAPES.items()}
PATTERNS: tuple[str, ...] = ("plain", "stripes", "checks", "dots")

_BACKGROUND = np.array([247, 246, 243], np.float32)
_PALE = np.array([244, 240, 231], np.float32)
_SUPERSAMPLING = 4
_OUTLINE_TONE, _OUTLINE_WIDTH = 0.55, 0.011
_FULL_TONE = 200  # of 255: leaves room above the colour itself

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
_LIGHT_BACKGROUND = 70.0
_MIN_CHROMA = 15.0
_MIN_HUED = 0.3
_OFF_WHITE = np.array([[[247, 246, 243]]], np.uint8)
_LIGHTNESS_WEIGHT = 0.5
_CHROMA_WEIGHT = 0.4


def read_colours(images_uint8: npt.NDArray[np.uint8]) -> list[str]:
    """The palette name of the garment in each image.

    The background is the median of the border where that is light, off-white otherwise. The garment is what differs
    from it; its most strongly coloured half (its darkest half, if little of it has a hue) is compared with the palette
    in CIELAB.

    Args:
        images_uint8: uint8 [N, H, W, 3], sRGB; rendered, photographed or generated.

    Returns:
        N names of PALETTE; "" for an image in which less than 2 % of the pixels differ from the background.

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
    background = _background(pixels)
    distances = np.linalg.norm(pixels - background, axis=-1).ravel()
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


def _background(pixels: Pixels) -> Pixels:
    """float32 [3]: CIELAB of the image's background."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    background = np.median(border, axis=0).astype(np.float32)
    return background if background[0] > _LIGHT_BACKGROUND else lab(_OFF_WHITE)[0, 0]


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


@dataclass(frozen=True)
class Garment:
    """A garment, and the small accidents of its photograph.

    Attributes:
        category: a name in CATEGORIES.
        cut: a name in CUTS[category].
        colour: a name in PALETTE.
        pattern: a name in PATTERNS.
        width: stretch from side to side, about 1.
        length: stretch from top to bottom, about 1.
        shift: (right, down) of the whole garment, in units of the image's side.
        shade: factor of the colour's brightness, about 1.
        phase: where the pattern begins, in periods, [0, 1).
        period: of the pattern, in units of the image's side.
    """

    category: str
    cut: str
    colour: str
    pattern: str
    width: float = 1.0
    length: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    shade: float = 1.0
    phase: float = 0.0
    period: float = 0.15

    def __post_init__(self) -> None:
        _check("category", self.category, CATEGORIES)
        _check("cut", self.cut, CUTS[self.category])
        _check("colour", self.colour, tuple(PALETTE))
        _check("pattern", self.pattern, PATTERNS)


def _check(name: str, received: str, known: tuple[str, ...]) -> None:
    if received not in known:
        raise ValueError(f"`{name}` must be one of {', '.join(known)}. Received {received!r}.")


def random_garment(
    rng: np.random.Generator,
    category: str | None = None,
    *,
    cut: str | None = None,
    colour: str | None = None,
    pattern: str | None = None,
) -> Garment:
    """Samples a garment uniformly, except for what is given; see `Garment`.

    Raises:
        ValueError: if a given name is unknown.
    """
    category = category or str(rng.choice(CATEGORIES))
    _check("category", category, CATEGORIES)
    return Garment(
        category=category,
        cut=cut or str(rng.choice(CUTS[category])),
        colour=colour or str(rng.choice(list(PALETTE))),
        pattern=pattern or str(rng.choice(PATTERNS)),
        width=float(rng.uniform(0.92, 1.04)),
        length=float(rng.uniform(0.92, 1.0)),
        shift=(float(rng.uniform(-0.015, 0.015)), float(rng.uniform(-0.015, 0.015))),
        shade=float(rng.uniform(0.92, 1.08)),
        phase=float(rng.random()),
        period=float(rng.uniform(0.14, 0.16)),
    )


def render_garment(garment: Garment, size: int) -> Image.Image:
    """Renders a garment, `size` pixels wide and high.

    Areas and lines are rasterized at four times the size and scaled down, the shading is computed at the size itself.

    Returns:
        An RGB image, size x size.

    Raises:
        ValueError: if `size` is below 8.
    """
    if size < 8:
        raise ValueError(f"`size` must be at least 8 pixels. Received {size}.")
    parts = SHAPES[garment.category][garment.cut]
    cover, tone, plainness = _rasterized(garment, parts, size)
    cloth = _cloth(garment, np.clip(1 - 2 * plainness, 0, 1), size)
    pale = np.clip(2 * plainness - 1, 0, 1)[..., None]
    cloth = (cloth + pale * (_PALE - cloth)) * tone[..., None]
    light = _light(garment, parts, cover, size)[..., None]
    cloth = cloth * (1 + light) + 30 * light
    shadow = _blurred(np.roll(cover, (round(0.025 * size), round(0.02 * size)), (0, 1)), 0.03 * size)
    background = _BACKGROUND * (1 - 0.13 * shadow[..., None])
    pixels = background + cover[..., None] * (cloth - background)
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def _placed(garment: Garment, points: Points, side: int) -> list[tuple[float, float]]:
    """Points of a part in pixels of a canvas of the given side."""
    placed = (points - 0.5) * (garment.width, garment.length) + 0.5 + garment.shift
    return [(x, y) for x, y in (placed * side).tolist()]


def _rasterized(garment: Garment, parts: tuple[Part, ...], size: int) -> tuple[Channel, Channel, Channel]:
    """[size, size] each: cover in [0, 1], tone about 1, and plainness as in `Material`."""
    side = _SUPERSAMPLING * size
    canvas = Image.new("RGB", (side, side), (0, _FULL_TONE, 0))
    draw = ImageDraw.Draw(canvas)
    outline_width = max(1, round(_OUTLINE_WIDTH * side))
    for part in parts:
        if part.material is Material.FOLD:
            continue
        tone, plainness = part.material.value
        fill = (255, round(tone * _FULL_TONE), round(plainness * 255))
        edge = (255, round(_OUTLINE_TONE * _FULL_TONE * min(tone, 0.9)), 128)
        for points in part.outlines:
            placed = _placed(garment, points, side)
            if part.width == 0:
                draw.polygon(placed, fill=fill)
                draw.line([*placed, placed[0], placed[1]], fill=edge, width=outline_width)
            else:
                _draw_line(draw, placed, part, side, fill, edge)
    scaled = np.asarray(canvas.resize((size, size), Image.Resampling.HAMMING), np.float32)
    return scaled[..., 0] / 255, scaled[..., 1] / _FULL_TONE, scaled[..., 2] / 255


def _draw_line(
    draw: ImageDraw.ImageDraw,
    placed: list[tuple[float, float]],
    part: Part,
    side: int,
    fill: tuple[int, int, int],
    edge: tuple[int, int, int],
) -> None:
    """A line of some width; one with body, as a strap has, gets an outline of its own."""
    width = max(1, round(part.width * side))
    if len(placed) == 1:
        (x, y), radius = placed[0], width / 2
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=edge)
        return
    if part.material is not Material.SEAM:
        draw.line(placed, fill=edge, width=width + max(2, round(_OUTLINE_WIDTH * side)), joint="curve")
    draw.line(placed, fill=fill, width=width, joint="curve")


def _cloth(garment: Garment, patterned: Channel, size: int) -> Channel:
    """[size, size, 3]: the garment's colour with its pattern, before light falls on it."""
    base = np.minimum(np.array(PALETTE[garment.colour], np.float32) * garment.shade, 255)
    if garment.pattern == "plain":
        return np.broadcast_to(base, (size, size, 3))
    light = base + (_PALE - base) * (0.88 if garment.pattern == "dots" else 0.62)
    amount = (_pattern(garment, size) * patterned)[..., None]
    return base + amount * (light - base)


def _pattern(garment: Garment, size: int) -> Channel:
    """[size, size] in [0, 1]: how far the cloth is towards the pattern's lighter colour."""
    across = (np.arange(size, dtype=np.float32) + 0.5) / size / garment.period + garment.phase
    sharpness = garment.period * size / 2  # pixels in half a period: edges one pixel wide
    if garment.pattern == "dots":
        x, y = across[None, :], across[:, None]
        return np.maximum(_dots(x, y, sharpness), _dots(x + 0.5, y + 0.5, sharpness))
    bands = np.clip((2 * np.abs(across % 1 - 0.5) - 0.5) * sharpness + 0.5, 0, 1)
    if garment.pattern == "stripes":
        return np.broadcast_to(bands[:, None], (size, size))
    return (bands[:, None] + bands[None, :]) / 2


def _dots(x: Channel, y: Channel, sharpness: float) -> Channel:
    distance = np.hypot(x % 1 - 0.5, y % 1 - 0.5)
    return np.clip((0.22 - distance) * 2 * sharpness + 0.5, 0, 1)


def _light(garment: Garment, parts: tuple[Part, ...], cover: Channel, size: int) -> Channel:
    """[size, size] about 0: light from the upper left on a soft body, and its folds."""
    body = _blurred(cover, 0.05 * size)
    down, right = np.gradient(body)
    relief = (0.8 * right + 0.5 * down) * 0.05 * size
    folds = Image.new("L", (size, size))
    draw = ImageDraw.Draw(folds)
    for part in parts:
        if part.material is Material.FOLD:
            for points in part.outlines:
                draw.line(_placed(garment, points, size), fill=255, width=max(1, round(part.width * size)))
    creases = np.asarray(folds.filter(ImageFilter.GaussianBlur(0.016 * size)), np.float32) / 255
    ridges = np.roll(creases, round(0.035 * size), 1)
    return 0.55 * relief + 0.22 * (body - 0.8) - 0.2 * creases + 0.12 * ridges


def _blurred(channel: Channel, radius: float) -> Channel:
    image = Image.fromarray((np.clip(channel, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
