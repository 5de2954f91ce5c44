"""FID, KID, the inception score, diversity and memorisation, as functions of arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, special

from tfdvbpr.data.images.similarity import ms_ssim, nearest_members

NUM_SUBSETS = 100
SUBSET_SIZE = 500
NUM_SPLITS = 10
NUM_PAIRS = 200
NEAR_COPY = 0.01

Features = npt.NDArray[Any]
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Estimate:
    """A metric that is estimated several times, from subsets or splits of the images.

    Attributes:
        mean: over the estimates.
        std: standard deviation of one estimate, not of the mean.
    """

    mean: float
    std: float


def frechet_distance(first: Features, second: Features) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) of the Gaussians fitted to two sets (FID): Heusel et al. 2017.

    In float64 throughout. The trace of the root is the sum of the singular values of Σ₁^½ Σ₂^½ (or, where a set has
    fewer members than features, of the product of the centred sets, which is the same number from smaller matrices). No
    root of an asymmetric product is taken, so the distance is real and finite however short of rank the covariances
    are, and nothing is added to them. The usual code takes `sqrtm(Σ₁Σ₂)`, adds 1e-6 to the diagonals where that fails,
    and drops the imaginary part.

    The distance is biased upwards, the more so the fewer members there are: only values of equal sizes compare.

    Args:
        first: float [N, F].
        second: float [M, F].

    Returns:
        In squared units of the features, 0 or more.

    Raises:
        ValueError: if a set has fewer than two members, the features differ in number, or one is not finite.
    """
    one, two = _checked(first), _checked(second)
    if one.shape[1] != two.shape[1]:
        raise ValueError(
            f"`first` and `second` must have the same features. Received {one.shape[1]} and {two.shape[1]}."
        )
    centred = [values - values.mean(axis=0) for values in (one, two)]
    # Σ = scaledᵀ scaled
    scaled = [values / np.sqrt(len(values) - 1) for values in centred]
    apart = one.mean(axis=0) - two.mean(axis=0)
    traces = sum(float((values**2).sum()) for values in scaled)
    return max(float(apart @ apart) + traces - 2.0 * _root_trace(scaled[0], scaled[1]), 0.0)


def _root_trace(first: Features, second: Features) -> float:
    """tr (Σ₁Σ₂)^½ with Σ = XᵀX: the nonzero eigenvalues of Σ₁Σ₂ are the squared singular values of X₁X₂ᵀ."""
    if min(len(first), len(second)) < first.shape[1]:
        return float(linalg.svdvals(first @ second.T).sum())
    return float(linalg.svdvals(_root(first.T @ first) @ _root(second.T @ second)).sum())


def _root(covariance: Features) -> Features:
    """The symmetric square root; eigenvalues that rounding has put below 0 are 0."""
    values, vectors = linalg.eigh(covariance)
    root: Features = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def _checked(features: Features) -> npt.NDArray[np.float64]:
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"Features must be [N, F] with N of at least 2. Received {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("Features must be finite. Some are not. Look at the images they are of.")
    return values


def kernel_distance(
    first: Features,
    second: Features,
    *,
    num_subsets: int = NUM_SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> Estimate:
    """Unbiased squared MMD with the kernel (xᵀy / F + 1)³, a mean over subsets (KID): Bińkowski et al. 2018.

    Unlike the Fréchet distance it has the same expectation whatever the sizes, so that small sets compare too. It may
    be a little below 0.

    Args:
        first: float [N, F].
        second: float [M, F].
        num_subsets: pairs of subsets; 1 is enough where the subsets are the whole sets.
        subset_size: members of each, sampled without replacement; fewer where a set is smaller.
        seed: the same seed gives the same subsets.

    Raises:
        ValueError: if a set has fewer than two members or the features differ in number.
    """
    if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            "`first` and `second` must have at least 2 members and the same features. "
            f"Received {first.shape} and {second.shape}."
        )
    size = min(subset_size, len(first), len(second))
    generator = np.random.default_rng(seed)
    found = [
        squared_mmd(
            first[generator.choice(len(first), size, replace=False)],
            second[generator.choice(len(second), size, replace=False)],
        )
        for _ in range(num_subsets)
    ]
    return Estimate(float(np.mean(found)), float(np.std(found)))


def squared_mmd(first: Features, second: Features) -> float:
    """The unbiased estimate from two whole sets, [N, F] and [M, F]: no member meets itself (Gretton et al. 2012)."""
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    within = [_mean_off_diagonal(_kernel(values, values)) for values in (one, two)]
    return within[0] + within[1] - 2.0 * float(_kernel(one, two).mean())


def _kernel(first: Features, second: Features) -> Features:
    values: Features = (first @ second.T / first.shape[1] + 1.0) ** 3
    return values


def _mean_off_diagonal(square: Features) -> float:
    count = len(square)
    return float(square.sum() - np.trace(square)) / (count * (count - 1))


def inception_score(posteriors: Features, *, num_splits: int = NUM_SPLITS) -> Estimate:
    """exp E_x KL(p(y|x) ‖ p(y)), with p(y) the mean over a split: Salimans et al. 2016.

    Between 1 and the number of classes; biased downwards where a split is small. It knows nothing of the real images: a
    copy of one photo a class has the best score.

    Args:
        posteriors: float [N, C], rows sum to 1.
        num_splits: consecutive parts of nearly equal size; fewer where there are fewer images.

    Raises:
        ValueError: if there is no image, or a row is no distribution.
    """
    values = np.asarray(posteriors, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"`posteriors` must be [N, C] with N of at least 1. Received {values.shape}.")
    if values.min() < 0 or np.abs(values.sum(axis=1) - 1.0).max() > 1e-3:
        raise ValueError("Rows of `posteriors` must be 0 or more and sum to 1. Some do not. Pass them through softmax.")
    scores = [
        float(np.exp(special.rel_entr(part, part.mean(axis=0)).sum(axis=1).mean()))
        for part in np.array_split(values, min(num_splits, len(values)))
    ]
    return Estimate(float(np.mean(scores)), float(np.std(scores)))


def softmax(logits: Features) -> npt.NDArray[np.float64]:
    """float64 [N, C] of logits [N, C]."""
    posteriors: npt.NDArray[np.float64] = special.softmax(np.asarray(logits, np.float64), axis=1)
    return posteriors


def category_diversity(
    images_uint8: npt.NDArray[np.uint8],
    category_ids: npt.NDArray[np.integer[Any]],
    *,
    similarity: Callable[[Images, Images], Features] = ms_ssim,
    num_pairs: int = NUM_PAIRS,
    seed: int = 0,
) -> dict[int, float]:
    """1 − mean similarity over pairs of different images of one category: 0 is one image only.

    With MS-SSIM that of Odena et al. 2017. With `silhouette_overlap` it is

        mean over pairs of 1 − |Mₐ ∩ M_b| / |Mₐ ∪ M_b|,   M = pixels with |x − median of the border| > 20 of 255

    which no texture, pattern or colour of the item moves.

    Args:
        images_uint8: uint8 [N, H, W, 3].
        category_ids: int [N].
        similarity: of pairs of images, uint8 [P, H, W, 3] twice to float [P], 1 for equal ones.
        num_pairs: a category; all pairs where there are fewer. Sampled with replacement.
        seed: the same seed gives the same pairs.

    Returns:
        By category id; categories with one image are left out.
    """
    pairs = {
        int(category): sample_pairs(np.flatnonzero(category_ids == category), num_pairs, seed=(seed, int(category)))
        for category in np.unique(category_ids)
    }
    pairs = {category: sampled for category, sampled in pairs.items() if len(sampled)}
    if not pairs:
        return {}
    every = np.concatenate(list(pairs.values()))
    similarities = similarity(images_uint8[every[:, 0]], images_uint8[every[:, 1]])
    ends = np.cumsum([len(sampled) for sampled in pairs.values()])[:-1]
    means = [float(1.0 - part.mean(dtype=np.float64)) for part in np.split(similarities, ends)]
    return dict(zip(pairs, means, strict=True))


def sample_pairs(
    rows: npt.NDArray[np.integer[Any]], num_pairs: int, *, seed: int | tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """int64 [P, 2]: pairs of different rows; every pair once where there are at most `num_pairs`."""
    count = len(rows)
    if count * (count - 1) // 2 <= num_pairs:
        return np.array([rows[list(pair)] for pair in zip(*np.triu_indices(count, 1), strict=True)]).reshape(-1, 2)
    generator = np.random.default_rng(seed)
    first = generator.integers(0, count, num_pairs)
    second = (first + generator.integers(1, count, num_pairs)) % count
    return np.stack([rows[first], rows[second]], axis=1).astype(np.int64)


@dataclass(frozen=True)
class Memorisation:
    """Whether generated images are nearer to training photos than new photos are.

    Attributes:
        median_percentile: the median generated image's distance to its nearest training photo, as a percentile of the
            same distances of held-out real photos; 50 is as far as new photos are.
        near_copies: share of generated images nearer than the nearest 1 % of the held-out photos; 0.01 is what new
            photos have.
        nearest_distance: mean distance of a generated image to the nearest training photo.
        held_out_distance: the same of the held-out photos.
    """

    median_percentile: float
    near_copies: float
    nearest_distance: float
    held_out_distance: float


def memorisation(generated: Features, train: Features, held_out: Features) -> Memorisation:
    """Distances to the nearest training photo, of generated images against those of held-out photos; float [·, F] each.

    A photo that the catalogue holds twice counts on both sides, so duplicates among the photos do not look like copies.
    """
    made, new = (nearest_members(values, train).distances[:, 0] for values in (generated, held_out))
    new = np.sort(new)
    # In the middle of ties, so that equal distances are at the 50th percentile.
    ranks = (np.searchsorted(new, made, "left") + np.searchsorted(new, made, "right")) / 2.0
    return Memorisation(
        median_percentile=float(np.median(ranks) / len(new) * 100.0),
        near_copies=float((made < np.quantile(new, NEAR_COPY)).mean()),
        nearest_distance=float(made.mean()),
        held_out_distance=float(new.mean()),
    )
