from __future__ import annotations

import math

import numpy as np
import pytest

from tfdvbpr.losses.adversarial import OBJECTIVES
from tfdvbpr.losses.ranking import RANKING_LOSSES


def test_bpr_golden_values() -> None:
    positive = np.array([[0.0], [2.0], [0.0]], np.float32)
    negative = np.array([[0.0, 1.0], [0.0, 2.0], [math.log(3.0), -math.log(3.0)]], np.float32)
    losses = np.asarray(RANKING_LOSSES["bpr"](positive, negative))
    expected = [
        [math.log(2.0), math.log(1.0 + math.e)],
        [math.log(1.0 + math.exp(-2.0)), math.log(2.0)],
        [math.log(4.0), math.log(4.0 / 3.0)],
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


@pytest.mark.parametrize("name", RANKING_LOSSES)
def test_ranking_loss_falls_as_the_margin_grows(name: str) -> None:
    margins = np.linspace(-8.0, 8.0, 33, dtype=np.float32)[:, None]
    losses = np.asarray(RANKING_LOSSES[name](margins, np.zeros((33, 1), np.float32)))
    assert losses.shape == (33, 1)
    assert (np.diff(losses[:, 0]) < 0).all()
    assert (losses >= 0).all()


@pytest.mark.parametrize("name", RANKING_LOSSES)
def test_ranking_loss_stays_finite_far_out(name: str) -> None:
    scores = np.array([[-1e4], [1e4]], np.float32)
    assert np.isfinite(np.asarray(RANKING_LOSSES[name](scores, -scores))).all()


def test_lsgan_golden_values() -> None:
    lsgan = OBJECTIVES["lsgan"]
    real, fake = np.array([1.0, 0.0, 3.0], np.float32), np.array([0.0, 1.0, -2.0], np.float32)
    np.testing.assert_allclose(np.asarray(lsgan.discriminator_loss(real, fake)), [0.0, 1.0, 4.0])
    np.testing.assert_allclose(np.asarray(lsgan.generator_loss(fake)), [1.0, 0.0, 9.0])
    np.testing.assert_allclose(np.asarray(lsgan.realism_penalty(fake)), [1.0, 0.0, 9.0])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_realism_penalty_is_never_negative(name: str) -> None:
    logits = np.linspace(-5.0, 5.0, 41, dtype=np.float32)
    assert (np.asarray(OBJECTIVES[name].realism_penalty(logits)) >= 0).all()
