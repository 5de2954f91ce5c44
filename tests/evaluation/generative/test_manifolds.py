"""Precision, recall, density and coverage by hand, and against what samples of one distribution have."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from tfdvbpr.evaluation.generative.manifolds import Manifolds, compare_manifolds

LINE = np.array([[0.0], [1.0], [10.0], [11.0]])


def test_precision_and_recall_by_hand() -> None:
    """On a line with k=1: real 0, 1, 10, 11 have balls of radius 1; 0.5 and 10.5 are in them, 5 and 20 are not."""
    found = compare_manifolds(LINE, np.array([[0.5], [10.5], [5.0], [20.0]]), k=1, density_k=1)
    # Balls of the generated: 0.5 ± 4.5, 10.5 ± 5.5, 5 ± 4.5, 20 ± 9.5 hold every real one.
    assert (found.precision, found.recall) == (0.5, 1.0)
    one_mode = compare_manifolds(LINE, np.array([[0.5], [0.6], [0.7], [0.8]]), k=1, density_k=1)
    assert (one_mode.precision, one_mode.recall) == (1.0, 0.0)


def test_density_and_coverage_by_hand() -> None:
    """The balls of 0 and 1 hold both 0.5 and 0.6, that of 1 also 1.5; 20 is in none."""
    found = compare_manifolds(LINE, np.array([[0.5], [0.6], [1.5], [20.0]]), k=1, density_k=1)
    assert found.density == (2 + 2 + 1 + 0) / 4
    assert found.coverage == 0.5
    # With k=2 the balls are 0 ± 10, 1 ± 9, 10 ± 9 and 11 ± 10: 1.5 is in all of them, 20 in that of 11.
    wider = compare_manifolds(LINE, np.array([[0.5], [0.6], [1.5], [20.0]]), k=1, density_k=2)
    assert wider.density == (2 + 2 + 4 + 1) / (2 * 4)
    assert wider.coverage == 1.0


def test_a_set_against_itself() -> None:
    """Every member lies in its own ball and in those of which it is a near neighbour: k + 1 balls on average."""
    values = np.random.default_rng(0).normal(size=(60, 4))
    found = compare_manifolds(values, values)
    assert found == Manifolds(1.0, 1.0, pytest.approx(6 / 5), 1.0)


@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_the_authors_definition(scale: float) -> None:
    """Naeem et al. 2020, equations 3 to 6, from the whole distance matrices and k = 5 throughout."""
    rng = np.random.default_rng(3)
    real, made = rng.normal(size=(150, 6)), rng.normal(size=(150, 6)) * scale
    radii = [np.sort(pairwise_distances(values), axis=1)[:, 5] for values in (real, made)]
    between = pairwise_distances(real, made)
    expected = Manifolds(
        precision=(between < radii[0][:, None]).any(axis=0).mean(),
        recall=(between < radii[1]).any(axis=1).mean(),
        density=(between < radii[0][:, None]).sum() / (5 * 150),
        coverage=(between.min(axis=1) < radii[0]).mean(),
    )
    found = compare_manifolds(real, made, k=5)
    assert [getattr(found, name) for name in vars(expected)] == pytest.approx(list(vars(expected).values()))


def test_samples_of_one_distribution_have_the_expected_density_and_coverage() -> None:
    """E density = 1, E coverage = 1 − Π (n − i) / (2n − i): Naeem et al. 2020, in any dimension."""
    size, steps = 100, np.arange(1, 6)
    coverage = 1 - np.prod((size - steps) / (2 * size - steps))
    for dim in (2, 12):
        rng = np.random.default_rng(dim)
        found = [compare_manifolds(rng.normal(size=(size, dim)), rng.normal(size=(size, dim))) for _ in range(60)]
        # About four standard errors of the mean of 60.
        assert np.mean([each.density for each in found]) == pytest.approx(1.0, abs=0.05)
        assert np.mean([each.coverage for each in found]) == pytest.approx(coverage, abs=0.01)


def test_one_outlier_raises_recall_and_leaves_coverage() -> None:
    """Generated images of one of two modes, and then one image far away, whose ball holds every photo."""
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(50, 2)), rng.normal(size=(50, 2)) + 30])
    one_mode = rng.normal(size=(100, 2))
    before, outlier = compare_manifolds(real, one_mode), one_mode.copy()
    outlier[0] = 1000.0
    after = compare_manifolds(real, outlier)
    assert before.recall == pytest.approx(0.5, abs=0.03)
    assert after.recall == 1.0
    assert before.coverage == pytest.approx(0.5, abs=0.01)
    assert after.coverage == pytest.approx(before.coverage, abs=0.01)


def test_unequal_sizes() -> None:
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(200, 2)), rng.normal(size=(50, 2))
    found = compare_manifolds(real, made)
    assert found == compare_manifolds(real, made)
    assert 0.5 < found.precision <= 1
    assert 0.8 < found.coverage <= 1  # of 50 photos; of 200, 50 images would cover two thirds
    assert compare_manifolds(real, made + 100) == Manifolds(0, 0, 0, 0)
    with pytest.raises(ValueError, match=r"more than k=5 members\. Received 200 and 5"):
        compare_manifolds(real, made[:5])
