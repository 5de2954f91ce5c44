"""Image grids with captions, and animations of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tfdvbpr.text import shortened

_GAP = 6
_LINE = 16
_INK, _PALE = (40, 40, 40), (110, 110, 110)
_LONGEST, _LONGEST_TITLE = 60, 200  # characters
_FRAME_MILLISECONDS, _END_MILLISECONDS = 120, 1200


def image_grid(
    rows: Sequence[Sequence[npt.NDArray[np.uint8] | None]],
    *,
    title: str = "",
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    cell_height: int = 96,
) -> Image.Image:
    """Lays images out in rows on white.

    Args:
        rows: uint8 [H, W, 3] images, or None for an empty cell; rows may differ in length.
        captions: below the images, in the shape of `rows`.
        cell_height: images are resized to this height in pixels; their aspect stays.

    Titles and captions are shown as plain text on one line, shortened where they are long.
    """
    title = shortened(title, _LONGEST_TITLE)
    column_titles, row_titles = (
        [shortened(each, _LONGEST) for each in titles] for titles in (column_titles, row_titles)
    )
    first = next(image for row in rows for image in row if image is not None)
    cell_width = max(1, round(first.shape[1] * cell_height / first.shape[0]))
    font, small = ImageFont.load_default(size=12), ImageFont.load_default(size=10)
    left = _GAP + max((int(font.getlength(each)) + _GAP for each in row_titles), default=0)
    top = _GAP + (18 if title else 0) + (18 if column_titles else 0)
    columns = max(len(row) for row in rows)
    row_height = cell_height + _GAP + (_LINE if captions else 0)
    widest = max(left + columns * (cell_width + _GAP), int(font.getlength(title)) + 2 * _GAP)
    grid = Image.new("RGB", (widest, top + len(rows) * row_height), (255, 255, 255))
    draw = ImageDraw.Draw(grid)
    draw.text((_GAP, _GAP), title, fill=_INK, font=font)
    for number, each in enumerate(column_titles):
        draw.text((left + number * (cell_width + _GAP), top - 18), each, fill=_INK, font=font)
    for number, row in enumerate(rows):
        y = top + number * row_height
        if number < len(row_titles):
            draw.text((_GAP, y + cell_height // 2 - 8), row_titles[number], fill=_INK, font=font)
        for column, image in enumerate(row):
            x = left + column * (cell_width + _GAP)
            if image is not None:
                cell = Image.fromarray(image).resize((cell_width, cell_height), Image.Resampling.BICUBIC)
                grid.paste(cell, (x, y))
            if number < len(captions) and column < len(captions[number]):
                draw.text(
                    (x, y + cell_height + 1), shortened(captions[number][column], _LONGEST), fill=_PALE, font=small
                )
    return grid


def write_animation(
    path: Path, frames: npt.NDArray[np.uint8], *, captions: Sequence[str] = (), columns: int = 8, cell_height: int = 96
) -> None:
    """Writes images that change together, forth and back, in an endless loop.

    Args:
        path: ends in .gif (256 colours), .png (APNG, all colours) or .webp.
        frames: uint8 [F, M, H, W, 3], M images side by side.
        captions: one per frame, above the images.
        columns: images in a row.
        cell_height: of an image, in pixels.
    """
    grids = []
    for number, images in enumerate(frames):
        rows = [list(images[start : start + columns]) for start in range(0, len(images), columns)]
        grids.append(image_grid(rows, title=captions[number] if captions else "", cell_height=cell_height))
    width = max(grid.width for grid in grids)
    grids = [ImageOps.pad(grid, (width, grid.height), color=(255, 255, 255), centering=(0, 0)) for grid in grids]
    order = [*range(len(grids)), *range(len(grids) - 2, 0, -1)]
    if path.suffix == ".gif":  # one palette, of the last frame, so that colours do not flicker
        palette = grids[-1].quantize(255, method=Image.Quantize.MEDIANCUT)
        grids = [grid.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for grid in grids]
    first, *others = (grids[number] for number in order)
    times = [_END_MILLISECONDS if number in (0, len(grids) - 1) else _FRAME_MILLISECONDS for number in order]
    first.save(path, save_all=True, append_images=others, duration=times, loop=0)
