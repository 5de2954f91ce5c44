from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.gradient_ascent import (
    colour_features,
    frame_steps,
    in_chunks,
    initial_latents,
    maximize,
    select_diverse,
)


def _latents(designer: Designer, seeds: list[int]) -> tf.Tensor:
    """Three starts a request, float32 [B, 3, L]."""
    latent_dim = designer.gan_run.config.latent_dim
    return initial_latents(tf.constant(seeds, tf.int64), num_rows=3, latent_dim=latent_dim)


@pytest.mark.parametrize(("num_rows", "chunk_rows", "sizes"), [(7, 3, [3, 3, 3]), (6, 64, [6]), (9, 4, [3, 3, 3])])
def test_chunks_are_even_and_bounded(num_rows: int, chunk_rows: int, sizes: list[int]) -> None:
    seen = []

    def squares(rows: tf.Tensor) -> tf.Tensor:
        seen.append(int(rows.shape[0]))
        return rows**2

    answer = in_chunks(squares, num_rows, chunk_rows=chunk_rows, signature=tf.TensorSpec([None], tf.int32))
    assert seen == sizes
    np.testing.assert_array_equal(answer, np.arange(num_rows) ** 2)


def test_starts_differ_and_come_from_the_seed_alone() -> None:
    both = initial_latents(tf.constant([4, 9], tf.int64), num_rows=5, latent_dim=3).numpy()
    assert both.shape == (2, 5, 3)
    assert len(np.unique(both.reshape(10, 3), axis=0)) == 10
    alone = initial_latents(tf.constant([9], tf.int64), num_rows=5, latent_dim=3).numpy()
    np.testing.assert_array_equal(both[1], alone[0])


def test_starts_are_standard_normal() -> None:
    latents = initial_latents(tf.range(50, dtype=tf.int64), num_rows=20, latent_dim=10).numpy()
    assert abs(latents.mean()) < 0.04
    assert abs(latents.std() - 1.0) < 0.04


@pytest.mark.parametrize(
    ("num_steps", "num_frames", "expected"),
    [(40, 5, [0, 10, 20, 30, 40]), (10, 2, [0, 10]), (10, 1, [10]), (2, 5, [0, 0, 1, 2, 2]), (10, 0, [])],
)
def test_frames_are_evenly_spaced(num_steps: int, num_frames: int, expected: list[int]) -> None:
    assert frame_steps(num_steps, num_frames) == expected


def test_the_first_step_of_adam_follows_the_sign_of_the_gradient(designer: Designer) -> None:
    """With no memory yet, Adam moves every coordinate by the learning rate, uphill (Kingma & Ba 2015, §2.1)."""
    options = dataclasses.replace(designer.options, num_steps=1)
    latents = _latents(designer, [5])[0]
    user = designer.run.factors.user_embeddings[:1]
    objective, category_ids, users = designer.objective, tf.zeros([3], tf.int32), tf.repeat(user, 3, 0)
    with tf.GradientTape() as tape:
        tape.watch(latents)
        images = objective.images(latents, category_ids)
        logits = objective.realism_logits(images, category_ids)
        values = objective.values(objective.preferences(images, users), logits, options.realism_weight)
    gradient = tape.gradient(values, latents).numpy()
    rows = latents.numpy()
    gradient -= rows * (gradient * rows).sum(axis=1, keepdims=True) / (rows * rows).sum(axis=1, keepdims=True)
    moved = rows + options.learning_rate * np.sign(gradient)
    moved = tf.constant(
        moved * np.linalg.norm(rows, axis=1, keepdims=True) / np.linalg.norm(moved, axis=1, keepdims=True)
    )
    expected = objective.preferences(objective.images(moved, category_ids), users).numpy()
    answer = maximize(objective, user, tf.constant([0]), latents[None], options=options)
    np.testing.assert_allclose(np.sort(answer["preferences"][0]), np.sort(expected), atol=1e-3)


def test_every_request_may_have_its_own_steps_and_weight(designer: Designer) -> None:
    users = designer.run.factors.user_embeddings[:2]
    arguments = (users, tf.constant([0, 1]), _latents(designer, [3, 4]))
    both = maximize(
        designer.objective,
        *arguments,
        options=designer.options,
        num_steps=tf.constant([2, 5]),
        realism_weight=tf.constant([0.0, 2.0]),
    )
    for row, (steps, eta) in enumerate(((2, 0.0), (5, 2.0))):
        alone = maximize(
            designer.objective,
            *arguments,
            options=designer.options,
            num_steps=tf.constant(steps),
            realism_weight=tf.constant(eta),
        )
        np.testing.assert_allclose(both["preferences"][row], alone["preferences"][row], atol=1e-4)
        np.testing.assert_allclose(both["realism_logits"][row], alone["realism_logits"][row], atol=1e-4)


def test_chunks_change_nothing_but_the_last_digits(designer: Designer) -> None:
    users = designer.run.factors.user_embeddings[:3]
    arguments = (users, tf.constant([0, 1, 1]), _latents(designer, [1, 2, 3]))
    few = maximize(designer.objective, *arguments, options=designer.options, num_steps=3, chunk_rows=2)
    whole = maximize(designer.objective, *arguments, options=designer.options, num_steps=3)
    np.testing.assert_allclose(few["preferences"], whole["preferences"], atol=0.02)


# Two near copies with the best objectives, one that is a little worse and differs, one that is bad.
VALUES = np.array([[4.0, 3.9, 3.5, -9.0]], np.float32)
FEATURES = np.array([[[0.0], [0.01], [1.0], [5.0]]], np.float32)


def _selected(number: object, diversity: float) -> list[list[int]]:
    kept: list[list[int]] = (
        select_diverse(tf.constant(VALUES), tf.constant(FEATURES), tf.constant(number), diversity=diversity)
        .numpy()
        .tolist()
    )
    return kept


def test_without_diversity_the_best_are_kept() -> None:
    assert _selected(2, 0.0) == [[0, 1]]
    assert _selected(4, 0.0) == [[0, 1, 2, 3]]


def test_with_diversity_a_near_copy_is_left_out() -> None:
    assert _selected(2, 0.5) == [[0, 2]]
    assert _selected(3, 0.5) == [[0, 1, 2]]  # by falling objective; the bad one is left out


def test_all_of_them_are_in_the_order_of_the_objective() -> None:
    assert _selected(4, 2.0) == [[0, 1, 2, 3]]


def test_every_request_may_have_a_number_of_its_own() -> None:
    values, features = np.repeat(VALUES, 2, axis=0), np.repeat(FEATURES, 2, axis=0)
    kept = select_diverse(tf.constant(values), tf.constant(features), tf.constant([3, 2]), diversity=0.5).numpy()
    assert kept[0].tolist() == [0, 1, 2]
    assert kept[1, :2].tolist() == [0, 2]


def test_equal_designs_do_not_divide_by_zero() -> None:
    kept = select_diverse(tf.zeros([1, 3]), tf.zeros([1, 3, 2]), tf.constant(2), diversity=0.5).numpy()
    assert len(set(kept[0])) == 2


def test_features_are_the_mean_colours_of_cells() -> None:
    image = np.zeros((1, 64, 48, 3), np.float32)
    image[0, :8, :6] = 1.0  # the first of 8×8 cells
    cell = colour_features(tf.constant(image)).numpy().reshape(8, 8, 3) * np.sqrt(192)
    np.testing.assert_allclose(cell[0, 0], 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.abs(cell).sum(), 3.0, rtol=1e-6)
