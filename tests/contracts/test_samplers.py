"""What every negative sampler must do, for triplets and for shared-item batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from tiny_data import random_interactions

from tfdvbpr.data.batches.ranking import SharedItemBatches, TripletBatches
from tfdvbpr.data.batches.samplers import SAMPLERS, NegativeSampler
from tfdvbpr.data.batches.source import BatchSource
from tfdvbpr.data.interactions import Interactions, Split

Ids = npt.NDArray[np.int32]


@pytest.fixture(params=SAMPLERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _positives(sampler: NegativeSampler, count: int) -> Ids:
    """A batch's positives: training actions of all users."""
    return np.resize(sampler.interactions.of(Split.TRAIN)[1], count).astype(np.int32)


def _sample(sampler: NegativeSampler, users: Ids, seed: int) -> Ids:
    return sampler.sample(users, _positives(sampler, len(users)), np.random.default_rng(seed))


def _all_but(num_items: int, left: list[int], *, splits: dict[int, Split] | None = None) -> Interactions:
    """One user who acted on every item but some."""
    acted = np.setdiff1d(np.arange(num_items, dtype=np.int32), left)
    parts = np.array([(splits or {}).get(int(item), Split.TRAIN) for item in acted], np.uint8)
    return Interactions(np.zeros(len(acted), np.int32), acted, parts, 1, num_items)


def test_never_a_training_positive(name: str) -> None:
    interactions = random_interactions(1, num_users=20, num_items=30, density=0.5)
    users = np.random.default_rng(2).integers(0, 20, 20_000).astype(np.int32)
    items = _sample(SAMPLERS[name](interactions), users, 3)
    assert items.dtype == np.int32
    assert items.shape == users.shape
    assert items.min() >= 0
    assert items.max() < 30
    assert not interactions.training_matrix.toarray()[users, items].any()


def test_seeded(name: str) -> None:
    sampler = SAMPLERS[name](random_interactions(1, num_users=20, num_items=30, density=0.3))
    users = np.arange(20, dtype=np.int32).repeat(10)
    first, again, other = (_sample(sampler, users, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_triplets_follow_the_weights(name: str, power: float) -> None:
    sampler = SAMPLERS[name](random_interactions(6, num_users=3, num_items=12, density=0.4), popularity_power=power)
    weights = sampler.weights(_positives(sampler, 12_000))
    for user in range(3):
        allowed = ~sampler.interactions.training_matrix.toarray()[user] & (weights > 0)
        counts = np.bincount(_sample(sampler, np.full(12_000, user, np.int32), 7), minlength=12)
        assert counts.sum() == counts[allowed].sum()
        expected = 12_000 * weights[allowed] / weights[allowed].sum()
        assert allowed.sum() == 1 or stats.chisquare(counts[allowed], expected).pvalue > 1e-3


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_shared_items_are_accepted_by_their_weights(name: str, power: float) -> None:
    sampler = SAMPLERS[name](random_interactions(6, num_users=9, num_items=12, density=0.4), popularity_power=power)
    items = np.array([1, 3, 4, 7, 10], np.int32)
    positives = np.repeat(items, [1, 2, 3, 4, 5]).astype(np.int32)
    generator = np.random.default_rng(0)
    accepted = np.mean([sampler.accept(items, positives, generator) for _ in range(4_000)], axis=0)
    weights = sampler.weights(positives)[items]
    np.testing.assert_allclose(accepted, weights / weights.max(), atol=0.04)


def test_in_both_batchings(name: str) -> None:
    interactions = random_interactions(3, num_users=15, num_items=24, density=0.25)
    source = BatchSource(interactions, None, (), 5, 1)
    positive = interactions.training_matrix.toarray()
    triplets = TripletBatches(source, global_batch_size=16, sampler=name, num_negatives=3)
    for (part,) in triplets.epoch(0):
        assert part["negative_item_ids"].shape == (16, 3)
        assert not positive[part["user_ids"][:, None], part["negative_item_ids"]].any()
    shared = SharedItemBatches(source, global_batch_size=8, max_pairs=1_000, sampler=name)
    first, again = ([part for (part,) in shared.epoch(0)] for _ in range(2))
    for part, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(part["is_negative"], same["is_negative"])
        users, negatives = np.nonzero(part["is_negative"])
        assert len(users)
        assert not positive[part["user_ids"][users], part["item_ids"][negatives]].any()


def test_user_who_acted_on_almost_everything(name: str) -> None:
    items = _sample(SAMPLERS[name](_all_but(5_000, [17, 4_321])), np.zeros(40, np.int32), 0)
    assert set(items.tolist()) == {17, 4_321}


def test_held_out_items_may_be_negatives(name: str) -> None:
    """Training knows nothing of the held-out actions; leaving them out of the negatives would leak them."""
    sampler = SAMPLERS[name](_all_but(4, [], splits={2: Split.TEST, 3: Split.VALIDATION}))
    assert set(_sample(sampler, np.zeros(200, np.int32), 0).tolist()) == {2, 3}


def test_user_who_acted_on_everything_is_refused_by_triplets(name: str) -> None:
    with pytest.raises(ValueError, match="1 users acted on all 6"):
        SAMPLERS[name](_all_but(6, [])).check_users()


def test_weights_of_the_built_in_samplers_by_hand() -> None:
    users, items = np.array([0, 1, 2, 0], np.int32), np.array([0, 0, 0, 1], np.int32)
    interactions = Interactions(users, items, np.zeros(4, np.uint8), 3, 3)
    positives = np.array([0, 1, 1], np.int32)
    expected = {"uniform": [1, 1, 1], "popularity": [2, 2**0.5, 1], "in-batch": [1, 2, 0], "hard": [1, 1, 1]}
    for name, weights in expected.items():
        sampler = SAMPLERS[name](interactions, popularity_power=0.5)
        np.testing.assert_allclose(sampler.weights(positives), weights)
        assert sampler.keeps_hardest == (name == "hard")


def test_sampler_of_another_distribution_needs_its_weights_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One class in a module of its own, found through an entry point, in both batchings."""
    info = tmp_path / "toy_samplers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-samplers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tfdvbpr.samplers]\nrare = toy_samplers:RareSampler\n")
    (tmp_path / "toy_samplers.py").write_text(
        "from tfdvbpr.data.batches.samplers import NegativeSampler\n\n"
        "class RareSampler(NegativeSampler):\n"
        "    def weights(self, positive_item_ids):\n"
        "        return 1.0 / (1.0 + self.interactions.training_counts)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list(SAMPLERS)[-1] == "rare"
    test_never_a_training_positive("rare")
    test_triplets_follow_the_weights("rare", 0.0)
    test_shared_items_are_accepted_by_their_weights("rare", 0.0)
    test_in_both_batchings("rare")
