"""Vector parts of which garments are put together: areas and lines of some material.

Paths are written as in SVG (absolute M, L, Q, C and Z) on a square of 100 units, y downwards. `half` closes a path that
runs down the left side with its own mirror image, `pair` draws it on both sides, `one` draws it as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

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
        outlines: float64 [N, 2] points each, in units of the picture's side, [0, 1].
        width: of the line or dot in units of the picture's side; 0 for an area.
    """

    material: Material
    outlines: tuple[Points, ...]
    width: float = 0.0


def one(material: Material, path: str, width: float = 0.0) -> Part:
    """A path as it stands."""
    return Part(material, (_points(path),), width / 100)


def pair(material: Material, path: str, width: float = 0.0) -> Part:
    """A path and its mirror image."""
    points = _points(path)
    return Part(material, (points, _mirrored(points)), width / 100)


def half(material: Material, path: str, width: float = 0.0) -> Part:
    """A path down the left side and back up the right."""
    points = _points(path)
    return Part(material, (np.concatenate([points, _mirrored(points)[::-1]]),), width / 100)


def _mirrored(points: Points) -> Points:
    return np.stack([1 - points[:, 0], points[:, 1]], axis=1)


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
