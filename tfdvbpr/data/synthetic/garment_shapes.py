"""Vector outlines of garments: areas and lines of some material, from back to front. SHAPES lists the cuts.

Paths are written as in SVG (absolute M, L, Q, C and Z) on a square of 100 units, y downwards. `half` closes a path that
runs down the left side with its own mirror image, `pair` puts it on both sides, `one` on one.
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
        outlines: float64 [N, 2] points each, in units of the image's side, [0, 1].
        width: of the line or dot in units of the image's side; 0 for an area.
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


CLOTH, TRIM, INSIDE, PALE, SEAM, FOLD = Material


def _shirt_front() -> tuple[Part, ...]:
    return (
        half(CLOTH, "M50 27 Q42 26 39 15 L30 19 Q27 30 29 42 Q31 64 28 85 Q38 88 50 88"),
        one(TRIM, "M39 15 Q42 27 50 27 Q58 27 61 15", 3.0),
        one(SEAM, "M28.3 82 Q50 86.5 71.7 82", 0.8),
        pair(FOLD, "M32 45 Q38 52 36 62", 3),
        pair(FOLD, "M36 87 Q36 74 41 66", 3),
    )


def _waistband(top: float, width: float, height: float = 6) -> tuple[Part, ...]:
    left, bottom = 50 - width / 2, top + height
    return (
        half(TRIM, f"M50 {top} L{left} {top} L{left - 0.7} {bottom} L50 {bottom}"),
        pair(SEAM, f"M{left + 6} {top} L{left + 6} {bottom}", 1.6),
        one(PALE, f"M48.6 {top + 1.6} L51.4 {top + 1.6} L51.4 {top + 4.4} L48.6 {top + 4.4} Z"),
    )


SHAPES: dict[str, dict[str, tuple[Part, ...]]] = {  # category -> cut -> parts, from back to front
    "t-shirt": {
        "short sleeve": (
            one(INSIDE, "M39 15 Q50 18 61 15 L60 22 Q50 31 40 22 Z"),
            pair(CLOTH, "M30 19 Q21 21 17 28 L6 46 Q12 52 21 54 L30 42 Z"),
            pair(SEAM, "M8 43 Q14 49 23 51", 0.8),
            *_shirt_front(),
        ),
        "long sleeve": (
            one(INSIDE, "M39 15 Q50 18 61 15 L60 22 Q50 31 40 22 Z"),
            pair(CLOTH, "M30 19 Q21 21 18 30 L8 72 L8 80 L18 82 L22 68 L31 42 Z"),
            pair(TRIM, "M8 76 L7.5 82.5 L18 84.5 L19.5 78 Z"),
            pair(FOLD, "M18 44 Q22 48 25 46", 3),
            *_shirt_front(),
        ),
        "tank": (
            one(INSIDE, "M35 13 Q36 26 50 27 Q64 26 65 13 L62 20 Q58 40 50 40 Q42 40 38 20 Z"),
            half(CLOTH, "M50 40 Q40 39 38.5 12 L31 12 Q34 34 24 43 Q27 64 26 86 Q38 89 50 89"),
            one(TRIM, "M38.5 12 Q40 40 50 40 Q60 40 61.5 12", 2.2),
            pair(TRIM, "M31 12 Q34 34 24 43", 2.2),
            one(SEAM, "M26 83 Q50 88 74 83", 0.8),
            pair(FOLD, "M30 52 Q36 58 34 68", 3),
            pair(FOLD, "M35 88 Q36 76 40 68", 3),
        ),
    },
    "trousers": {
        "shorts": (
            pair(CLOTH, "M50 26 L28 26 Q23 46 19 73 Q31 78 47 77 L50 51 Z"),
            *_waistband(21, 44),
            pair(TRIM, "M20 69 L19 75 Q31 80 47 79 L47.4 73 Q32 74 20 69 Z"),
            pair(SEAM, "M35 27 Q34 37 25.5 39", 1.0),
            pair(FOLD, "M48 47 Q42 50 38 56", 3.5),
            pair(FOLD, "M33 50 L30 72", 3),
        ),
        "straight": (
            pair(CLOTH, "M50 13 L31 13 Q28 30 28 50 L29 92 Q38 94 47 92 L50 40 Z"),
            *_waistband(8, 38),
            pair(SEAM, "M36 14 Q36 23 29.5 26", 1.0),
            pair(SEAM, "M29 89 Q38 91 47 89", 0.8),
            pair(FOLD, "M48 36 Q43 39 39 44", 3.5),
            pair(FOLD, "M38.5 46 L38 90", 2.5),
            pair(FOLD, "M30 62 Q34 65 38 63", 2.5),
        ),
        "flared": (
            pair(CLOTH, "M50 13 L34 13 Q29 30 33 48 Q34 68 18 91 Q31 96 46 93 Q45 62 50 38 Z"),
            *_waistband(8, 32),
            pair(SEAM, "M39 14 Q38 22 32 25", 1.0),
            pair(FOLD, "M48 35 Q44 38 41 43", 3.5),
            pair(FOLD, "M40 60 Q37 78 30 92", 3),
            pair(FOLD, "M42 66 Q42 80 39 92", 2.5),
        ),
    },
    "dress": {
        "strappy": (
            pair(TRIM, "M37.5 27 Q37 16 41 7", 3.0),
            one(INSIDE, "M36 27 Q50 21 64 27 L60 31 L40 31 Z"),
            half(CLOTH, "M50 46 L37 45 Q30 66 18 86 Q33 94 50 94"),
            half(CLOTH, "M50 31 Q44 22 36 24 Q34 34 37 46 L50 47"),
            half(TRIM, "M50 44 L37 43 L36 48.5 L50 50"),
            pair(FOLD, "M41 50 Q36 70 29 88", 3.5),
            pair(FOLD, "M47 51 Q45 74 42 92", 3.5),
            pair(FOLD, "M40 29 Q43 36 42 42", 2.5),
        ),
        "gown": (
            one(INSIDE, "M40 7 Q50 13 60 7 L53 32 L47 32 Z"),
            half(CLOTH, "M50 33 L41 6 L34 7 Q37 20 33 28 Q37 36 39 43 Q38 66 25 93 Q37 96 50 96"),
            half(TRIM, "M50 41 L38.6 40 L38.6 45.5 L50 46.5"),
            pair(TRIM, "M41 6 L50 33", 1.8),
            pair(FOLD, "M42 48 Q40 74 33 93", 3.5),
            pair(FOLD, "M47 48 Q47 76 44 94", 3.5),
        ),
        "sleeved": (
            one(INSIDE, "M42 11 Q50 14 58 11 L56 18 L44 18 Z"),
            pair(CLOTH, "M36 14 Q28 16 25 23 L15 46 Q20 51 27 52 L37 36 Z"),
            pair(TRIM, "M16 42 L13.5 47 Q19 53 28 54 L30 49 Q21 48 16 42 Z"),
            half(CLOTH, "M50 20 Q44 19 42 11 L35 14 Q33 28 37 44 Q31 66 21 87 Q35 93 50 93"),
            pair(PALE, "M42 11 Q44 19 50 20 Q46 27 40 25 Q36 18 40 11.5 Z"),
            one(TRIM, "M37 45 Q50 48 63 45", 3.5),
            *(one(PALE, f"M50 {y}", 2.6) for y in (27, 34, 41)),
            pair(FOLD, "M42 49 Q38 70 32 88", 3.5),
            pair(FOLD, "M47 50 Q46 74 44 92", 3),
        ),
    },
    "skirt": {
        "mini": (
            half(CLOTH, "M50 30 L31 30 Q25 50 18 74 Q34 81 50 81"),
            *_waistband(25, 39),
            one(SEAM, "M50 31 L50 81", 1.0),
            *(one(PALE, f"M50 {y}", 2.8) for y in (38, 48, 58, 68)),
            pair(SEAM, "M31 38 Q36 42 41 31", 1.0),
            pair(FOLD, "M37 46 Q34 62 29 77", 3.5),
            one(SEAM, "M19 71 Q50 84 81 71", 0.8),
        ),
        "pencil": (
            half(CLOTH, "M50 15 L36 15 Q25 32 29 52 L33 90 Q42 92 50 92"),
            half(TRIM, "M50 10 L36.5 10 L36 16 L50 16"),
            one(SEAM, "M60 16 Q63 50 59 70 L58 91", 1.0),
            one(INSIDE, "M59 74 L61 91.4 L57 91.8 Z"),
            pair(FOLD, "M40 18 Q37 26 37 32", 3),
            pair(FOLD, "M32 54 Q40 58 45 56", 3),
            pair(FOLD, "M40 62 L41 90", 3),
        ),
        "pleated": (
            half(CLOTH, "M50 27 L34 27 Q25 52 10 76 L16 83 L19 78 L27 86 L29 81 L38 88 L40 83 L50 89"),
            half(TRIM, "M50 21 L34.5 21 L33.5 28 L50 28"),
            pair(SEAM, "M38 28 Q30 56 18.5 79", 1.2),
            pair(SEAM, "M42 28 Q38 58 29 82", 1.2),
            pair(SEAM, "M46 28 Q44 60 40 84", 1.2),
            pair(FOLD, "M36 36 Q28 60 17 80", 3),
            pair(FOLD, "M40 36 Q35 60 27 83", 3),
            pair(FOLD, "M45 36 Q42 60 38 85", 3),
            one(FOLD, "M50 36 L50 87", 3),
        ),
    },
    "shoe": {
        "sneaker": (
            one(INSIDE, "M52 34 Q66 44 86 32 L84 50 L56 52 Z"),
            one(CLOTH, "M38 48 Q42 34 51 29 L58 33 L52 46 Z"),
            one(
                CLOTH,
                "M6 71 Q5 60 17 57 Q34 53 45 37 L53 34 Q58 48 70 47 Q80 45 84 30 Q89 29 91 35 Q96 54 95 72 "
                "Q50 76 6 71 Z",
            ),
            one(PALE, "M6 71 Q5 60 17 57 Q20 56 23 55 Q30 62 30 73 Z"),
            one(TRIM, "M84 30 Q89 29 91 35 Q95 48 95 62 L85 60 Q86 46 84 30 Z"),
            one(SEAM, "M44 40 Q52 54 56 73", 1.2),
            *(one(PALE, f"M{x} {y} L{x + 11} {y + 6}", 2.4) for x, y in ((43, 38), (38.5, 44.5), (33, 50))),
            one(PALE, "M5 70 Q50 75 96 70 Q97 80 90 81 L12 81 Q3 81 5 70 Z"),
            one(SEAM, "M6 77 Q50 78 95 77", 0.9),
            one(FOLD, "M62 52 Q72 62 82 56", 3),
        ),
        "boot": (
            one(CLOTH, "M37 12 L76 12 Q74 38 78 52 Q82 62 81 80 L12 80 Q7 64 22 58 Q37 53 39 42 Q40 28 37 12 Z"),
            one(INSIDE, "M37 12 Q56 8 76 12 Q56 17 37 12 Z"),
            one(TRIM, "M37 13 Q56 18 76 13 L75.5 21 Q56 25 38.5 21 Z"),
            one(SEAM, "M52 22 Q50 46 58 79", 1.2),
            *(one(PALE, f"M{x} {y} L{x + 11} {y + 3}", 2.4) for x, y in ((39.5, 29), (40, 36), (38.5, 43), (34, 49))),
            one(FOLD, "M56 44 Q66 50 76 46", 3.5),
            one(FOLD, "M30 60 Q40 64 46 60", 3),
            one(INSIDE, "M9 78 L82 78 L82 90 L62 90 L60 84 L12 85 Q8 84 9 78 Z"),
        ),
        "heel": (
            one(INSIDE, "M31 62 Q50 56 62 42 Q72 31 82 24 L84 30 Q72 46 62 54 Q48 70 31 62 Z"),
            one(TRIM, "M74 56 L89 48 Q88 68 86 86 L80 86 Q81 70 74 56 Z"),
            one(
                CLOTH,
                "M6 79 Q8 66 31 62 Q48 70 62 55 Q74 44 82 24 Q91 27 91 40 Q91 50 85 56 Q68 58 57 71 Q48 83 33 83 "
                "L12 83 Q5 83 6 79 Z",
            ),
            one(INSIDE, "M6 80 Q8 84 14 84 L34 84 Q49 84 58 72 Q49 80 34 80 Z"),
            one(PALE, "M31 64 L22 59 L23 69 Z"),
            one(PALE, "M31 64 L40 61 L38 71 Z"),
            one(FOLD, "M52 68 Q66 56 80 50", 3),
        ),
    },
    "bag": {
        "tote": (
            one(INSIDE, "M40 38 Q40 12 52 12 Q64 12 64 38", 3.0),
            half(CLOTH, "M50 36 L21 36 L15 88 Q15 91 19 91 L50 91"),
            half(TRIM, "M50 35 L21.2 35 L20.4 42.5 L50 42.5"),
            one(TRIM, "M34 46 L34 36 Q34 8 50 8 Q66 8 66 36 L66 46", 4.0),
            half(SEAM, "M50 56 L35 56 L34 78 L50 78", 1.2),
            pair(FOLD, "M24 50 Q25 68 22 86", 3),
            pair(FOLD, "M22 88 Q30 82 34 83", 3),
        ),
        "handbag": (
            one(TRIM, "M31 44 Q31 12 50 12 Q69 12 69 44", 4.2),
            half(CLOTH, "M50 41 L24 41 Q16 42 14 52 L9 81 Q9 88 17 88 L50 88"),
            half(TRIM, "M50 41 L24 41 Q16 42 15 52 Q26 68 50 68"),
            one(PALE, "M44 61 L56 61 L56 73 L44 73 Z"),
            one(SEAM, "M50 64 L50 70", 2.2),
            pair(PALE, "M31 43", 4.0),
            one(SEAM, "M17 54 Q28 65 50 65 Q72 65 83 54", 0.8),
            pair(FOLD, "M18 72 Q20 80 26 84", 3.5),
        ),
        "backpack": (
            one(TRIM, "M42 19 Q42 8 50 8 Q58 8 58 19", 3.2),
            pair(TRIM, "M31 34 Q15 46 21 82 L30 86", 4.6),
            half(CLOTH, "M50 15 Q27 16 25 40 L23 83 Q23 92 33 92 L50 92"),
            half(SEAM, "M50 22 Q33 22 31 40 L30 52", 1.2),
            half(TRIM, "M50 56 L33 56 Q29 56 29 60 L28 81 Q28 86 33 86 L50 86"),
            one(SEAM, "M31 64 L69 64", 1.4),
            one(PALE, "M57 64 L57 70", 2.4),
            one(PALE, "M43 33 L57 33 L57 42 L43 42 Z"),
            pair(FOLD, "M28 58 L27 86", 3),
        ),
    },
    "hat": {
        "cap": (
            one(CLOTH, "M27 63 Q25 26 58 24 Q91 27 92 65 Q58 72 27 63 Z"),
            one(SEAM, "M58 24 Q45 40 45 67", 1.2),
            one(SEAM, "M58 24 Q74 42 74 68", 1.2),
            one(TRIM, "M55 25 Q58 20 61 25 Z", 2.5),
            one(TRIM, "M28 58 Q13 59 5 70 Q6 77 17 77 Q34 76 62 69 Q46 62 28 58 Z"),
            one(SEAM, "M8 71 Q24 71 52 68", 0.9),
            one(FOLD, "M82 40 Q86 50 84 64", 4),
        ),
        "brimmed": (
            half(CLOTH, "M50 79 Q18 79 6 62 Q6 55 14 57 Q28 60 50 60"),
            half(CLOTH, "M50 26 Q43 20 36 22 Q29 25 28 42 L25 63 Q36 69 50 69"),
            half(TRIM, "M50 60 Q36 60 26.3 54 L25 63 Q36 69 50 69"),
            one(FOLD, "M50 27 Q46 36 47 44", 4),
            pair(FOLD, "M36 30 Q34 42 35 52", 2.5),
            pair(FOLD, "M12 63 Q26 73 48 74", 2.5),
        ),
        "beanie": (
            half(PALE, "M50 8 Q40 8 40 17 Q40 26 50 26"),
            half(CLOTH, "M50 23 Q22 23 20 66 Q36 69 50 69"),
            half(TRIM, "M50 62 Q32 62 18 59 Q15 70 17 82 Q34 87 50 87"),
            pair(SEAM, "M42 64 L41 85", 1.1),
            pair(SEAM, "M33 63 L32 84", 1.1),
            pair(SEAM, "M25 62 L24 83", 1.1),
            one(SEAM, "M50 64 L50 86", 1.1),
            pair(FOLD, "M44 27 Q37 44 37 62", 3),
            pair(FOLD, "M38 29 Q27 44 27 60", 3),
        ),
    },
}
