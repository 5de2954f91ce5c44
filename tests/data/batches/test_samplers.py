from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from tiny_data import random_interactions

from tfdvbpr.data.batches.samplers import SAMPLERS
from tfdvbpr.data.interactions import Interactions, Split

Draw = Callable[[npt.NDArray[np.int32], np.random.Generator], npt.NDArray[np.int32]]


def _make(name: str, interactions: Interactions, *, power: float = 0.75) -> Draw:
    """A sampler whose batch has, as its positives, training actions of all users."""
    sample = SAMPLERS[name].make(interactions, power)
    items = interactions.of(Split.TRAIN)[1]

    def draw(users: npt.NDArray[np.int32], generator: np.random.Generator) -> npt.NDArray[np.int32]:
        return sample(users, np.resize(items, len(users)).astype(np.int32), generator)

    return draw


@pytest.mark.parametrize("name", SAMPLERS)
def test_never_a_training_positive(name: str) -> None:
    interactions = random_interactions(1, num_users=20, num_items=30, density=0.5)
    sample = _make(name, interactions)
    users = np.random.default_rng(2).integers(0, 20, 20_000).astype(np.int32)
    items = sample(users, np.random.default_rng(3))
    assert items.dtype == np.int32
    assert items.shape == users.shape
    assert items.min() >= 0
    assert items.max() < 30
    positive = interactions.training_matrix.toarray()
    assert not positive[users, items].any()


@pytest.mark.parametrize("name", SAMPLERS)
def test_seeded(name: str) -> None:
    sample = _make(name, random_interactions(1, num_users=20, num_items=30, density=0.3))
    users = np.arange(20, dtype=np.int32).repeat(10)
    first, again, other = (sample(users, np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_uniform_over_what_is_left() -> None:
    interactions = random_interactions(6, num_users=3, num_items=12, density=0.4)
    sample = _make("uniform", interactions)
    positive = interactions.training_matrix.toarray()
    for user in range(3):
        items = sample(np.full(12_000, user, np.int32), np.random.default_rng(7))
        counts = np.bincount(items, minlength=12)[~positive[user]]
        assert stats.chisquare(counts).pvalue > 1e-3


def _all_but(num_items: int, left: list[int], *, splits: dict[int, Split] | None = None) -> Interactions:
    acted = np.setdiff1d(np.arange(num_items, dtype=np.int32), left)
    parts = np.array([(splits or {}).get(int(item), Split.TRAIN) for item in acted], np.uint8)
    return Interactions(np.zeros(len(acted), np.int32), acted, parts, 1, num_items)


@pytest.mark.parametrize("name", SAMPLERS)
def test_user_who_acted_on_almost_everything(name: str) -> None:
    sample = _make(name, _all_but(5_000, [17, 4_321]))
    items = sample(np.zeros(40, np.int32), np.random.default_rng(0))
    assert set(items.tolist()) == {17, 4_321}


@pytest.mark.parametrize("name", SAMPLERS)
def test_held_out_items_may_be_negatives(name: str) -> None:
    """Training knows nothing of the held-out actions; leaving them out of the negatives would leak them."""
    sample = _make(name, _all_but(4, [], splits={2: Split.TEST, 3: Split.VALIDATION}))
    items = sample(np.zeros(200, np.int32), np.random.default_rng(0))
    assert set(items.tolist()) == {2, 3}


@pytest.mark.parametrize("name", SAMPLERS)
def test_user_who_acted_on_everything_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 users acted on all 6"):
        _make(name, _all_but(6, []))


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_popularity_by_its_power(power: float) -> None:
    interactions = random_interactions(6, num_users=40, num_items=12, density=0.3)
    sample = _make("popularity", interactions, power=power)
    left = ~interactions.training_matrix.toarray()[3]
    items = sample(np.full(12_000, 3, np.int32), np.random.default_rng(7))
    weights = ((interactions.training_counts + 1.0) ** power)[left]
    assert stats.chisquare(np.bincount(items, minlength=12)[left], 12_000 * weights / weights.sum()).pvalue > 1e-3


def test_in_batch_draws_from_the_positives_of_the_batch() -> None:
    interactions = random_interactions(6, num_users=10, num_items=40, density=0.2)
    sample = SAMPLERS["in-batch"].make(interactions, 0.75)
    positives = np.flatnonzero(~interactions.training_matrix.toarray()[2])[:5].astype(np.int32)
    items = sample(np.full(500, 2, np.int32), np.resize(positives, 500), np.random.default_rng(0))
    assert set(items.tolist()) == set(positives.tolist())


def test_only_the_hard_sampler_keeps_the_hardest() -> None:
    assert [name for name, kind in SAMPLERS.items() if kind.keeps_hardest] == ["hard"]
