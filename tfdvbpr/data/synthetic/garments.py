"""Pictures of garments on an off-white ground, drawn from a description of a few words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from tfdvbpr.data.synthetic.colours import PALETTE
from tfdvbpr.data.synthetic.garment_parts import Material, Part, Points
from tfdvbpr.data.synthetic.garment_shapes import shapes

Channel = npt.NDArray[np.floating]

CATEGORIES: tuple[str, ...] = tuple(shapes())
CUTS: dict[str, tuple[str, ...]] = {category: tuple(cuts) for category, cuts in shapes().items()}
PATTERNS: tuple[str, ...] = ("plain", "stripes", "checks", "dots")

_GROUND = np.array([247, 246, 243], np.float32)
_PALE = np.array([244, 240, 231], np.float32)
_SUPERSAMPLING = 4
_OUTLINE_TONE, _OUTLINE_WIDTH = 0.55, 0.011
_FULL_TONE = 200  # of 255: leaves room above the colour itself


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
        shift: (right, down) of the whole garment, in units of the picture's side.
        shade: factor of the colour's brightness, about 1.
        phase: where the pattern begins, in periods, [0, 1).
        period: of the pattern, in units of the picture's side.
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
    """A garment drawn uniformly, except for what is given.

    Args:
        rng: every draw comes from here.
        category: a name in CATEGORIES.
        cut: a name in CUTS of that category.
        colour: a name in PALETTE.
        pattern: a name in PATTERNS.

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
    """Draws a garment.

    Areas and lines are drawn at four times the size and scaled down, the shading is computed at the size itself.

    Args:
        garment: what to draw.
        size: width and height in pixels.

    Returns:
        An RGB picture, size x size.

    Raises:
        ValueError: if `size` is below 8.
    """
    if size < 8:
        raise ValueError(f"`size` must be at least 8 pixels. Received {size}.")
    parts = shapes()[garment.category][garment.cut]
    cover, tone, plainness = _drawn(garment, parts, size)
    cloth = _cloth(garment, np.clip(1 - 2 * plainness, 0, 1), size)
    pale = np.clip(2 * plainness - 1, 0, 1)[..., None]
    cloth = (cloth + pale * (_PALE - cloth)) * tone[..., None]
    light = _light(garment, parts, cover, size)[..., None]
    cloth = cloth * (1 + light) + 30 * light
    shadow = _blurred(np.roll(cover, (round(0.025 * size), round(0.02 * size)), (0, 1)), 0.03 * size)
    ground = _GROUND * (1 - 0.13 * shadow[..., None])
    pixels = ground + cover[..., None] * (cloth - ground)
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def _placed(garment: Garment, points: Points, side: int) -> list[tuple[float, float]]:
    """Points of a part in pixels of a canvas of the given side."""
    placed = (points - 0.5) * (garment.width, garment.length) + 0.5 + garment.shift
    return [(x, y) for x, y in (placed * side).tolist()]


def _drawn(garment: Garment, parts: tuple[Part, ...], size: int) -> tuple[Channel, Channel, Channel]:
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
