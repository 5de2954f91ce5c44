"""Picture grids with captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_GAP = 6
_LINE = 16
_INK, _PALE = (40, 40, 40), (110, 110, 110)


def picture_grid(
    rows: Sequence[Sequence[npt.NDArray[np.uint8] | None]],
    *,
    title: str = "",
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    cell_height: int = 96,
) -> Image.Image:
    """Lays pictures out in rows on white.

    Args:
        rows: uint8 [H, W, 3] pictures, or None for an empty cell; rows may differ in length.
        title: above everything.
        column_titles: above the columns.
        row_titles: left of the rows.
        captions: below the pictures, as `rows`.
        cell_height: pictures are enlarged or reduced to this height in pixels; their aspect stays.
    """
    first = next(picture for row in rows for picture in row if picture is not None)
    cell_width = max(1, round(first.shape[1] * cell_height / first.shape[0]))
    font, small = ImageFont.load_default(size=12), ImageFont.load_default(size=10)
    left = _GAP + max((int(font.getlength(each)) + _GAP for each in row_titles), default=0)
    top = _GAP + (18 if title else 0) + (18 if column_titles else 0)
    columns = max(len(row) for row in rows)
    row_height = cell_height + _GAP + (_LINE if captions else 0)
    widest = max(left + columns * (cell_width + _GAP), int(font.getlength(title)) + 2 * _GAP)
    sheet = Image.new("RGB", (widest, top + len(rows) * row_height), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, fill=_INK, font=font)
    for number, each in enumerate(column_titles):
        draw.text((left + number * (cell_width + _GAP), top - 18), each, fill=_INK, font=font)
    for number, row in enumerate(rows):
        y = top + number * row_height
        if number < len(row_titles):
            draw.text((_GAP, y + cell_height // 2 - 8), row_titles[number], fill=_INK, font=font)
        for column, picture in enumerate(row):
            x = left + column * (cell_width + _GAP)
            if picture is not None:
                cell = Image.fromarray(picture).resize((cell_width, cell_height), Image.Resampling.BICUBIC)
                sheet.paste(cell, (x, y))
            if number < len(captions) and column < len(captions[number]):
                draw.text((x, y + cell_height + 1), captions[number][column], fill=_PALE, font=small)
    return sheet
