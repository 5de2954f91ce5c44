from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.maximize import DesignOptions, frame_steps, initial_latents, maximize
from tfdvbpr.errors import ConfigError


def _first_pictures(designer: Designer, category: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The objective where the ascent begins, and z₀, of one request."""
    options, gan_run = designer.options, designer.gan_run
    latents = initial_latents(
        tf.constant([seed], tf.int64),
        num_rows=options.num_starts,
        latent_dim=gan_run.config.latent_dim,
        stddev=options.initial_stddev,
    )[0]
    category_ids = tf.fill([options.num_starts], gan_run.category_id(category))
    images = designer.objective.images(latents, category_ids)
    users = np.repeat(designer.run.factors.user_embeddings[:1], options.num_starts, axis=0)
    values = designer.objective.values(
        designer.objective.preferences(images, users),
        designer.objective.realism_logits(images, category_ids),
        options.realism_weight,
    )
    return values.numpy(), latents.numpy()


@pytest.mark.parametrize("category", ["shirt", "shoe"])
def test_the_best_design_beats_the_best_start(designer: Designer, category: str) -> None:
    for seed in (0, 1, 2):
        designs = designer.design(["u0"], [category], seeds=[seed])
        values = designs.preferences - designer.options.realism_weight * (designs.realism_logits - 1.0) ** 2
        starts, _ = _first_pictures(designer, category, seed)
        assert values[0, 0] > starts.max()
        assert (np.diff(values[0]) <= 1e-6).all()


def test_preferences_rise_without_a_realism_penalty(designer: Designer) -> None:
    free = dataclasses.replace(designer.options, realism_weight=0.0)
    designs = Designer(designer.run, designer.gan_run, options=free).design(["u1"], ["shoe"], seeds=[3])
    assert (designs.preferences > designs.initial_preferences).all()
    assert (np.diff(designs.preferences[0]) <= 0).all()


def test_the_first_step_of_adam_follows_the_sign_of_the_gradient(designer: Designer) -> None:
    """With no memory yet, Adam moves every coordinate by the learning rate, uphill (Kingma & Ba 2015, §2.1)."""
    options = dataclasses.replace(designer.options, num_steps=1)
    user = designer.run.factors.user_embeddings[:1]
    latents = tf.Variable(_first_pictures(designer, "shirt", 5)[1])
    objective, category_ids = designer.objective, tf.zeros([options.num_starts], tf.int32)
    with tf.GradientTape() as tape:
        images = objective.images(latents, category_ids)
        logits = objective.realism_logits(images, category_ids)
        users = tf.repeat(user, options.num_starts, 0)
        values = objective.values(objective.preferences(images, users), logits, options.realism_weight)
    moved = latents + options.learning_rate * tf.sign(tape.gradient(values, latents))
    expected = objective.preferences(
        objective.images(moved, category_ids), tf.repeat(user, options.num_starts, 0)
    ).numpy()
    answer = maximize(
        objective, user, tf.constant([0]), tf.constant([5], tf.int64), options=options, latent_dim=latents.shape[1]
    )
    np.testing.assert_allclose(np.sort(answer["preferences"][0]), np.sort(expected), atol=1e-3)


def test_the_same_seed_gives_the_same_designs(designer: Designer) -> None:
    first = designer.design(["u0"], ["shirt"], seeds=[7])
    again = designer.design(["u0"], ["shirt"], seeds=[7])
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.preferences, again.preferences)
    other = designer.design(["u0"], ["shirt"], seeds=[8])
    assert not np.array_equal(first.images, other.images)


def test_rows_do_not_depend_on_their_neighbours(designer: Designer) -> None:
    """Bit for bit in batches of one size; in another size sums are rounded otherwise, and Adam makes more of it."""
    users, categories, seeds = ["u0", "u3", "u6"], ["shirt", "shoe", "shoe"], [1, 2, 1]
    together = designer.design(users, categories, seeds=seeds)
    others = designer.design(["u5", "u3", "u1"], ["shoe", "shoe", "shirt"], seeds=[7, 2, 8])
    np.testing.assert_array_equal(together.images[1], others.images[1])
    np.testing.assert_array_equal(together.preferences[1], others.preferences[1])
    for row in range(3):
        alone = designer.design([users[row]], [categories[row]], seeds=[seeds[row]])
        np.testing.assert_allclose(together.preferences[row], alone.preferences[0], atol=0.02)
        np.testing.assert_allclose(together.realism_logits[row], alone.realism_logits[0], atol=0.02)
        difference = together.images[row].astype(int) - alone.images[0]
        assert np.abs(difference).mean() < 1


def test_starts_differ_and_come_from_the_seed_alone() -> None:
    both = initial_latents(tf.constant([4, 9], tf.int64), num_rows=5, latent_dim=3, stddev=0.5).numpy()
    assert both.shape == (2, 5, 3)
    assert len(np.unique(both.reshape(10, 3), axis=0)) == 10
    alone = initial_latents(tf.constant([9], tf.int64), num_rows=5, latent_dim=3, stddev=0.5).numpy()
    np.testing.assert_array_equal(both[1], alone[0])


def test_starts_have_the_asked_for_spread() -> None:
    latents = initial_latents(tf.range(50, dtype=tf.int64), num_rows=20, latent_dim=10, stddev=0.5).numpy()
    assert abs(latents.mean()) < 0.02
    assert abs(latents.std() - 0.5) < 0.02


def test_designs_of_different_starts_differ(designer: Designer) -> None:
    images = designer.design(["u0"], ["shirt"], seeds=[0]).images[0]
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_the_networks_stay_as_they_were(designer: Designer) -> None:
    """Batch normalisation too: its statistics are no trainable weights, but a training pass would move them."""
    networks = designer.run.recommender, designer.gan_run.generator, designer.gan_run.discriminator
    before = [network.get_weights() for network in networks]
    designer.design(["u2"], ["shoe"], seeds=[0], num_frames=3)
    for network, weights in zip(networks, before, strict=True):
        for weight, expected in zip(network.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_frames_run_from_the_start_to_the_design(designer: Designer) -> None:
    plain = designer.design(["u0"], ["shirt"], seeds=[0])
    designs = designer.design(["u0"], ["shirt"], seeds=[0], num_frames=4)
    assert designs.frames is not None
    assert designs.frames.shape == (4, 1, 3, 32, 32, 3)
    np.testing.assert_array_equal(designs.frames[-1], designs.images)
    np.testing.assert_allclose(designs.preferences, plain.preferences, atol=1e-3)
    assert not np.array_equal(designs.frames[0], designs.frames[-1])
    objective = designer.objective
    begun = designs.frames[0, 0].astype(np.float32) / 127.5 - 1.0
    users = np.repeat(designer.run.factors.user_embeddings[:1], 3, axis=0)
    np.testing.assert_allclose(
        objective.preferences(tf.constant(begun), users), designs.initial_preferences[0], atol=0.05
    )


@pytest.mark.parametrize(
    ("num_steps", "num_frames", "expected"),
    [(40, 5, [0, 10, 20, 30, 40]), (10, 2, [0, 10]), (10, 1, [10]), (2, 5, [0, 0, 1, 2, 2]), (10, 0, [])],
)
def test_frames_are_evenly_spaced(num_steps: int, num_frames: int, expected: list[int]) -> None:
    assert frame_steps(num_steps, num_frames) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_starts", 0), ("num_steps", 0), ("learning_rate", 0.0), ("initial_stddev", -1.0), ("realism_weight", -0.1)],
)
def test_options_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` must.*Received {value}"):
        DesignOptions(**{name: value})
