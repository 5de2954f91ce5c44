"""Vector outlines of garments: areas and lines of some material, from back to front. SHAPES lists the cuts.

They are drawn in garment_shapes.json, a line a part: "one", "pair" or "half", the material, the width of a line or dot,
and a path as in SVG (absolute M, L, Q, C and Z) on a square of 100 units, y downwards. `half` closes a path that runs
down the left side with its own mirror image, `pair` puts it on both sides, `one` on one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
_CURVE_POINTS = 9


class Material(Enum):
    """How a part is painted: (tone of the garment's colour, plainness: 0 patterned, 0.5 plain, 1 off-white)."""

    CLOTH = (1.0, 0.0)
    TRIM = (0.80, 0.5)
    INSIDE = (0.52, 0.5)
    PALE = (1.0, 1.0)
    SEAM = (0.68, 0.5)
    FOLD = (0.0, 0.0)


@dataclass(frozen=True)
class Part:
    """A filled area, a line if it has a width, a round dot if it also has one point alone.

    Attributes:
        material: how it is painted.
        outlines: float64 [N, 2] points each, in units of the image's side, [0, 1].
        width: of the line or dot in units of the image's side; 0 for an area.
    """

    material: Material
    outlines: tuple[Points, ...]
    width: float = 0.0


def _part(line: str) -> Part:
    """The part of a line of garment_shapes.json."""
    style, path = line.split(" M", 1)
    how, material, *width = style.split()
    points = _points(f"M{path}")
    mirrored = np.stack([1 - points[:, 0], points[:, 1]], axis=1)
    whole = {"one": (points,), "pair": (points, mirrored), "half": (np.concatenate([points, mirrored[::-1]]),)}
    return Part(Material[material], whole[how], float(width[0]) / 100 if width else 0.0)


def _points(path: str) -> Points:
    """float64 [N, 2] in [0, 1]: an SVG path with its curves as short straight pieces."""
    found: list[Points] = []
    for command, numbers in re.findall(r"([MLQC])([^MLQCZ]*)", path):
        given = np.array(numbers.split(), dtype=np.float64).reshape(-1, 2)
        if command in "QC":
            given = _bezier(np.concatenate([found[-1][-1:], given]))[1:]
        found.append(given)
    return np.concatenate(found) / 100


def _bezier(controls: Points) -> Points:
    """Points of a Bézier curve by de Casteljau's construction."""
    t = np.linspace(0, 1, _CURVE_POINTS)[:, None, None]
    between = np.broadcast_to(controls, (_CURVE_POINTS, *controls.shape))
    while between.shape[1] > 1:
        between = between[:, :-1] * (1 - t) + between[:, 1:] * t
    return between[:, 0]


_OUTLINES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
SHAPES: dict[str, dict[str, tuple[Part, ...]]] = {  # category -> cut -> parts, from back to front
    category: {cut: tuple(map(_part, lines)) for cut, lines in cuts.items()} for category, cuts in _OUTLINES.items()
}
