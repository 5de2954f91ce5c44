"""Design against bare passes forward and backward through the same networks, and the memory it takes."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdvbpr.designing.optimize.gradient_ascent import maximize
from tfdvbpr.designing.optimize.objective import DesignObjective
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.losses.adversarial import LeastSquares
from tfdvbpr.models.gans import DISCRIMINATORS, GENERATORS
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.models.recommenders.dvbpr import DVBPR

SIZE, CATEGORIES, LATENT_DIM, EMBEDDING_DIM = (64, 48), 12, 128, 64
CHUNK, STEPS = 64, 50
LEAST_SHARE, MOST_GROWTH = 0.8, 1.25


def _objective() -> DesignObjective:
    """Untrained networks, half as wide as the defaults: what design adds weighs the more beside them."""
    recommender = DVBPR(
        recommender_config("dvbpr", embedding_dim=EMBEDDING_DIM), num_users=1, num_items=1, image_size=SIZE
    )
    generator = GENERATORS["dcgan"](SIZE, num_categories=CATEGORIES, latent_dim=LATENT_DIM, base_channels=16)
    discriminator = DISCRIMINATORS["convolutional_paper"](SIZE, num_categories=CATEGORIES, base_channels=16)
    return DesignObjective(recommender, generator, discriminator, adversarial=LeastSquares())


def _bare(objective: DesignObjective) -> Callable[[int], float]:
    """Rows a second of nothing but θᵀΦ(G(z, c)), D(G(z, c), c) and their gradient to z, a chunk at a time."""
    recommender, generator, discriminator = objective.recommender, objective.generator, objective.discriminator

    @tf.function(autograph=False)
    def passes(latents: tf.Tensor, category_ids: tf.Tensor, users: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(latents)
            images = generator({"latents": latents, "category_ids": category_ids}, training=False)
            logits = discriminator({"images": images, "category_ids": category_ids}, training=False)
            preferences = tf.reduce_sum(users * recommender.embed_images(images), axis=1)
            values = preferences - tf.square(logits - 1.0)
        return tape.gradient(values, latents)

    generator_ = np.random.default_rng(0)
    latents = tf.constant(generator_.normal(size=(CHUNK, LATENT_DIM)), tf.float32)
    users = tf.constant(generator_.normal(size=(CHUNK, EMBEDDING_DIM)), tf.float32)
    category_ids = tf.constant(np.arange(CHUNK) % CATEGORIES, tf.int32)

    def measure(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            passes(latents, category_ids, users).numpy()
        return times * CHUNK / (time.perf_counter() - began)

    measure(2)
    return measure


def _design(objective: DesignObjective, num_users: int, num_starts: int) -> Callable[[int], float]:
    """Rows a second, per step, of a whole call: ascent, history, choice and pictures."""
    options = DesignOptions(num_steps=STEPS)
    users = tf.constant(np.random.default_rng(1).normal(size=(num_users, EMBEDDING_DIM)), tf.float32)
    category_ids = tf.zeros([num_users], tf.int32)
    starts = tf.random.stateless_normal([num_users, num_starts, LATENT_DIM], (1, 2))

    @tf.function(autograph=False)
    def designs(steps: tf.Tensor) -> dict[str, tf.Tensor]:
        return maximize(
            objective,
            users,
            category_ids,
            starts,
            options=options,
            num_steps=steps,
            num_designs=min(8, num_starts),
            details=True,
            chunk_rows=CHUNK,
        )

    def measure(steps: int) -> float:
        began = time.perf_counter()
        designs(tf.constant(steps))["images"].numpy()
        return num_users * num_starts * steps / (time.perf_counter() - began)

    measure(1)
    return measure


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _measure() -> dict[str, list[float]]:
    """Rows a second and peak memory in MiB; bare passes are timed before and after each design."""
    objective = _objective()
    bare = _bare(objective)
    answers = {}
    for name, num_users, num_starts in (("one user x 64 starts", 1, 64), ("64 users x 8 starts", 64, 8)):
        design = _design(objective, num_users, num_starts)
        before = bare(STEPS // 2)
        rate = design(STEPS)
        answers[name] = [rate, (before + bare(STEPS // 2)) / 2, _peak_megabytes()]
    return answers


def test_design_is_nearly_as_quick_as_its_bare_passes_and_bounded_in_memory() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answers = pool.apply(_measure)
    for name, (rate, bare, peak) in answers.items():
        print(
            f"\n{name} x {STEPS} steps: {rate:.0f} rows a second and step, bare passes {bare:.0f} "
            f"({rate / bare:.0%}); peak memory of the process so far {peak:.0f} MiB"
        )
    for rate, bare, _ in answers.values():
        assert rate >= LEAST_SHARE * bare
    (*_, one), (*_, many) = answers.values()
    assert many <= MOST_GROWTH * one  # eight times the rows
