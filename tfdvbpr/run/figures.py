"""Pictures of recommendations and of their explanations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy import ndimage

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import whole_file
from tfdvbpr.run import Recommendation

if TYPE_CHECKING:
    from tfdvbpr.run.explain import Explanation

_COLUMNS = 6
_CELL = 1.55  # inches
_SOURCES = 3
_LONGEST = 18
_SMOOTH = 0.025  # of the picture's height; for the eye alone
_INK, _PALE = "#282828", "#757575"

Picture = npt.NDArray[np.uint8]


def write_recommendations(
    output: Path, liked: Sequence[str], answer: Sequence[Recommendation], *, dataset: PreparedDataset, title: str
) -> None:
    """Writes the liked items above the recommended ones, each with its id and score.

    Args:
        output: a PNG.
        liked: item ids; the first twelve are shown.
        answer: best first.
        dataset: the run's, for the pictures.
        title: above everything.
    """
    shown = list(liked)[: 2 * _COLUMNS]
    more = f" (the first {len(shown)} of {len(liked)})" if len(shown) < len(liked) else ""
    captions = [_short(item_id) for item_id in shown]
    best = [f"{number}. {_short(each.item_id)}\n{each.score:+.2f}" for number, each in enumerate(answer, 1)]
    bands = [(f"liked{more}", shown, captions), ("recommended", [each.item_id for each in answer], best)]
    bands = [band for band in bands if band[1]]
    heights = [-(-len(band[1]) // _COLUMNS) for band in bands]
    figure, cells = _figure(sum(heights), _COLUMNS, title)
    first = 0
    for (heading, item_ids, told), height in zip(bands, heights, strict=True):
        places = cells[first : first + height].ravel()
        places[0].set_title(heading, fontsize=9, color=_PALE, loc="left")
        pictures = dataset.images.read(dataset.items.indices(item_ids))
        for axes, picture, caption in zip(places, pictures, told, strict=False):
            _show(axes, picture, caption)
        first += height
    _save(figure, output)


def write_explanations(
    output: Path, explanations: Sequence[Explanation], *, dataset: PreparedDataset, title: str, baseline: str
) -> None:
    """Writes a row an item: its picture, the heat map, and the liked items that add most to the score.

    Args:
        output: a PNG.
        explanations: one a row.
        dataset: the run's, for the pictures of the liked items.
        title: above everything.
        baseline: the name of the baseline picture, which the sheet tells.
    """
    maps = [_smooth(each.attributions) for each in explanations]
    most = max(float(np.quantile(np.abs(values), 0.995)) for values in maps) or 1.0
    columns = 2 + min(_SOURCES, max(len(each.sources) for each in explanations))
    figure, cells = _figure(len(explanations), columns, title, foot=0.75)
    for row, each, values in zip(cells, explanations, maps, strict=True):
        _show(row[0], each.image_uint8, f"{_short(each.item_id)}\nscore {each.score:+.2f}")
        _show(row[1], _overlay(each.image_uint8, values, most), f"{baseline} picture {each.baseline_score:+.2f}")
        named = each.sources[: columns - 2]
        pictures = dataset.images.read(dataset.items.indices([source.item_id for source in named]))
        for axes, source, picture in zip(row[2:], named, pictures, strict=False):
            _show(axes, picture, f"{_short(source.item_id)}\nadds {source.share:+.2f}")
    for axes, heading in zip(cells[0], ("item", "where from", "liked items that add most"), strict=False):
        axes.set_title(heading, fontsize=9, color=_PALE, loc="left")
    _legend(figure, f"integrated gradients from a {baseline} picture")
    _save(figure, output)


def _figure(rows: int, columns: int, title: str, *, foot: float = 0.0) -> tuple[Figure, Any]:
    """A white figure with a title, its cells, empty, and by choice so many inches left free below them."""
    height = rows * (_CELL + 0.35) + 0.5 + foot
    figure = Figure(figsize=(columns * _CELL + 0.3, height), dpi=110)
    figure.set_layout_engine("constrained", h_pad=0.07, rect=(0.0, foot / height, 1.0, 1.0 - foot / height))
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=_INK)
    cells = figure.subplots(rows, columns, squeeze=False)
    for axes in cells.ravel():
        axes.axis("off")
    return figure, cells


def _show(axes: Any, picture: npt.NDArray[Any], caption: str) -> None:
    axes.imshow(picture, interpolation="bicubic")
    axes.axis("on")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(caption, fontsize=8, color=_INK)
    for spine in axes.spines.values():
        spine.set_color("#dddddd")


def _overlay(picture: Picture, values: npt.NDArray[np.float32], most: float) -> npt.NDArray[np.float64]:
    """The picture in pale grey under red where the values speak for it and blue where they speak against it."""
    grey = 0.35 + 0.65 * picture.mean(axis=2, keepdims=True) / 255.0
    strength = np.clip(np.abs(values) / most, 0.0, 1.0)[..., None]
    colours = colormaps["RdBu_r"](np.clip(0.5 + 0.5 * values / most, 0.0, 1.0))[..., :3]
    mixed: npt.NDArray[np.float64] = grey * (1.0 - strength**0.7) + colours * strength**0.7
    return mixed


def _smooth(attributions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    smooth: npt.NDArray[np.float32] = ndimage.gaussian_filter(
        attributions, _SMOOTH * attributions.shape[0], mode="nearest"
    )
    return smooth


def _legend(figure: Figure, told: str) -> None:
    axes = figure.add_axes((0.08, 0.3 / figure.get_figheight(), 0.45, 0.1 / figure.get_figheight()))
    axes.set_in_layout(False)
    bar = figure.colorbar(ScalarMappable(Normalize(-1, 1), colormaps["RdBu_r"]), cax=axes, orientation="horizontal")
    bar.set_ticks([-1, 0, 1], labels=["speaks against", "", "speaks for"], fontsize=8, color=_INK)
    bar.outline.set_visible(False)
    axes.set_title(told, fontsize=8, color=_PALE, loc="left")


def _short(item_id: str) -> str:
    return item_id if len(item_id) <= _LONGEST else item_id[: _LONGEST - 1] + "…"


def _save(figure: Figure, output: Path) -> None:
    with whole_file(output) as scratch:
        figure.savefig(scratch, format="png", facecolor="white")
