"""How many pictures of which category a GAN draws to be judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfdvbpr.designing.sample import sample_images
from tfdvbpr.run import GanRun

_SEEDS_A_RUN = 1_000_000

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Pictures a GAN drew, category after category.

    Attributes:
        images: uint8 [N, H, W, 3], RGB.
        category_ids: int64 [N], as the GAN counts them.
        in_proportion: bool [N]: those that together have the photos' mix of categories; the others were drawn so that
            small categories have enough to be judged by themselves.
    """

    images: npt.NDArray[np.uint8]
    category_ids: Counts
    in_proportion: npt.NDArray[np.bool_]


def in_proportion(counts: Counts, total: int) -> Counts:
    """int64 [C]: `total` shared out in the proportion of the counts, by largest remainders; nothing to an empty one."""
    shares = counts * total / counts.sum()
    whole = np.floor(shares).astype(np.int64)
    order = np.argsort(whole - shares, kind="stable")  # largest remainder first
    whole[order[: total - int(whole.sum())]] += 1
    return whole


def draw(gan_run: GanRun, photo_categories: Counts, *, num_samples: int, least: int, seed: int) -> Samples:
    """Random pictures in the photos' mix of categories, and more of categories that would have too few.

    Args:
        gan_run: whose generator draws.
        photo_categories: int64 [num_items], each photo's category as the GAN counts them, -1 for none.
        num_samples: pictures in proportion.
        least: pictures of each category, at least.
        seed: the same seed draws the same pictures; two runs get the same latents.
    """
    counts = np.bincount(photo_categories[photo_categories >= 0], minlength=len(gan_run.manifest.categories))
    shares = in_proportion(counts, num_samples)
    drawn = np.where(counts > 0, np.maximum(shares, least), 0)
    ids = np.repeat(np.arange(len(drawn)), drawn)
    first = np.cumsum(drawn) - drawn
    place = np.arange(len(ids)) - first[ids]
    names = [gan_run.manifest.categories[category] for category in ids]
    images = sample_images(gan_run, names, seeds=range(seed * _SEEDS_A_RUN, seed * _SEEDS_A_RUN + len(ids)))
    return Samples(images, ids, place < shares[ids])
