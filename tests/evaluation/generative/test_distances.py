"""FID, KID, the inception score and diversity against closed forms and other implementations."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from scipy import linalg

from tfdvbpr.data.images.silhouettes import silhouette_overlap
from tfdvbpr.data.images.similarity import ms_ssim
from tfdvbpr.evaluation.generative.distances import (
    category_diversity,
    frechet_distance,
    inception_score,
    kernel_distance,
    memorisation,
    sample_pairs,
    softmax,
    squared_mmd,
)

Array = npt.NDArray[np.float64]


def _by_sqrtm(first: Array, second: Array) -> float:
    """The usual code."""
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    apart = first.mean(0) - second.mean(0)
    return float(apart @ apart + np.trace(one + two - 2 * linalg.sqrtm(one @ two).real))


def _samples(mean: Array, covariance: Array) -> Array:
    """Features with exactly this mean and covariance."""
    plain = np.random.default_rng(0).normal(size=(50, 2))
    plain -= plain.mean(axis=0)
    white = plain @ np.linalg.inv(np.linalg.cholesky(np.cov(plain, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def _by_roots(first: Array, second: Array) -> float:
    """From the covariances' own symmetric roots, however few members there are."""
    roots, apart = [], first.mean(0) - second.mean(0)
    for values in (first, second):
        eigenvalues, vectors = np.linalg.eigh(np.cov(values, rowvar=False))
        roots.append((vectors * np.sqrt(np.maximum(eigenvalues, 0))) @ vectors.T)
    traces = sum(np.trace(root @ root) for root in roots)
    return float(apart @ apart + traces - 2 * np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum())


def test_frechet_distance_of_axis_aligned_gaussians() -> None:
    """‖μ₁ − μ₂‖² + Σ (σ₁ − σ₂)²."""
    first = _samples(np.array([1.0, 2.0]), np.diag([4.0, 9.0]))
    found = frechet_distance(first, _samples(np.array([0.0, 4.0]), np.diag([1.0, 16.0])))
    assert found == pytest.approx(1 + 4 + (2 - 1) ** 2 + (3 - 4) ** 2, abs=1e-9)


def test_frechet_distance_of_gaussians_that_do_not_commute() -> None:
    one, two = np.array([[2.0, 1.0], [1.0, 2.0]]), np.diag([1.0, 9.0])
    # tr (AB)^½ = √(tr AB + 2 √det AB) of 2×2 matrices
    trace = np.sqrt(np.trace(one @ two) + 2 * np.sqrt(np.linalg.det(one @ two)))
    found = frechet_distance(_samples(np.zeros(2), one), _samples(np.zeros(2), two))
    assert found == pytest.approx(4 + 10 - 2 * trace, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(60, 50), (60, 5), (4, 5)])
def test_frechet_distance_of_samples(n: int, m: int) -> None:
    """Both ways of taking the trace: more members than features, and fewer."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(n, 6)) @ rng.normal(size=(6, 6))
    second = rng.normal(size=(m, 6)) @ rng.normal(size=(6, 6)) + 1
    assert frechet_distance(first, second) == pytest.approx(_by_roots(first, second), rel=1e-6)
    if min(n, m) > 6:  # sqrtm is unreliable below
        assert frechet_distance(first, second) == pytest.approx(_by_sqrtm(first, second), rel=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(second, first) == pytest.approx(frechet_distance(first, second), rel=1e-9)


def test_frechet_distance_falls_towards_0_with_more_members() -> None:
    rng = np.random.default_rng(1)
    found = [frechet_distance(rng.normal(size=(n, 8)), rng.normal(size=(n, 8))) for n in (20, 200, 20000)]
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.01


def test_invalid_features_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="finite"):
        frechet_distance(np.full((4, 3), np.nan), np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"same features\. Received 3 and 4"):
        frechet_distance(np.zeros((4, 3)), np.zeros((4, 4)))


def test_kernel_distance_by_hand() -> None:
    """F = 1: k(x, y) = (xy + 1)³. {0, 1} and {0, 2}: 1 + 1 − 2 · (1 + 1 + 1 + 27) / 4."""
    assert squared_mmd(np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])) == pytest.approx(1 + 1 - 2 * 30 / 4)


def test_kernel_distance_is_unbiased() -> None:
    """The mean over all 3²·2² samples of two distributions is the distance of the distributions themselves."""
    one, two = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, -1.0]]), np.array([[0.5, 0.0], [-1.0, 2.0]])

    def kernel(x: Array, y: Array) -> float:
        return float(((x @ y.T / 2 + 1) ** 3).mean())

    exact = kernel(one, one) + kernel(two, two) - 2 * kernel(one, two)
    samples = [
        squared_mmd(one[list(first)], two[list(second)])
        for first in product(range(3), repeat=2)
        for second in product(range(2), repeat=2)
    ]
    assert np.mean(samples) == pytest.approx(exact, rel=1e-9)


def test_kernel_distance_over_subsets() -> None:
    rng = np.random.default_rng(0)
    first, second, other = rng.normal(size=(80, 5)), rng.normal(size=(60, 5)), rng.normal(size=(60, 5)) + 1
    found = kernel_distance(first, second, num_subsets=40, subset_size=30, seed=1)
    assert abs(found.mean) < 3 * found.std / np.sqrt(40) + 0.05
    assert kernel_distance(first, other, num_subsets=40, subset_size=30).mean > 1
    assert kernel_distance(first, second, num_subsets=40, subset_size=30, seed=1) == found
    whole = kernel_distance(first[:60], second, num_subsets=2, subset_size=1000)
    assert whole.mean == pytest.approx(squared_mmd(first[:60], second))
    assert whole.std == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="at least 2 members"):
        kernel_distance(first[:1], second)


def test_inception_score() -> None:
    assert inception_score(np.eye(7), num_splits=1).mean == pytest.approx(7)
    assert inception_score(np.full((9, 4), 0.25)).mean == pytest.approx(1)
    a = 0.9
    entropy = -a * np.log(a) - (1 - a) * np.log(1 - a)
    two_ways = inception_score(np.array([[a, 1 - a], [1 - a, a]] * 6), num_splits=3)
    assert two_ways.mean == pytest.approx(np.exp(np.log(2) - entropy))
    assert two_ways.std == pytest.approx(0)
    split = inception_score(np.eye(4)[[0, 0, 1, 2]], num_splits=2)
    assert (split.mean, split.std) == pytest.approx((1.5, 0.5))
    np.testing.assert_allclose(softmax(np.log([[1.0, 3.0]])), [[0.25, 0.75]])
    with pytest.raises(ValueError, match="sum to 1"):
        inception_score(np.ones((3, 4)))


def test_diversity_is_within_categories() -> None:
    first, second = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3)).astype(np.uint8)
    first[1] = first[0]
    images = np.concatenate([first[:2], second[:1], second[2:], first[:1]])
    ids = np.array([0, 0, 1, 1, 2])
    found = category_diversity(images, ids)
    assert set(found) == {0, 1}  # a single image has no pair
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[1] == pytest.approx(1 - ms_ssim(second[:1], second[2:])[0], abs=1e-6)
    assert category_diversity(images[4:], ids[4:]) == {}


def test_diversity_of_silhouettes_by_hand() -> None:
    """Three rows, columns 2 to 5, 2 to 5 and 4 to 7 of an image: overlaps of 1, 1/3 and 1/3."""
    images = np.full((4, 12, 12, 3), 255, np.uint8)
    for image, first in zip(images, (2, 2, 4), strict=False):
        image[4:7, first : first + 4] = np.random.default_rng(first).integers(0, 200, (3, 4, 3))
    found = category_diversity(images, np.array([0, 0, 0, 1]), similarity=silhouette_overlap)
    assert found == {0: pytest.approx(1 - (1 + 1 / 3 + 1 / 3) / 3)}


def test_pairs() -> None:
    assert sample_pairs(np.array([4, 7, 9]), 3, seed=0).tolist() == [[4, 7], [4, 9], [7, 9]]
    sampled = sample_pairs(np.arange(50), 1000, seed=0)
    assert sampled.shape == (1000, 2)
    assert (sampled[:, 0] != sampled[:, 1]).all()
    assert set(sampled.ravel()) == set(range(50))


def test_copies_are_nearer_than_new_photos() -> None:
    rng = np.random.default_rng(0)
    train, held_out, new = (rng.normal(size=(n, 3)) for n in (400, 200, 200))
    like_new = memorisation(new, train, held_out)
    assert 40 < like_new.median_percentile < 60
    assert like_new.near_copies < 0.05
    assert like_new.nearest_distance == pytest.approx(like_new.held_out_distance, rel=0.15)
    copied = memorisation(train[:100] + 1e-6, train, held_out)
    assert copied.median_percentile == 0
    assert copied.near_copies == 1
    far = memorisation(new + 50, train, held_out)
    assert (far.median_percentile, far.near_copies) == (100, 0)
    twice = memorisation(train[:9], train, train[:9])  # a catalogue with every photo twice: no copies
    assert (twice.median_percentile, twice.near_copies) == (50, 0)
