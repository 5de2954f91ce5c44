"""Picture grids with captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_GAP = 6
_INK = (40, 40, 40)


def picture_grid(
    rows: Sequence[Sequence[npt.NDArray[np.uint8] | None]],
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    cell_height: int = 96,
) -> Image.Image:
    """Lays pictures out in rows on white.

    Args:
        rows: uint8 [H, W, 3] pictures, or None for an empty cell; rows may differ in length.
        column_titles: above the columns.
        row_titles: left of the rows.
        cell_height: pictures are enlarged or reduced to this height in pixels; their aspect stays.
    """
    first = next(picture for row in rows for picture in row if picture is not None)
    cell_width = max(1, round(first.shape[1] * cell_height / first.shape[0]))
    font = ImageFont.load_default(size=12)
    left = _GAP + max((int(font.getlength(title)) + _GAP for title in row_titles), default=0)
    top = _GAP + (18 if column_titles else 0)
    columns = max(len(row) for row in rows)
    size = (left + columns * (cell_width + _GAP), top + len(rows) * (cell_height + _GAP))
    sheet = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for number, title in enumerate(column_titles):
        draw.text((left + number * (cell_width + _GAP), _GAP), title, fill=_INK, font=font)
    for number, row in enumerate(rows):
        y = top + number * (cell_height + _GAP)
        if number < len(row_titles):
            draw.text((_GAP, y + cell_height // 2 - 8), row_titles[number], fill=_INK, font=font)
        for column, picture in enumerate(row):
            if picture is not None:
                cell = Image.fromarray(picture).resize((cell_width, cell_height), Image.Resampling.BICUBIC)
                sheet.paste(cell, (left + column * (cell_width + _GAP), y))
    return sheet
