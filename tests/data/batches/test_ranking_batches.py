from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tiny_data import random_interactions

from tfdvbpr.data.batches.ranking import SharedItemBatches, TripletBatches
from tfdvbpr.data.batches.source import Batch, BatchSource
from tfdvbpr.data.interactions import Interactions, Split

NUM_USERS, NUM_ITEMS = 12, 26


def _images(items: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """A image whose every pixel names its item."""
    return np.broadcast_to(items.astype(np.uint8)[:, None, None, None], (len(items), 4, 4, 3)).copy()


@pytest.fixture
def interactions() -> Interactions:
    """Random actions; the last two items have none, item 0 only a test action."""
    sampled = random_interactions(0, num_users=NUM_USERS, num_items=NUM_ITEMS - 2, density=0.25)
    splits = np.where(sampled.item_ids == 0, Split.TEST, Split.TRAIN).astype(np.uint8)
    return Interactions(sampled.user_ids, sampled.item_ids, splits, NUM_USERS, NUM_ITEMS)


def _source(interactions: Interactions, *, seed: int = 5, num_replicas: int = 1) -> BatchSource:
    return BatchSource(interactions, _images, (), seed, num_replicas)


def _shared(interactions: Interactions, *, size: int = 8, max_pairs: int = 10_000, **options: Any) -> SharedItemBatches:
    return SharedItemBatches(_source(interactions, **options), global_batch_size=size, max_pairs=max_pairs)


def _triplets(interactions: Interactions, *, size: int = 8, **options: Any) -> TripletBatches:
    return TripletBatches(_source(interactions, **options), global_batch_size=size, sampler="uniform")


def _joined(parts: list[Batch]) -> dict[str, npt.NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_shared_item_draws_each_drawable_item_once_an_epoch(interactions: Interactions) -> None:
    drawable = np.flatnonzero(interactions.training_counts)
    batches = _shared(interactions, size=1_000)
    assert batches.steps_per_epoch == 1
    (parts,) = batches.epoch(0)
    np.testing.assert_array_equal(np.sort(parts[0]["item_ids"]), drawable)
    assert not {0, NUM_ITEMS - 2, NUM_ITEMS - 1} & set(drawable.tolist())

    batches = _shared(interactions, size=5)
    items = np.concatenate([parts[0]["item_ids"] for parts in batches.epoch(0)])
    assert len(items) == len(drawable) // 5 * 5 == batches.steps_per_epoch * batches.images_per_step
    assert len(np.unique(items)) == len(items)
    assert np.isin(items, drawable).all()


def test_shared_item_ranks_every_training_action_on_the_drawn_items(interactions: Interactions) -> None:
    matrix = interactions.training_matrix.toarray()
    num_drawable = np.count_nonzero(interactions.training_counts)
    for parts in _shared(interactions, size=8).epoch(0):
        part = parts[0]
        real = part["weights"] > 0
        ranked = zip(part["user_ids"][real], part["item_ids"][part["positive_index"][real]], strict=True)
        expected = {(user, item) for item in part["item_ids"] for user in np.flatnonzero(matrix[:, item])}
        assert sorted(ranked) == sorted(expected)
        np.testing.assert_array_equal(part["is_negative"][real], ~matrix[part["user_ids"][real]][:, part["item_ids"]])
        assert not part["is_negative"][~real].any()
        np.testing.assert_allclose(part["total_weight"], interactions.training_matrix.nnz * 8 / num_drawable, rtol=1e-6)
        np.testing.assert_array_equal(part["images"][:, 0, 0, 0], part["item_ids"])


def test_shared_item_shapes_are_the_same_each_step(interactions: Interactions) -> None:
    shapes = [
        {name: array.shape for name, array in parts[0].items()} for parts in _shared(interactions, size=6).epoch(1)
    ]
    assert len(shapes) > 1
    assert all(shape == shapes[0] for shape in shapes)


def test_shared_item_thins_to_max_pairs(interactions: Interactions) -> None:
    matrix = interactions.training_matrix.toarray()
    batches = _shared(interactions, size=12, max_pairs=7)
    assert batches.num_pairs == 7
    sampled = []
    for parts in batches.epoch(0):
        part = parts[0]
        assert part["user_ids"].shape == (7,)
        items = part["item_ids"][part["positive_index"]]
        assert matrix[part["user_ids"], items].all()
        pairs = set(zip(part["user_ids"].tolist(), items.tolist(), strict=True))
        assert len(pairs) == 7
        on_drawn = matrix[:, part["item_ids"]].sum()  # each kept action also stands for those that were left out
        np.testing.assert_allclose(part["weights"], on_drawn / 7, rtol=1e-6)
        sampled.append(pairs)
    others = [set(_pairs(parts[0])) for parts in batches.epoch(1)]
    assert sampled != others


def _pairs(part: Batch) -> list[tuple[int, int]]:
    return list(zip(part["user_ids"].tolist(), part["item_ids"][part["positive_index"]].tolist(), strict=True))


def test_shared_item_gives_no_weight_to_an_action_without_a_negative() -> None:
    """One user acted on every sampled item: nothing can be ranked below them."""
    users = np.array([0, 0, 0, 1], np.int32)
    items = np.array([0, 1, 2, 0], np.int32)
    interactions = Interactions(users, items, np.zeros(4, np.uint8), 2, 3)
    (parts,) = SharedItemBatches(_source(interactions), global_batch_size=3, max_pairs=100).epoch(0)
    weights = parts[0]["weights"]
    assert weights[parts[0]["is_negative"].any(axis=1)].tolist() == [1.0]
    assert weights.sum() == parts[0]["total_weight"] == 1.0


@pytest.mark.parametrize("make", [_shared, _triplets])
@pytest.mark.parametrize("num_replicas", [2, 4])
def test_same_global_batch_however_many_replicas(make: Any, num_replicas: int, interactions: Interactions) -> None:
    one = make(interactions, num_replicas=1, size=8)
    many = make(interactions, num_replicas=num_replicas, size=8)
    assert one.steps_per_epoch == many.steps_per_epoch > 1
    for single, parts in zip(one.epoch(2), many.epoch(2), strict=True):
        assert len(parts) == num_replicas
        joined = _joined(parts)
        for name, array in single[0].items():
            assert len({part[name].shape for part in parts}) == 1
            if name == "total_weight":
                np.testing.assert_array_equal(joined[name], np.full(num_replicas, array[0]))
                continue
            # A number of pairs that does not divide is padded up; the padding weighs nothing.
            np.testing.assert_array_equal(joined[name][: len(array)], array)
            if name == "weights":
                assert not joined[name][len(array) :].any()


@pytest.mark.parametrize("make", [_shared, _triplets])
def test_drawn_from_seed_and_epoch_alone(make: Any, interactions: Interactions) -> None:
    def draw(seed: int, epoch: int) -> list[dict[str, Any]]:
        return [_joined(parts) for parts in make(interactions, seed=seed).epoch(epoch)]

    def users(steps: list[dict[str, Any]]) -> list[Any]:
        return [step["user_ids"].tolist() for step in steps]

    first, again = draw(3, 1), draw(3, 1)
    for step, same in zip(first, again, strict=True):
        for name in step:
            np.testing.assert_array_equal(step[name], same[name])
    assert users(first) != users(draw(3, 2))
    assert users(first) != users(draw(4, 1))


def test_triplets(interactions: Interactions) -> None:
    matrix = interactions.training_matrix.toarray()
    batches = _triplets(interactions, size=6)
    assert batches.steps_per_epoch == matrix.sum() // 6
    assert batches.images_per_step == 12
    seen: list[int] = []
    for epoch in range(40):
        for parts in batches.epoch(epoch):
            part = parts[0]
            users, positives, negatives = (
                part[name] for name in ("user_ids", "positive_item_ids", "negative_item_ids")
            )
            assert {array.dtype for array in (users, positives, negatives)} == {np.dtype(np.int32)}
            assert matrix[users, positives].all()
            assert negatives.shape == (6, 1)
            assert not matrix[users[:, None], negatives].any()
            np.testing.assert_array_equal(part["positive_images"][:, 0, 0, 0], positives)
            np.testing.assert_array_equal(part["negative_images"][:, :, 0, 0, 0], negatives)
            seen += users.tolist()
    counts = np.bincount(seen, minlength=NUM_USERS)
    active = matrix.any(axis=1)
    assert not counts[~active].any()
    np.testing.assert_allclose(counts[active] / len(seen), 1 / active.sum(), atol=0.03)


def test_triplets_with_several_negatives_and_an_anchor(interactions: Interactions) -> None:
    matrix = interactions.training_matrix.toarray()
    options = {"global_batch_size": 6, "sampler": "uniform", "num_negatives": 3, "anchors": True}
    batches = TripletBatches(_source(interactions, num_replicas=2), **options)
    assert batches.images_per_step == 30
    anchors_of: dict[tuple[int, int], set[int]] = {}
    for epoch in range(60):
        for parts in batches.epoch(epoch):
            part = _joined(parts)
            users, positives, anchors = (part[name] for name in ("user_ids", "positive_item_ids", "anchor_item_ids"))
            assert part["negative_item_ids"].shape == (6, 3)
            assert not matrix[users[:, None], part["negative_item_ids"]].any()
            assert matrix[users, anchors].all()
            assert (anchors != positives).all()
            np.testing.assert_array_equal(part["anchor_images"][:, 0, 0, 0], anchors)
            np.testing.assert_array_equal(part["negative_images"][..., 0, 0, 0], part["negative_item_ids"])
            for user, positive, anchor in zip(users.tolist(), positives.tolist(), anchors.tolist(), strict=True):
                anchors_of.setdefault((user, positive), set()).add(anchor)
    user, positive = max(anchors_of, key=lambda pair: len(anchors_of[pair]))
    assert anchors_of[user, positive] == set(np.flatnonzero(matrix[user]).tolist()) - {positive}


def test_a_model_without_images_reads_none(interactions: Interactions) -> None:
    source = BatchSource(interactions, None, ("flip", "shift"), 0, 1)
    parts = next(iter(TripletBatches(source, global_batch_size=4, sampler="uniform").epoch(0)))
    assert parts[0]["positive_images"].shape == (4, 0)


def test_batch_sizes_that_cannot_work(interactions: Interactions) -> None:
    with pytest.raises(ValueError, match="at least 2 items"):
        _shared(interactions, size=1)
    with pytest.raises(ValueError, match="a triplet a replica"):
        _triplets(interactions, size=3, num_replicas=4)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_actions_weigh_by_item(interactions: Interactions, balance: float) -> None:
    drawable = np.flatnonzero(interactions.training_counts)
    batches = SharedItemBatches(_source(interactions), global_batch_size=8, max_pairs=10_000, item_balance=balance)
    part = next(iter(batches.epoch(0)))[0]
    real = part["weights"] > 0
    counts = interactions.training_counts[part["item_ids"][part["positive_index"][real]]]
    np.testing.assert_allclose(part["weights"][real], counts.astype(np.float64) ** -balance, rtol=1e-6)
    everything = (interactions.training_counts[drawable].astype(np.float64) ** (1 - balance)).sum()
    np.testing.assert_allclose(part["total_weight"], everything * 8 / len(drawable), rtol=1e-6)
