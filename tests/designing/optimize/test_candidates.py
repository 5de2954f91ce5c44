from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.designing.audience import AudienceEmbeddings
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.candidates import Candidates

USER = np.array([[1.0, 0.0], [0.0, -2.0]], np.float32)


class _Identity:
    """Images that are the latents with the category added; Φ is the image, and all are within the limits but in 3."""

    def within(self, images: tf.Tensor, category_ids: tf.Tensor) -> tf.Tensor:
        return (category_ids != 3) | (images[:, 0] < 3.0)

    def images(self, latents: tf.Tensor, category_ids: tf.Tensor) -> tf.Tensor:
        return latents + tf.cast(category_ids, tf.float32)[:, None]

    def embeddings(self, images: tf.Tensor) -> tf.Tensor:
        return images


@pytest.fixture
def candidates() -> Candidates:
    """Ten of twenty candidates a request, three starts."""
    return Candidates(
        _Identity(),  # type: ignore[arg-type]
        num_candidates=10,
        num_starts=3,
        latent_dim=2,
        embedding_dim=2,
        num_categories=4,
    )


def _starts(candidates: Candidates, users: np.ndarray, seeds: list[int]) -> np.ndarray:
    audience = AudienceEmbeddings.of_users(users)
    found: np.ndarray = candidates.starts(audience, tf.fill([len(users)], 2), tf.constant(seeds, tf.int64)).numpy()
    return found


def test_candidates_are_embedded_once_a_category(candidates: Candidates) -> None:
    reports: list[tuple[int, int]] = []
    candidates.prepare([2, 0, 2], lambda *at: reports.append(at))
    assert reports == [(1, 2), (2, 2)]
    np.testing.assert_allclose(candidates.embeddings[2], candidates.latents + 2.0)
    np.testing.assert_array_equal(candidates.embeddings[1], 0.0)
    candidates.prepare([0, 2], lambda *at: reports.append(at))
    assert len(reports) == 2


def test_starts_are_the_most_preferred_of_a_random_half(candidates: Candidates) -> None:
    candidates.prepare([2])
    sampled = candidates._half(tf.constant(5, tf.int64)).numpy()
    assert len(set(sampled)) == 10
    latents = candidates.latents.numpy()[sampled]
    expected = latents[np.argsort(-(latents + 2.0) @ USER[1])[:3]]
    np.testing.assert_array_equal(_starts(candidates, USER, [4, 5])[1], expected)


def test_a_group_is_given_what_its_members_prefer_on_average(candidates: Candidates) -> None:
    candidates.prepare([2])
    group = AudienceEmbeddings(tf.constant(USER[None]), tf.zeros([1, 2]))
    found = candidates.starts(group, tf.constant([2]), tf.constant([7], tf.int64))
    np.testing.assert_array_equal(found, _starts(candidates, USER.mean(axis=0, keepdims=True), [7]))


def test_another_seed_sees_other_candidates(candidates: Candidates) -> None:
    candidates.prepare([2])
    one, again, other = (_starts(candidates, USER[:1], [seed]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_of_a_designer_they_start_above_random_images(designer: Designer) -> None:
    """Three of eight candidates are preferred to the others, under the run's own networks."""
    designs = designer.design(["u1"] * 20, ["shoe"] * 20, seeds=range(20))
    random = designer.generate(["shoe"] * 20, seeds=range(100, 120))
    images = tf.constant(random / 127.5 - 1.0, tf.float32)
    user = np.repeat(designer.run.visual_user_embeddings[1:2], 20, axis=0)
    typical = designer.objective.preferences(images, user).numpy()
    assert designs.initial_preferences.mean() > typical.mean() + 0.5 * typical.std()


def test_starts_are_within_the_limits_as_far_as_there_are_some(candidates: Candidates) -> None:
    candidates.prepare([3])
    audience = AudienceEmbeddings.of_users(np.array([[1.0, 0.0]], np.float32))
    starts = candidates.starts(audience, tf.constant([3]), tf.constant([5], tf.int64)).numpy()[0]
    sampled = candidates.latents.numpy()[candidates._half(tf.constant(5, tf.int64)).numpy()]
    images = np.sort(sampled[:, 0] + 3.0)
    assert 3 <= (images < 3.0).sum() < 10
    np.testing.assert_allclose(starts[:, 0] + 3.0, images[images < 3.0][::-1][:3], rtol=1e-6)
    candidates.within.assign(tf.zeros_like(candidates.within))
    starts = candidates.starts(audience, tf.constant([3]), tf.constant([5], tf.int64)).numpy()[0]
    np.testing.assert_allclose(starts[:, 0] + 3.0, images[::-1][:3], rtol=1e-6)
