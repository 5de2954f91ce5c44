from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.designing.audience import Audience, AudienceEmbeddings, standardized_users
from tfdvbpr.designing.designer import Designer
from tfdvbpr.errors import ConfigError, UnknownIdError
from tfdvbpr.run import Run


def test_golden_preferences() -> None:
    """Members prefer (2, 1) by 2 and 1 − 4; the group by their mean."""
    users = AudienceEmbeddings(tf.constant([[[1.0, 0.0], [0.0, 1.0]]]), tf.constant([[0.0, -4.0]]))
    item_embeddings = tf.constant([[2.0, 1.0]])
    np.testing.assert_allclose(users.member_preferences(item_embeddings), [[2.0, -3.0]])
    np.testing.assert_allclose(users.preferences(item_embeddings), [-0.5])


def test_rows_of_requests_are_gathered_unless_one_serves_all() -> None:
    two = AudienceEmbeddings.of_users([[1.0], [2.0]], [0.0, 5.0]).gather(tf.constant([1, 1, 0]))
    assert two.embeddings.numpy().ravel().tolist() == [2.0, 2.0, 1.0]
    assert two.offsets.numpy().ravel().tolist() == [5.0, 5.0, 0.0]
    one = AudienceEmbeddings.of_users([[1.0]])
    assert one.gather(tf.constant([0, 0])) is one


def test_a_group_of_one_is_that_user(designer: Designer) -> None:
    assert Audience.group(["u3", "u3"]) == Audience.user("u3")
    alone = designer.design_for(Audience.user("u3"), "shirt", seed=1)
    np.testing.assert_allclose(alone.images.astype(int), designer.design(["u3"], ["shirt"], seeds=[1]).images, atol=1)


def test_members_have_mean_0_and_standard_deviation_1_over_the_category(tiny_run: Run) -> None:
    users = Audience.group(["u0", "u1"]).embeddings(tiny_run, "shoe")
    rows = tiny_run.items.category_ids == tiny_run.items.category_id("shoe")
    members = users.member_preferences(tf.constant(tiny_run.visual_item_embeddings[rows])).numpy()
    np.testing.assert_allclose(members.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(members.std(axis=0), 1.0, atol=1e-4)


def test_liked_items_are_folded_in(designer: Designer) -> None:
    run = designer.run
    theta = run.fold_in([["i1", "i5"]])[:, : run.config.embedding_dim]
    designs = designer.design_for(Audience.liked(["i1", "i5"]), "shoe", seed=2)
    expected = designer.design_for_embeddings(theta, ["shoe"], seeds=[2])
    np.testing.assert_array_equal(designs.images, expected.images)


@pytest.mark.parametrize(
    "make", [lambda: Audience(), lambda: Audience(user_ids=("u0",), item_ids=("i0",)), lambda: Audience.group([])]
)
def test_wrong_audiences(make: object) -> None:
    with pytest.raises(ConfigError, match="Give one of the two"):
        make()  # type: ignore[operator]


def test_unknown_members(tiny_run: Run) -> None:
    with pytest.raises(UnknownIdError, match="`user` must be one of"):
        Audience.group(["u0", "nobody"]).embeddings(tiny_run, "shirt")
    with pytest.raises(UnknownIdError, match="`item` must be one of"):
        Audience.liked(["nothing"]).embeddings(tiny_run, "shirt")


def test_an_audience_moves_toward_items(tiny_run: Run) -> None:
    """Half the preference, half the direction, each in standard deviations over the category."""
    plain = Audience.user("u0")
    moved = plain.toward(more_like=["i1", "i3"], less_like=["i2"], strength=1.0)
    items = tiny_run.visual_item_embeddings
    direction = items[[1, 3]].mean(axis=0) - items[2]
    of_shoes = tiny_run.items.category_ids == tiny_run.items.category_id("shoe")
    scores = [items @ vector for vector in (tiny_run.visual_user_embeddings[0], direction)]
    expected = [(each - each[of_shoes].mean()) / each[of_shoes].std() for each in scores]
    found = moved.embeddings(tiny_run, "shoe").preferences(tf.constant(items)).numpy()
    np.testing.assert_allclose(found, (expected[0] + expected[1]) / 2, atol=1e-4)
    stronger = plain.toward(more_like=["i1", "i3"], less_like=["i2"], strength=3.0)
    found = stronger.embeddings(tiny_run, "shoe").preferences(tf.constant(items)).numpy()
    np.testing.assert_allclose(found, (expected[0] + 3 * expected[1]) / 4, atol=1e-4)


def test_where_one_side_is_empty_the_catalogue_stands_in(tiny_run: Run) -> None:
    items = tiny_run.visual_item_embeddings
    toward = Audience.user("u0").toward(more_like=["i1"])._direction(tiny_run)
    np.testing.assert_allclose(toward, items[1] - items.mean(axis=0), atol=1e-6)
    away = Audience.user("u0").toward(less_like=["i1"])._direction(tiny_run)
    np.testing.assert_allclose(away, -toward, atol=1e-6)


def test_a_group_counts_as_the_mean_of_its_members_when_items_are_tailored(tiny_run: Run) -> None:
    group = Audience.group(["u0", "u1"])
    embeddings, offsets = standardized_users(tiny_run, [group], ["shoe"])
    items = tf.constant(tiny_run.visual_item_embeddings)
    expected = group.embeddings(tiny_run, "shoe").preferences(items)
    found = AudienceEmbeddings.of_users(np.repeat(embeddings, len(items), 0), np.repeat(offsets, len(items)))
    np.testing.assert_allclose(found.preferences(items), expected, atol=1e-5)


def test_audiences_come_back_from_json() -> None:
    audience = Audience.group(["u0", "u1"]).toward(less_like=["i1"], strength=0.5)
    assert Audience.of_json(json.loads(json.dumps(asdict(audience)))) == audience
    with pytest.raises(ConfigError, match="`strength` must be above 0"):
        Audience.user("u0").toward(more_like=["i1"], strength=0.0)
