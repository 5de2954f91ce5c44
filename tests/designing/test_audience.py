from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.designing.audience import Audience, Tastes
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.scoring import score_pictures
from tfdvbpr.errors import ConfigError, UnknownIdError
from tfdvbpr.run import Run

MEMBERS = np.array([[1.0, 5.0, -2.0]], np.float32)


@pytest.mark.parametrize(("least_misery", "expected"), [(0.0, 2.25), (1.0, -2.0), (0.5, 0.125)])
def test_golden_trade_off(least_misery: float, expected: float) -> None:
    """The mean of (1, 5, −2), weighed ¼, ½ and ¼, is 2.25; the least is −2."""
    weights = tf.constant([[0.25, 0.5, 0.25]])
    tastes = Tastes(tf.zeros([1, 3, 2]), tf.zeros([1, 3]), weights, tf.constant(least_misery))
    assert float(tastes.together(tf.constant(MEMBERS))[0]) == pytest.approx(expected)


def test_padding_is_nobody() -> None:
    weights = tf.constant([[0.5, 0.5, 0.0]])
    tastes = Tastes(tf.zeros([1, 3, 2]), tf.zeros([1, 3]), weights, tf.constant(1.0))
    assert float(tastes.together(tf.constant(MEMBERS))[0]) == 1.0


def test_a_group_of_one_is_that_user(designer: Designer) -> None:
    alone = designer.design_for(Audience.user("u3"), "shirt", seed=1)
    group = designer.design_for(Audience.group(["u3", "u3"], standardise=False), "shirt", seed=1)
    np.testing.assert_array_equal(alone.images, group.images)
    np.testing.assert_allclose(alone.images.astype(int), designer.design(["u3"], ["shirt"], seeds=[1]).images, atol=1)


def test_standardised_members_have_mean_0_and_deviation_1_over_the_category(tiny_run: Run) -> None:
    tastes = Audience.group(["u0", "u1"]).tastes(tiny_run, "shoe")
    rows = tiny_run.items.category_ids == tiny_run.items.category_id("shoe")
    members = tastes.members(tf.constant(tiny_run.looks[rows])).numpy()
    np.testing.assert_allclose(members.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(members.std(axis=0), 1.0, atol=1e-4)


def test_least_misery_serves_the_least_pleased_better(designer: Designer) -> None:
    """Users of both parities like opposite colours; the mean may forget one of them, least misery may not."""
    worst = {}
    for least_misery in (0.0, 1.0):
        audience = Audience.group(["u0", "u1", "u2"], least_misery=least_misery)
        designs = designer.design_for(audience, "shirt", seed=0, realism_weight=0.0, num_steps=30)
        tastes = audience.tastes(designer.run, "shirt")
        embeddings = designer.objective.embeddings(tf.constant(designs.images[0] / 127.5 - 1.0, tf.float32))
        worst[least_misery] = tastes.members(embeddings).numpy().min(axis=1).max()
    assert worst[1.0] >= worst[0.0] - 0.02


def test_liked_items_are_folded_in(designer: Designer) -> None:
    run = designer.run
    theta = run.fold_in([["i1", "i5"]])[:, : run.config.embedding_dim]
    designs = designer.design_for(Audience.liked(["i1", "i5"]), "shoe", seed=2)
    expected = designer.design_for_tastes(theta, ["shoe"], seeds=[2])
    np.testing.assert_array_equal(designs.images, expected.images)


def test_pictures_score_as_items_do(tiny_run: Run) -> None:
    dataset = tiny_run.open_dataset()
    users = np.repeat(tiny_run.tastes[:1], 3, axis=0)
    told = score_pictures(tiny_run, dataset.images.read(np.arange(3)), users)
    np.testing.assert_allclose(told, tiny_run.score(["u0"], ["i0", "i1", "i2"])[0], atol=1e-4)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Audience(), "Give one of the two"),
        (lambda: Audience(user_ids=("u0",), item_ids=("i0",)), "Give one of the two"),
        (lambda: Audience.group(["u0", "u1"], least_misery=1.5), r"`least_misery` must lie in \[0, 1\]. Received 1.5"),
        (lambda: Audience.group(["u0"], least_misery=float("nan")), "`least_misery` must lie"),
    ],
)
def test_wrong_audiences(make: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()  # type: ignore[operator]


def test_unknown_members(tiny_run: Run) -> None:
    with pytest.raises(UnknownIdError, match="`user` must be one of"):
        Audience.group(["u0", "nobody"]).tastes(tiny_run, "shirt")
    with pytest.raises(UnknownIdError, match="`item` must be one of"):
        Audience.liked(["nothing"]).tastes(tiny_run, "shirt")
