from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.evaluation.generative.manifold import memorisation, precision_recall


def test_precision_and_recall_by_hand() -> None:
    """On a line with k=1: real 0, 1, 10, 11 have balls of radius 1; 0.5 and 10.5 are in them, 5 and 20 are not."""
    real = np.array([[0.0], [1.0], [10.0], [11.0]])
    made = np.array([[0.5], [10.5], [5.0], [20.0]])
    found = precision_recall(real, made, k=1)
    # Balls of the made: 0.5 ± 4.5, 10.5 ± 5.5, 5 ± 4.5, 20 ± 9.5 hold every real one.
    assert found == (0.5, 1.0)
    one_mode = precision_recall(real, np.array([[0.5], [0.6], [0.7], [0.8]]), k=1)
    assert one_mode == (1.0, 0.0)
    assert precision_recall(real, real, k=1) == (1.0, 1.0)


def test_precision_and_recall_at_unequal_sizes() -> None:
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(200, 2)), rng.normal(size=(50, 2))
    found = precision_recall(real, made)
    assert found == precision_recall(real, made)
    assert 0.5 < found[0] <= 1
    far = precision_recall(real, made + 100)
    assert far == (0, 0)
    with pytest.raises(ValueError, match="more than k=3"):
        precision_recall(real, made[:3])


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
