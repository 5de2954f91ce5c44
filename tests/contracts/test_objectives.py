"""What every GAN objective must do, and golden values of the built-in ones."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.losses.adversarial import OBJECTIVES, AdversarialObjective, Hinge, LeastSquares

LOGITS = np.linspace(-5.0, 5.0, 41, dtype=np.float32)


@pytest.mark.parametrize(
    ("objective", "real", "fake", "discriminator", "generator"),
    [
        (LeastSquares(), [1.0, 0.0, 3.0], [0.0, 1.0, -2.0], [0.0, 1.0, 4.0], [1.0, 0.0, 9.0]),
        (Hinge(), [1.5, 0.0, -3.0], [0.0, -2.0, 0.5], [1.0, 1.0, 5.5], [0.0, 2.0, -0.5]),
    ],
    ids=["lsgan", "hinge"],
)
def test_golden_values(
    objective: AdversarialObjective,
    real: list[float],
    fake: list[float],
    discriminator: list[float],
    generator: list[float],
) -> None:
    real_logits, fake_logits = np.array(real, np.float32), np.array(fake, np.float32)
    np.testing.assert_allclose(np.asarray(objective.discriminator_loss(real_logits, fake_logits)), discriminator)
    np.testing.assert_allclose(np.asarray(objective.generator_loss(fake_logits)), generator)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_have_one_value_a_logit_and_stay_finite(name: str) -> None:
    objective = OBJECTIVES[name]()
    logits = np.array([[-1e4, -1.0], [0.5, 1e4]], np.float32)
    for losses in (objective.discriminator_loss(logits, logits.T), objective.generator_loss(logits, logits.T)):
        assert np.asarray(losses).shape == (2, 2)
        assert np.isfinite(np.asarray(losses)).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_network_is_pushed_its_own_way(name: str) -> None:
    """At the boundary D raises real logits and lowers fake ones, and G raises fake ones."""
    objective = OBJECTIVES[name]()
    real, fake = tf.fill([1], objective.boundary), tf.fill([1], objective.boundary)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        of_d, of_g = objective.discriminator_loss(real, fake), objective.generator_loss(fake, real)
    assert tape.gradient(of_d, real) < 0 < tape.gradient(of_d, fake)
    assert tape.gradient(of_g, fake) < 0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_realism_penalty_is_nought_where_a_design_counts_as_real(name: str) -> None:
    penalties = np.asarray(OBJECTIVES[name]().realism_penalty(LOGITS))
    assert (penalties >= 0).all()
    assert LOGITS[penalties.argmin()] == pytest.approx(1.0)
