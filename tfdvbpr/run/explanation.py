"""Explanations of scores by integrated gradients and liked items, and figures of them and of recommendations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import ops
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy import ndimage

from tfdvbpr.data.captions import item_caption
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.data.images.photos import MOST_HEIGHT, photo_height, sharp_photos
from tfdvbpr.data.interactions import Split
from tfdvbpr.errors import RunError, check_choice
from tfdvbpr.files import whole_file
from tfdvbpr.fonts import plot_fonts, plot_text
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.run.recommender_run import Recommendation, Run
from tfdvbpr.text import shortened

_STEPS = 64
_CHUNK = 32
_BLUR = 0.15  # of the image's height
_COLUMNS, _ROWS_LIKED = 6, 2
_CELL = 1.55  # inches
_SOURCES = 3
_LONGEST, _LONGEST_TITLE = 18, 100  # characters
_SMOOTH = 0.025  # of the image's height, for the heat map alone
_INK, _PALE = "#282828", "#757575"

Images = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScoreSource:
    """A liked item and its part of a score.

    Attributes:
        item_id: as in the items.
        contribution: of the item to the score; the contributions of all liked items and the prior's sum to the score.
    """

    item_id: str
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """Where the visual part of a score, θᵀΦ(x), comes from.

    Attributes:
        item_id: as in the items.
        image_uint8: uint8 [H, W, 3], the item's image.
        score: θᵀΦ(x); for a hybrid without its γᵀγ + β.
        baseline_score: θᵀΦ of the baseline image.
        attributions: float32 [H, W], positive where a pixel raises the score; they sum to score - baseline_score.
        sources: the user's training items, by falling contribution; empty where θ is a trained table.
    """

    item_id: str
    image_uint8: npt.NDArray[np.uint8]
    score: float
    baseline_score: float
    attributions: Images
    sources: list[ScoreSource]


def integrated_gradients(score: Callable[[Any], Any], image: Images, baseline: Images, *, steps: int) -> Images:
    """Attributions of one image, in the units of the score.

    Sundararajan, Taly and Yan 2017: the attribution of a pixel is its difference to a baseline image, times the mean
    gradient on the straight line from the baseline to the image. Attributions sum to the difference of the two scores
    (completeness), up to the error of the sum that stands for the integral. Grad-CAM sees only a network's last map,
    4×4 cells of a 64×64 image here, and nothing of the branches beside it.

    Args:
        score: from float32 [N, H, W, 3] in [-1, 1] to float32 [N], in inference mode.
        image: float32 [H, W, 3] in [-1, 1].
        baseline: float32 [H, W, 3], an image without information.
        steps: gradients, at the middles of as many equal parts of the line.

    Returns:
        float32 [H, W, 3]; their sum is score(image) - score(baseline), the closer the more steps.
    """
    parts = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    total = np.zeros(image.shape, np.float64)
    for start in range(0, steps, _CHUNK):
        along = parts[start : start + _CHUNK, None, None, None]
        line = tf.constant(baseline + along * (image - baseline))
        with tf.GradientTape() as tape:
            tape.watch(line)
            scores = score(line)
        total += tape.gradient(scores, line).numpy().sum(axis=0)
    attributions: Images = ((image - baseline) * total / steps).astype(np.float32)
    return attributions


def white(image: Images) -> Images:
    """A white image: the background of product photos and of their padding, which so gets no attribution."""
    return np.ones_like(image)


def blurred(image: Images) -> Images:
    """The image itself, blurred by 0.15 of its height: white garments can count, but only by shape and texture."""
    sigma = _BLUR * image.shape[0]
    smooth: Images = ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    return smooth


BASELINES: Mapping[str, Callable[[Images], Images]] = MappingProxyType({"white": white, "blurred": blurred})


def explain(
    run: Run,
    user_id: str,
    item_ids: Sequence[str],
    *,
    dataset: PreparedDataset,
    baseline: str = "white",
    steps: int = _STEPS,
) -> list[Explanation]:
    """Integrated gradients of θᵀΦ(x) over the pixels, and each liked item's contribution to it.

    More steps bring the attributions' sum closer to the difference of the scores. Arguments and errors are those of
    `tfdvbpr.explain`; ConfigError if there is no such baseline.
    """
    check_explained(run)
    check_choice("baseline", baseline, BASELINES)
    user, rows = int(run.user_indices([user_id])[0]), run.items.indices(item_ids)
    model, theta = run.recommender, run.visual_user_embeddings[user]

    def embed(images: Any) -> Any:
        return model.embed_scored_images(images, run.factors)

    explanations = []
    for item_id, image_uint8 in zip(item_ids, dataset.images.read(rows), strict=True):
        image = ops.convert_to_numpy(to_float(image_uint8))
        without = BASELINES[baseline](image)
        parts = integrated_gradients(lambda images: embed(images) @ theta[:, None], image, without, steps=steps)
        embeddings = ops.convert_to_numpy(embed(np.stack([image, without])))
        score, baseline_score = (embeddings @ theta).tolist()
        sources = score_sources(run, user, embeddings[0])
        explanations.append(Explanation(item_id, image_uint8, score, baseline_score, parts.sum(axis=2), sources))
    return explanations


def check_explained(run: Run) -> None:
    """Refuses a run whose scores do not come from pixels."""
    if not run.model_class.uses_images:
        known = [name for name, kind in RECOMMENDERS.items() if kind.uses_images]
        raise RunError(
            f"RUN must be of a model that learns from pixels: {', '.join(known)}. "
            f"{run.path} is a {run.manifest.model} run. Train --model dvbpr."
        )


def score_sources(run: Run, user: int, item_embedding: Images) -> list[ScoreSource]:
    """θᵀΦ as contributions of the user's training items; θ = prior + scale · Σ φ_j / (n + κ).

    Args:
        run: of a model that learns from pixels.
        user: a row.
        item_embedding: float32 [embedding_dim], Φ of the item.

    Returns:
        Every training item of the user, by falling contribution; none where θ is a trained table.
    """
    folding = run.folding
    if not folding.closed_items.shape[1]:
        return []
    liked = run.seen_items(user, Split.TRAIN)
    parts = folding.closed_items[liked] @ item_embedding * folding.scale / max(len(liked) + folding.shrinkage, 1e-6)
    ids = run.items.item_ids
    return [ScoreSource(ids[liked[row]], float(parts[row])) for row in np.argsort(-parts, kind="stable")]


def write_recommendations(
    output: Path,
    liked: Sequence[str],
    answer: Sequence[Recommendation],
    *,
    dataset: PreparedDataset,
    title: str,
    captions: Sequence[str] | None = None,
) -> None:
    """Writes a PNG grid of liked items, the first twelve, above the recommended ones with their scores.

    Photos are shown with the detail of their stored files. Below each stand its id and columns of the items;
    `captions` is the `columns` of `item_caption`.
    """
    shown = list(liked)[: _ROWS_LIKED * _COLUMNS]
    more = f"liked, {len(shown)} of {len(liked)}" if len(shown) < len(liked) else "liked"
    bands = (
        (more, shown, [""] * len(shown)),
        ("recommended", [each.item_id for each in answer], [f"{each.score:+.2f}\n" for each in answer]),
    )
    table = dataset.items.table
    height = photo_height(dataset, dataset.items.indices([*shown, *bands[1][1]]))
    rows: list[list[npt.NDArray[np.uint8] | None]] = []
    texts, headings = [], []
    for heading, item_ids, scores in bands:
        items = dataset.items.indices(item_ids)
        photos = sharp_photos(dataset, items, height=height)
        below = [
            score + "\n".join(item_caption(table, int(item), captions))
            for score, item in zip(scores, items, strict=True)
        ]
        for start in range(0, len(items), _COLUMNS):
            rows.append(list(photos[start : start + _COLUMNS]))
            texts.append(below[start : start + _COLUMNS])
            headings.append("" if start else heading)
    with whole_file(output) as scratch:
        grid = image_grid(rows, title=title, row_titles=headings, captions=texts, cell_height=height)
        grid.save(scratch, format="png")


def write_explanations(
    output: Path, explanations: Sequence[Explanation], *, dataset: PreparedDataset, title: str, baseline: str
) -> None:
    """Writes a PNG with a row per item: its photo, the heat map, and the liked items that contribute most."""
    named = [each.item_id for each in explanations]
    with plot_fonts([title, *named, *(source.item_id for each in explanations for source in each.sources[:_SOURCES])]):
        figure = _explanations_figure(explanations, dataset, title, baseline)
        with whole_file(output) as scratch:
            figure.savefig(scratch, format="png", facecolor="white")


def _explanations_figure(
    explanations: Sequence[Explanation], dataset: PreparedDataset, title: str, baseline: str
) -> Figure:
    maps = [
        ndimage.gaussian_filter(each.attributions, _SMOOTH * each.attributions.shape[0], mode="nearest")
        for each in explanations
    ]
    most = max(float(np.quantile(np.abs(values), 0.995)) for values in maps) or 1.0
    rows, columns = len(explanations), 2 + min(_SOURCES, max(len(each.sources) for each in explanations))
    foot = 0.75  # inches below the cells, for the legend
    height = rows * (_CELL + 0.35) + 0.5 + foot
    figure = Figure(figsize=(columns * _CELL + 0.3, height), dpi=110)
    figure.set_layout_engine("constrained", h_pad=0.07, rect=(0.0, foot / height, 1.0, 1.0 - foot / height))
    figure.suptitle(plot_text(shortened(title, _LONGEST_TITLE)), x=0.01, ha="left", fontsize=11, color=_INK)
    cells = figure.subplots(rows, columns, squeeze=False)

    def photos(item_ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        return sharp_photos(dataset, dataset.items.indices(item_ids), height=MOST_HEIGHT)

    for axes in cells.ravel():
        axes.axis("off")
    for row, each, values in zip(cells, explanations, maps, strict=True):
        _show(row[0], photos([each.item_id])[0], f"{plot_text(_short(each.item_id))}\nscore {each.score:+.2f}")
        _show(row[1], _heat_map(each.image_uint8, values, most), f"{baseline} image {each.baseline_score:+.2f}")
        named = each.sources[: columns - 2]
        images = photos([source.item_id for source in named])
        for axes, source, image in zip(row[2:], named, images, strict=False):
            _show(axes, image, f"{plot_text(_short(source.item_id))}\nadds {source.contribution:+.2f}")
    for axes, heading in zip(cells[0], ("item", "attributions", "liked items that add most"), strict=False):
        axes.set_title(heading, fontsize=9, color=_PALE, loc="left")
    _legend(figure, f"integrated gradients from a {baseline} image")
    return figure


def _show(axes: Any, image: npt.NDArray[Any], caption: str) -> None:
    axes.imshow(image, interpolation="bicubic")
    axes.axis("on")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(caption, fontsize=8, color=_INK)
    for spine in axes.spines.values():
        spine.set_color("#dddddd")


def _heat_map(image_uint8: npt.NDArray[np.uint8], values: Images, most: float) -> npt.NDArray[np.float64]:
    """The image in pale grey under red where values are positive and blue where they are negative."""
    grey = 0.35 + 0.65 * image_uint8.mean(axis=2, keepdims=True) / 255.0
    strength = np.clip(np.abs(values) / most, 0.0, 1.0)[..., None]
    colours = colormaps["RdBu_r"](np.clip(0.5 + 0.5 * values / most, 0.0, 1.0))[..., :3]
    mixed: npt.NDArray[np.float64] = grey * (1.0 - strength**0.7) + colours * strength**0.7
    return mixed


def _legend(figure: Figure, title: str) -> None:
    axes = figure.add_axes((0.08, 0.3 / figure.get_figheight(), 0.45, 0.1 / figure.get_figheight()))
    axes.set_in_layout(False)
    bar = figure.colorbar(ScalarMappable(Normalize(-1, 1), colormaps["RdBu_r"]), cax=axes, orientation="horizontal")
    bar.set_ticks([-1, 0, 1], labels=["lowers the score", "", "raises it"], fontsize=8, color=_INK)
    bar.outline.set_visible(False)
    axes.set_title(title, fontsize=8, color=_PALE, loc="left")


def _short(item_id: str) -> str:
    return shortened(item_id, _LONGEST)
