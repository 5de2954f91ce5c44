from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.objective import DesignObjective
from tfdvbpr.losses.adversarial import LeastSquares
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.models.recommenders.dvbpr import DVBPR
from tfdvbpr.run import GanRun, Run


def _objective(recommender: DVBPR, gan_run: GanRun) -> DesignObjective:
    return DesignObjective(recommender, gan_run.generator, gan_run.discriminator, adversarial=LeastSquares())


def test_preference_is_the_dot_product_with_the_recommenders_embedding(designer: Designer) -> None:
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)
    users = generator.normal(size=(3, 4)).astype(np.float32)
    embeddings = designer.run.recommender.embed_images(images).numpy()
    expected = [user @ embedding for user, embedding in zip(users, embeddings, strict=True)]
    np.testing.assert_allclose(designer.objective.preferences(tf.constant(images), users), expected, atol=1e-5)


def test_a_catalogue_item_has_its_score_for_preference(designer: Designer, tiny_run: Run) -> None:
    dataset = tiny_run.open_dataset()
    images = dataset.images.read(np.arange(4)).astype(np.float32) / 127.5 - 1.0
    users = np.repeat(tiny_run.factors.user_embeddings[:1], 4, axis=0)
    scores = tiny_run.score(["u0"], [f"i{number}" for number in range(4)])[0]
    np.testing.assert_allclose(designer.objective.preferences(tf.constant(images), users), scores, atol=1e-4)


def test_pictures_are_resized_to_the_recommenders_by_nearest_neighbour(tiny_gan_run: GanRun) -> None:
    recommender = DVBPR(recommender_config("dvbpr", embedding_dim=4), num_users=1, num_items=1, image_size=(64, 64))
    objective = _objective(recommender, tiny_gan_run)
    images = objective.images(tf.random.stateless_normal([2, 6], [0, 1]), tf.constant([0, 1]))
    assert images.shape == (2, 32, 32, 3)
    users = np.eye(4, dtype=np.float32)[:2]
    enlarged = np.repeat(np.repeat(images.numpy(), 2, axis=1), 2, axis=2)
    expected = (users * recommender.embed_images(enlarged).numpy()).sum(axis=1)
    np.testing.assert_allclose(objective.preferences(images, users), expected, atol=1e-5)


@pytest.mark.parametrize(("realism_weight", "expected"), [(0.0, [2.0, -1.0, 0.5]), (0.5, [2.0, -1.5, -1.5])])
def test_golden_values(tiny_run: Run, tiny_gan_run: GanRun, realism_weight: float, expected: list[float]) -> None:
    """Preference less η (D − 1)²: logits 1, 0 and −1 are 0, 1 and 4 from what LSGAN calls real."""
    objective = _objective(tiny_run.recommender, tiny_gan_run)
    values = objective.values(tf.constant([2.0, -1.0, 0.5]), tf.constant([1.0, 0.0, -1.0]), realism_weight)
    np.testing.assert_allclose(values, expected)


def test_realism_is_the_discriminators_own_logit_of_that_category(designer: Designer) -> None:
    images = designer.objective.images(tf.random.stateless_normal([2, 6], [0, 1]), tf.constant([0, 1]))
    logits = designer.objective.realism_logits(images, tf.constant([0, 1])).numpy()
    for row in (0, 1):
        inputs = {"images": images[row : row + 1], "category_ids": tf.constant([row])}
        np.testing.assert_allclose(logits[row], designer.gan_run.discriminator(inputs, training=False)[0], atol=1e-5)
    other = designer.objective.realism_logits(images, tf.constant([1, 0])).numpy()
    assert (logits != other).all()
