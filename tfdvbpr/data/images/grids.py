"""Image grids with captions, and animations of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from tfdvbpr.fonts import draw_text, drawable, fitted, text_width
from tfdvbpr.text import shortened

_GAP = 6
_TITLE, _CAPTION = 12, 10  # sizes of letters in pixels
_TITLE_LINE, _CAPTION_LINE = 18, 14  # pixels
_INK, _PALE, _WHITE = (40, 40, 40), (110, 110, 110), (255, 255, 255)
_LONGEST, _LONGEST_TITLE = 60, 200  # characters
_ROOM = 104  # pixels; columns of narrow images are so wide that short texts fit
_MOST_LINES = 3  # that one line of a caption may take
_FRAME_MILLISECONDS, _END_MILLISECONDS = 120, 1200

Pixels = npt.NDArray[np.uint8]


def image_grid(
    rows: Sequence[Sequence[Pixels | None]],
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
        column_titles: above the columns; one runs over the columns after it whose titles are empty.
        captions: below the images, in the shape of `rows`; a newline begins a new line.
        cell_height: images are resized to this height in pixels; the first one's aspect is that of all cells, and
            images of another are centred in them.

    Titles and captions are shown as plain text: letters that no font has as escapes, captions wrapped by the column
    and cut after three lines, long titles cut.
    """
    first = next(image for row in rows for image in row if image is not None)
    cell = max(1, round(first.shape[1] * cell_height / first.shape[0])), cell_height
    columns = max(len(row) for row in rows)
    title = drawable(shortened(title, _LONGEST_TITLE))
    row_titles = [drawable(shortened(each, _LONGEST)) for each in row_titles]
    spans = list(_spans(column_titles, columns))
    lines = [[[drawable(line) for line in each.split("\n")] for each in row] for row in captions]

    texts = [text_width(each, _TITLE) // span for each, span in spans]
    texts += [text_width(line, _CAPTION) for row in lines for each in row for line in each]
    pitch = max(cell[0], min(max(texts, default=0), _ROOM)) + _GAP
    wrapped = [[[part for line in each for part in _wrapped(line, pitch - _GAP)] for each in row] for row in lines]
    left = _GAP + max((text_width(each, _TITLE) + _GAP for each in row_titles), default=0)
    top = _GAP + _TITLE_LINE * (bool(title) + bool(column_titles))
    below = [max(map(len, texts), default=0) * _CAPTION_LINE for texts in wrapped]
    heights = [
        cell_height + _GAP + (below[number] + _GAP if below[number:] and below[number] else 0)
        for number in range(len(rows))
    ]
    widest = max(left + columns * pitch, text_width(title, _TITLE) + 2 * _GAP)
    grid = Image.new("RGB", (widest, top + sum(heights)), _WHITE)
    draw = ImageDraw.Draw(grid)
    draw_text(draw, (_GAP, _GAP - 3), title, size=_TITLE, fill=_INK)
    column = 0
    for text, span in spans:
        shown = fitted(text, span * pitch - _GAP, _TITLE)
        draw_text(draw, (left + column * pitch, top - _TITLE_LINE), shown, size=_TITLE, fill=_INK)
        column += span
    y = top
    for number, row in enumerate(rows):
        if number < len(row_titles):
            draw_text(draw, (_GAP, y + cell_height // 2 - 8), row_titles[number], size=_TITLE, fill=_INK)
        for column, image in enumerate(row):
            x = left + column * pitch
            if image is not None:
                _paste(grid, image, (x, y), cell)
            for line, text in enumerate(_at(wrapped, number, column)):
                place = (x, y + cell_height + 1 + line * _CAPTION_LINE)
                draw_text(draw, place, text, size=_CAPTION, fill=_PALE)
        y += heights[number]
    return grid


def _spans(titles: Sequence[str], columns: int) -> Iterator[tuple[str, int]]:
    """Each title with the columns that it may run over: its own, and those after it without a title."""
    column = 0
    while column < len(titles):
        empty = len(list(takewhile(lambda text: not text, titles[column + 1 :])))
        last = column + 1 + empty == len(titles)
        span = max(1, columns - column) if last else 1 + empty
        yield drawable(shortened(titles[column], _LONGEST)), span
        column += 1 + empty


def _wrapped(text: str, width: int) -> list[str]:
    """A text in at most three lines of a width in pixels, broken between words."""
    lines: list[str] = []
    words = text.split(" ")
    while words and len(lines) < _MOST_LINES - 1 and text_width(" ".join(words), _CAPTION) > width:
        count = max(1, len(words) - 1)
        while count > 1 and text_width(" ".join(words[:count]), _CAPTION) > width:
            count -= 1
        lines.append(fitted(" ".join(words[:count]), width, _CAPTION))
        words = words[count:]
    return [*lines, fitted(" ".join(words), width, _CAPTION)] if words else lines


def _at(captions: list[list[list[str]]], row: int, column: int) -> list[str]:
    return captions[row][column] if row < len(captions) and column < len(captions[row]) else []


def _paste(grid: Image.Image, image: Pixels, place: tuple[int, int], cell: tuple[int, int]) -> None:
    """Pastes an image of the cell's aspect, up to a pixel, over the whole cell, and another into its middle."""
    shown = Image.fromarray(image)
    if abs(image.shape[1] * cell[1] / image.shape[0] - cell[0]) <= 1:
        shown = shown.resize(cell, Image.Resampling.BICUBIC)
    else:
        shown = ImageOps.pad(shown, cell, Image.Resampling.BICUBIC, color=_WHITE)
    grid.paste(shown, place)


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
