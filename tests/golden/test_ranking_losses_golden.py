"""Ranking losses at scores for which a person can work them out."""

from __future__ import annotations

import math

import numpy as np

from tfdvbpr.losses.ranking import RANKING_LOSSES


def test_bpr_golden_values() -> None:
    positive = np.array([[0.0], [2.0], [0.0]], np.float32)
    negative = np.array([[0.0, 1.0], [0.0, 2.0], [math.log(3.0), -math.log(3.0)]], np.float32)
    mask = np.array([[1, 1], [1, 1], [0, 1]], np.float32)
    losses = np.asarray(RANKING_LOSSES["bpr"](positive, negative, mask))
    expected = [
        (math.log(2.0) + math.log(1.0 + math.e)) / 2,
        (math.log(1.0 + math.exp(-2.0)) + math.log(2.0)) / 2,
        math.log(4.0 / 3.0),
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_warp_golden_values() -> None:
    """Violators of the margin 1: none; one of hinge ½; two of hinges 1 and 3, weighed by 1 + ½; one that is masked."""
    positive = np.array([[2.0], [0.0], [0.0], [0.0]], np.float32)
    negative = np.array([[1.0, 0.0], [-0.5, -1.0], [0.0, 2.0], [5.0, -0.5]], np.float32)
    mask = np.array([[1, 1], [1, 1], [1, 1], [0, 1]], np.float32)
    losses = np.asarray(RANKING_LOSSES["warp"](positive, negative, mask))
    np.testing.assert_allclose(losses, [0.0, 0.5, 1.5 * 2.0, 0.5])


def test_sampled_softmax_golden_values() -> None:
    positive, negative = np.array([[0.0], [0.0]], np.float32), np.array([[0.0, 0.0], [0.0, 9.0]], np.float32)
    losses = np.asarray(RANKING_LOSSES["sampled-softmax"](positive, negative, np.array([[1, 1], [1, 0]], np.float32)))
    np.testing.assert_allclose(losses, [math.log(3.0), math.log(2.0)], rtol=1e-6)
