"""Whether a generator gives each category its colours, patterns and cuts as often as the garments it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.options import check_count
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.evaluation.designs.attribute_reader import ATTRIBUTES, BLUR_STDDEV, AttributeReader
from tfdvbpr.evaluation.ranking.comparison import markdown_table
from tfdvbpr.run import GanRun

_FIRST_SEED = 3_000_000_000
_FLOOR_TRIALS = 200

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AttributeShares:
    """Shares of attributes among a generator's images, beside those among the real items, by category.

    Attributes:
        num_samples: generated images of each category.
        table: a row a category, attribute and value: `category`, `attribute`, `value` ("" where it is unclear), and
            the shares `real` and `generated`.
        distances: a row a category and attribute: `total_variation` of the two, in [0, 1]; `floor`, its mean for as
            many images drawn from the real shares themselves; `unread`, the share of images whose value is unclear,
            which counts as a value of its own.
        accuracy: by attribute, the share of held-out items that the reader reads correctly.
        blurred_accuracy: the same of the items blurred by a Gaussian of σ = 1.2 px.
    """

    num_samples: int
    table: pl.DataFrame
    distances: pl.DataFrame
    accuracy: Mapping[str, float]
    blurred_accuracy: Mapping[str, float]

    @property
    def means(self) -> dict[str, float]:
        """By attribute, the mean total variation distance over the categories."""
        mean = self.distances.group_by("attribute").agg(pl.col("total_variation").mean())
        found = dict(mean.iter_rows())
        return {name: float(found[name]) for name in ATTRIBUTES}


def attribute_shares(
    gan_run: GanRun,
    *,
    dataset: PreparedDataset | None = None,
    reader: AttributeReader | None = None,
    num_samples: int = 1000,
    seed: int = 0,
) -> AttributeShares:
    """Compares the shares of every colour, pattern and cut among random images of each category with the real items'.

    Args:
        gan_run: a GAN trained on a synthetic dataset.
        dataset: the GAN's, if it has been moved.
        reader: of the dataset; left out, it is trained or read from the dataset's folder.
        num_samples: images of each category. With 1000, ten colours of equal share have a floor of 0.04.
        seed: of the images.

    Raises:
        DatasetError: if the dataset is no synthetic one.
        ConfigError: if `num_samples` is below 1.

    Example:
        >>> attribute_shares(gan_run).means  # doctest: +SKIP
        {'colour': 0.08, 'pattern': 0.14, 'cut': 0.05}
    """
    check_count("num_samples", num_samples)
    dataset = dataset or gan_run.open_dataset()
    reader = reader or AttributeReader.of(dataset)
    generator = np.random.default_rng((seed, 15))
    parts, distances = [], []
    for number, category in enumerate(gan_run.trained_categories):
        first = _FIRST_SEED + (seed * len(gan_run.trained_categories) + number) * num_samples
        images = sample_images(gan_run, [category] * num_samples, seeds=range(first, first + num_samples))
        read = reader.read(images, [category] * num_samples)
        items = dataset.items.table.filter(pl.col("category") == category)
        for name in ATTRIBUTES:
            real = items[name].to_numpy()
            values = np.unique(np.concatenate([real, read[name], [""]]))
            shares, generated = ((of[:, None] == values).mean(axis=0) for of in (real, read[name]))
            keys = {"category": category, "attribute": name}
            parts.append(pl.DataFrame({**keys, "value": values, "real": shares, "generated": generated}))
            distances.append(
                {
                    **keys,
                    "total_variation": total_variation(shares, generated),
                    "floor": sampling_floor(shares, num_samples, generator),
                    "unread": float(generated[values == ""][0]),
                }
            )
    return AttributeShares(
        num_samples, pl.concat(parts), pl.DataFrame(distances), reader.accuracy, reader.blurred_accuracy
    )


def total_variation(first: Shares, second: Shares) -> float:
    """Total variation distance of two distributions over the same values, float64 [K] each: ½ Σ|p − q|, in [0, 1].

    Example:
        >>> total_variation(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
        0.5
    """
    return float(np.abs(first - second).sum() / 2)


def sampling_floor(shares: Shares, num_samples: int, generator: np.random.Generator) -> float:
    """Mean total variation distance between a distribution and the shares among `num_samples` draws from it."""
    draws = generator.multinomial(num_samples, shares, _FLOOR_TRIALS) / num_samples
    return float(np.abs(draws - shares).sum(axis=1).mean() / 2)


def markdown(found: AttributeShares) -> str:
    """Total variation distances as a table, a row a category, and the reader's accuracy."""
    rows = [
        [category, *(f"{_value(found, name, 'total_variation', category):.3f}" for name in ATTRIBUTES)]
        for category in found.distances["category"].unique(maintain_order=True)
    ]
    rows.append(["mean", *(f"{found.means[name]:.3f}" for name in ATTRIBUTES)])
    rows.append(["mean floor of sampling", *(f"{_value(found, name, 'floor'):.3f}" for name in ATTRIBUTES)])
    rows.append(["mean share unread", *(f"{_value(found, name, 'unread'):.3f}" for name in ATTRIBUTES)])
    rows.append(["reader's accuracy, held-out", *(f"{found.accuracy[name]:.3f}" for name in ATTRIBUTES)])
    label = f"the same, blurred σ = {BLUR_STDDEV} px"
    rows.append([label, *(f"{found.blurred_accuracy[name]:.3f}" for name in ATTRIBUTES)])
    return markdown_table([f"total variation, {found.num_samples} images each", *ATTRIBUTES], rows) + "\n"


def _value(found: AttributeShares, attribute: str, column: str, category: str | None = None) -> float:
    rows = found.distances.filter(pl.col("attribute") == attribute)
    if category is not None:
        rows = rows.filter(pl.col("category") == category)
    return float(rows[column].to_numpy().mean())
