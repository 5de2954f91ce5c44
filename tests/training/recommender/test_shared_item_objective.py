"""The mean gradient over every step that could be drawn is the triplet objective's, docs/reference/equations.md."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.batches.ranking import SharedItemBatches
from tfdvbpr.data.batches.source import BatchSource
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.losses.ranking import bpr
from tfdvbpr.training.recommender.objective import shared_item_loss

NUM_ITEMS, SIZE, DIM = 7, 3, 2
# Of the seven items the last has no action; the last user acted on all of the others.
ACTIONS = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 4), (2, 5), (3, 0), (3, 5), *((4, item) for item in range(6))]
DRAWABLE = range(6)

Gradients = list[np.ndarray]


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    users, items = (np.array(ids, np.int32) for ids in zip(*ACTIONS, strict=True))
    return Interactions(users, items, np.zeros(len(ACTIONS), np.uint8), 5, NUM_ITEMS)


@pytest.fixture(scope="module")
def embeddings() -> list[Any]:
    generator = np.random.default_rng(3)
    shapes = [(5, DIM), (NUM_ITEMS, DIM), (NUM_ITEMS,)]
    return [tf.constant(generator.standard_normal(shape)) for shape in shapes]


def _batches(interactions: Interactions, **options: Any) -> SharedItemBatches:
    source = BatchSource(interactions, None, (), 0, 1)
    return SharedItemBatches(source, global_batch_size=SIZE, max_pairs=options.pop("max_pairs", 1_000), **options)


@tf.function(reduce_retracing=True)
def _gradient(plan: dict[str, Any], embeddings: list[Any]) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        users, rows, biases = embeddings
        items = plan["item_ids"]
        drawn = (tf.gather(users, plan["user_ids"]), tf.gather(rows, items), tf.gather(biases, items))
        loss = shared_item_loss(bpr, *drawn, plan)
    return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, embeddings)]


def _step_gradient(batches: SharedItemBatches, items: np.ndarray, embeddings: list[Any]) -> Gradients:
    """float64: what a step on the given items does, through the library's own loss."""
    plan = batches.plan(items, np.random.default_rng(0))
    tensors = {name: tf.constant(array) for name, array in plan.items()}
    return [gradient.numpy() for gradient in _gradient(tensors, embeddings)]


def _triplet_gradient(embeddings: list[Any], *, item_balance: float, size: int) -> Gradients:
    """float64: of Σ w_ui E_j ℓ_uij / Σ w_ui, j uniform over what u has not acted on."""
    acted = {user: {item for who, item in ACTIONS if who == user} for user in range(5)}
    of_item = np.bincount([item for _, item in ACTIONS], minlength=NUM_ITEMS)
    terms, whole = [], 0.0
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        scores = tf.matmul(embeddings[0], embeddings[1], transpose_b=True) + embeddings[2]
        for user, item in ACTIONS:
            others = [other for other in DRAWABLE if other not in acted[user]]
            if not others:
                continue
            weight = of_item[item] ** -item_balance
            whole += weight
            losses = [tf.math.softplus(scores[user, other] - scores[user, item]) for other in others]
            terms.append(weight * _met(len(acted[user]), size) * tf.reduce_mean(tf.stack(losses)))
        loss = tf.add_n(terms) / whole
    return [tf.convert_to_tensor(gradient).numpy() for gradient in tape.gradient(loss, embeddings)]


def _met(num_acted: int, size: int) -> float:
    """How likely a step that draws a positive draws a negative too: 1 where it draws more items than u acted on."""
    others = list(itertools.combinations(range(1, 6), size - 1))  # item 0 is the positive, 1.. the further positives
    return sum(any(other >= num_acted for other in chosen) for chosen in others) / len(others)


def _mean(gradients: list[Gradients]) -> Gradients:
    return [np.mean(np.stack(parts), axis=0) for parts in zip(*gradients, strict=True)]


@pytest.mark.parametrize("item_balance", [0.0, 0.5, 1.0])
def test_mean_gradient_is_the_triplet_objectives(
    interactions: Interactions, embeddings: list[Any], item_balance: float
) -> None:
    batches = _batches(interactions, item_balance=item_balance)
    steps = [np.array(chosen, np.int32) for chosen in itertools.combinations(DRAWABLE, SIZE)]
    got = _mean([_step_gradient(batches, items, embeddings) for items in steps])
    expected = _triplet_gradient(embeddings, item_balance=item_balance, size=SIZE)
    for one, other in zip(got, expected, strict=True):
        assert np.abs(other).max() > 1e-3
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_thinned_draws_are_made_up_for(interactions: Interactions) -> None:
    """On average each action has the weight it would have if none were left out; the gradient is linear in them."""
    whole, thinned = _batches(interactions), _batches(interactions, max_pairs=4)
    assert thinned.num_pairs == 4
    items = np.array([0, 1, 5], np.int32)  # 4 + 2 + 3 actions

    generator = np.random.default_rng(0)

    def weights(batches: SharedItemBatches) -> np.ndarray:
        plan = batches.plan(items, generator)
        table = np.zeros((5, NUM_ITEMS))
        np.add.at(table, (plan["user_ids"], plan["positive_item_ids"]), plan["weights"] / plan["total_weight"])
        return table

    got = np.mean([weights(thinned) for _ in range(6_000)], axis=0)
    expected = weights(whole)
    np.testing.assert_allclose(got, expected, atol=0.06 * expected.max())
    assert (got > 0).sum() == (expected > 0).sum() == 6


def test_hard_sampler_ranks_against_the_best_scored_negative_alone(
    interactions: Interactions, embeddings: list[Any]
) -> None:
    plan = _batches(interactions, sampler="hard").plan(np.array([0, 1, 5], np.int32), np.random.default_rng(0))
    users, rows, biases = embeddings
    items = plan["item_ids"]
    drawn = (tf.gather(users, plan["user_ids"]), tf.gather(rows, items), tf.gather(biases, items))
    loss = shared_item_loss(bpr, *drawn, plan, keeps_hardest=True)
    scores = (drawn[0].numpy() @ drawn[1].numpy().T) + drawn[2].numpy()
    expected = 0.0
    for row in np.flatnonzero(plan["weights"]):
        margin = scores[row][plan["positive_index"][row]] - scores[row][plan["is_negative"][row]].max()
        expected += plan["weights"][row] / plan["total_weight"][0] * np.logaddexp(0, -margin)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
