from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tfdvbpr.evaluation.ranking.significance import (
    Interval,
    PairedTest,
    holm,
    mean_interval,
    percentile_interval,
    resampled_means,
    wilcoxon,
)


def test_interval_equals_the_closed_form_on_many_values() -> None:
    values = np.random.default_rng(0).exponential(2.0, 4000)
    interval = mean_interval(values)
    half = stats.norm.ppf(0.975) * values.std() / np.sqrt(len(values))
    assert interval.mean == values.mean()
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_equals_scipys_on_few_values() -> None:
    values = np.random.default_rng(1).exponential(2.0, 25)
    ours = mean_interval(values, num_resamples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=np.random.default_rng(7)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_interval_follows_the_seed() -> None:
    values = np.random.default_rng(2).random(50)
    interval = mean_interval(values)
    assert mean_interval(values) == interval
    assert mean_interval(values, seed=1) != interval
    assert interval.low < interval.mean < interval.high


def test_columns_are_resampled_together() -> None:
    """Two models that differ by the same amount for every user differ by it for every draw of users."""
    values = np.random.default_rng(5).random(40)
    means = resampled_means(np.stack([values, values + 0.125], axis=1), num_resamples=50)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 0.125)
    assert means[:, 0].std() > 0.01
    assert percentile_interval(0.5, means[:, 0]).mean == 0.5
    np.testing.assert_allclose(means[:, :1], resampled_means(values[:, None], num_resamples=50))


def test_interval_of_one_value_and_of_none() -> None:
    assert mean_interval(np.array([0.25])) == Interval(0.25, 0.25, 0.25)
    with pytest.raises(ValueError, match="at least one user"):
        mean_interval(np.array([]))


def test_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    held = 0
    for seed in range(200):
        interval = mean_interval(generator.normal(1.0, 1.0, 60), num_resamples=400, seed=seed)
        held += interval.low <= 1.0 <= interval.high
    assert 0.89 <= held / 200 <= 0.99


def test_wilcoxon_by_hand() -> None:
    """Five differences of one sign: of 2^5 assignments of signs two are as extreme, p = 2 / 32."""
    test = wilcoxon(np.array([1.0, 2, 3, 4, 5]), np.zeros(5))
    assert test == PairedTest(pytest.approx(2 / 32), 1)
    assert wilcoxon(np.zeros(5), np.array([1.0, 2, 3, 4, 5])).direction == -1


def test_wilcoxon_leaves_equal_pairs_out() -> None:
    differences = np.array([0, 0, 0.3, -0.1, 0.4, 0.7])
    assert wilcoxon(differences, np.zeros(6)) == wilcoxon(differences[2:], np.zeros(4))
    assert wilcoxon(np.ones(4), np.ones(4)) == PairedTest(1.0, 0)


def test_wilcoxon_equals_scipys_with_ties() -> None:
    generator = np.random.default_rng(4)
    first, second = generator.integers(0, 5, (2, 400)) / 5.0
    expected = stats.wilcoxon(first - second, zero_method="wilcox", method="approx").pvalue
    assert wilcoxon(first, second).p_value == pytest.approx(expected)


def test_ranks_may_speak_against_the_mean() -> None:
    """One large gain outweighs many small losses in the mean, not in the ranks."""
    differences = np.r_[np.full(30, -0.01) - np.arange(30) * 1e-5, 5.0]
    assert differences.mean() > 0
    assert wilcoxon(differences, np.zeros(31)).direction == -1


def test_holm_by_hand() -> None:
    """0.01·4, 0.02·3 = 0.06, 0.03·2 = 0.06 and 0.04·1, which may not be less than the one before: 0.06."""
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    np.testing.assert_allclose(holm([0.02]), [0.02])
    assert len(holm([])) == 0
