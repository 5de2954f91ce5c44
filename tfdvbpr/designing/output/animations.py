"""Ways from one picture to another, animated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfdvbpr.designing.output.grid import picture_grid

_FRAME_MILLISECONDS, _END_MILLISECONDS = 120, 1200


def write_animation(
    path: Path,
    frames: npt.NDArray[np.uint8],
    *,
    captions: Sequence[str] = (),
    columns: int = 8,
    cell_height: int = 96,
) -> None:
    """Writes pictures that change together, forth and back, in an endless loop.

    Args:
        path: ends in .gif (256 colours), .png (APNG, all colours) or .webp.
        frames: uint8 [F, M, H, W, 3], M pictures side by side.
        captions: one a frame, above the pictures.
        columns: pictures in a row.
        cell_height: of a picture, in pixels.
    """
    sheets = []
    for number, pictures in enumerate(frames):
        rows = [list(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
        title = captions[number] if captions else ""
        sheets.append(picture_grid(rows, title=title, cell_height=cell_height))
    width = max(sheet.width for sheet in sheets)
    if any(sheet.width != width for sheet in sheets):
        sheets = [_widened(sheet, width) for sheet in sheets]
    order = [*range(len(sheets)), *range(len(sheets) - 2, 0, -1)]
    ends = (0, len(sheets) - 1)
    if path.suffix == ".gif":  # one palette, of the last frame, so that colours do not flicker
        palette = sheets[-1].quantize(255, method=Image.Quantize.MEDIANCUT)
        sheets = [sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for sheet in sheets]
    first, *others = (sheets[number] for number in order)
    times = [_END_MILLISECONDS if number in ends else _FRAME_MILLISECONDS for number in order]
    first.save(path, save_all=True, append_images=others, duration=times, loop=0)


def _widened(sheet: Image.Image, width: int) -> Image.Image:
    wide = Image.new("RGB", (width, sheet.height), (255, 255, 255))
    wide.paste(sheet, (0, 0))
    return wide
