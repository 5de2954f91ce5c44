"""The two pictures of `tfdvbpr describe`: the long tail of the items, and a sheet of what they look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import COLD_THRESHOLD, Interactions
from tfdvbpr.files import whole_file

LONG_TAIL_NAME = "long_tail.png"
CONTACT_SHEET_NAME = "contact_sheet.png"
MAX_CATEGORIES = 12
_COLUMNS = 8
_CELL, _GAP, _CAPTION = 96, 8, 18
_INK, _FAINT = (40, 40, 40), (120, 120, 120)
_WARM, _COLD = "#1f4e79", "#c0504d"


def draw_long_tail(interactions: Interactions, path: Path, *, cold_threshold: int = COLD_THRESHOLD) -> None:
    """Items in the order of their training actions, both axes logarithmic, the cold ones in another colour.

    Args:
        interactions: of the dataset.
        path: the PNG to write.
        cold_threshold: an item with fewer training actions is cold.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.sort(interactions.training_counts)[::-1]
    ranks = np.arange(1, len(counts) + 1)
    num_cold, num_unused = int((counts < cold_threshold).sum()), int((counts == 0).sum())
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    warm, cold = counts >= cold_threshold, (counts < cold_threshold) & (counts > 0)
    axes.plot(ranks[warm], counts[warm], ".", color=_WARM, markersize=4)
    axes.plot(ranks[cold], counts[cold], ".", color=_COLD, markersize=4)
    axes.axhline(cold_threshold - 0.5, color=_COLD, linewidth=1, linestyle="--")
    told = f"cold, fewer than {cold_threshold} training actions: {num_cold:,} of {len(counts):,} items"
    if num_unused:
        told += f"\n{num_unused:,} of them without any, not drawn"
    axes.text(0.02, 0.03, told, transform=axes.transAxes, color=_COLD, fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="items, most popular first", ylabel="training actions")
    axes.set_xlim(0.8, len(counts) * 1.25)
    axes.set_ylim(0.4, max(float(counts[0]), 2.0 * cold_threshold) * 1.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    with whole_file(path) as scratch:
        figure.savefig(scratch, dpi=150, format="png")


def draw_contact_sheet(dataset: PreparedDataset, path: Path, *, seed: int = 0) -> None:
    """Up to 8 pictures of each of up to 12 categories (the largest), drawn at random, with their item ids.

    Args:
        dataset: opened.
        path: the PNG to write.
        seed: which items are shown.
    """
    rows = _sample(dataset, seed)
    height, width = dataset.manifest.image_size
    scale = _CELL / max(height, width)
    cell = (max(1, round(width * scale)), max(1, round(height * scale)))
    line = cell[1] + 2 * _CAPTION + _GAP
    left_out = len(dataset.items.categories) - len(rows)
    size = (_GAP + _COLUMNS * (_CELL + _GAP), _GAP + len(rows) * line + (_CAPTION if left_out else 0))
    sheet = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for number, (title, items) in enumerate(rows.items()):
        _draw_row(sheet, draw, dataset, title, items, top=_GAP + number * line, cell=cell)
    if left_out:
        text = f"and {left_out} smaller {'category' if left_out == 1 else 'categories'}"
        draw.text((_GAP, size[1] - _CAPTION - 2), text, fill=_FAINT, font=ImageFont.load_default(size=11))
    with whole_file(path) as scratch:
        sheet.save(scratch, format="PNG")


def _sample(dataset: PreparedDataset, seed: int) -> dict[str, npt.NDArray[np.int32]]:
    """A title a category, largest first, and its drawn item rows, in the catalogue's order."""
    generator = np.random.default_rng(seed)
    ids, names = dataset.items.category_ids, dataset.items.categories
    sizes = np.bincount(ids, minlength=len(names))
    rows: dict[str, npt.NDArray[np.int32]] = {}
    for category in np.argsort(-sizes, kind="stable")[:MAX_CATEGORIES]:
        members = np.flatnonzero(ids == category)
        drawn = generator.choice(members, min(_COLUMNS, len(members)), replace=False)
        counted = f"{sizes[category]:,} item{'' if sizes[category] == 1 else 's'}"
        rows[f"{names[category]}  ({counted})"] = np.sort(drawn).astype(np.int32)
    return rows


def _draw_row(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    dataset: PreparedDataset,
    title: str,
    items: npt.NDArray[np.int32],
    *,
    top: int,
    cell: tuple[int, int],
) -> None:
    bold, plain = ImageFont.load_default(size=12), ImageFont.load_default(size=10)
    draw.text((_GAP, top), _fitting(title, sheet.width - 2 * _GAP, bold), fill=_INK, font=bold)
    for column, (item, pixels) in enumerate(zip(items, dataset.images.read(items), strict=True)):
        x, y = _GAP + column * (_CELL + _GAP), top + _CAPTION
        sheet.paste(Image.fromarray(pixels).resize(cell, Image.Resampling.LANCZOS), (x, y))
        caption = _fitting(dataset.items.item_ids[int(item)], _CELL, plain)
        draw.text((x, y + cell[1] + 1), caption, fill=_FAINT, font=plain)


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, cut with an ellipsis where it is wider than so many pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
