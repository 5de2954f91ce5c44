"""Negative samplers: which items a user's positives are ranked against. SAMPLERS lists them, for both batchings."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.registry import Registry

Ids = npt.NDArray[np.int32]

_ROUNDS = 100


class NegativeSampler:
    """Base of the samplers; a subclass says in `weights` how likely each item is a negative.

    Training knows nothing of held-out actions, so that their items may be negatives.

    Args:
        interactions: whose training actions are never negatives.
        popularity_power: α of the samplers that go by popularity.

    Attributes:
        keeps_hardest: of the negatives of a positive, training keeps the one with the highest score.
    """

    keeps_hardest: ClassVar[bool] = False

    def __init__(self, interactions: Interactions, *, popularity_power: float = 0.75) -> None:
        self.interactions = interactions
        self.popularity_power = popularity_power

    def weights(self, positive_item_ids: Ids) -> npt.NDArray[np.float64]:
        """float64 [num_items]: how likely each item is a negative, in proportion.

        Args:
            positive_item_ids: int32 [B], the batch's positives.
        """
        raise NotImplementedError

    def propose(self, count: int, positive_item_ids: Ids, generator: np.random.Generator) -> Ids:
        """int32 [count]: items sampled by `weights`; positives of the user are replaced afterwards."""
        weights = self.weights(positive_item_ids)
        found = np.searchsorted(np.cumsum(weights) / weights.sum(), generator.random(count), side="right")
        return np.minimum(found, self.interactions.num_items - 1).astype(np.int32)

    def sample(self, user_ids: Ids, positive_item_ids: Ids, generator: np.random.Generator) -> Ids:
        """Negatives of triplets, by vectorised rejection; after 100 rounds, uniformly from what is left to the user.

        Args:
            user_ids: int32 [B].
            positive_item_ids: int32 [B].

        Returns:
            int32 [B], none of them a training action of its user; see `check_users`.
        """
        item_ids = self.propose(len(user_ids), positive_item_ids, generator)
        for _ in range(_ROUNDS):
            rejected = np.flatnonzero(self._are_positives(user_ids, item_ids))
            if not len(rejected):
                return item_ids
            item_ids[rejected] = self.propose(len(rejected), positive_item_ids, generator)
        everything = np.arange(self.interactions.num_items, dtype=np.int32)
        for row in np.flatnonzero(self._are_positives(user_ids, item_ids)):
            allowed = everything[~self._are_positives(np.full_like(everything, user_ids[row]), everything)]
            item_ids[row] = generator.choice(allowed)
        return item_ids

    def accept(self, item_ids: Ids, positive_item_ids: Ids, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Which items of a shared-item batch serve as negatives in this step, each by its weight.

        Args:
            item_ids: int32 [M], a uniform sample; the most likely of them is always accepted.
            positive_item_ids: int32 [P], of the batch's actions.

        Returns:
            bool [M].
        """
        weights = self.weights(positive_item_ids)[item_ids]
        return weights > generator.random(len(item_ids)) * weights.max()

    def check_users(self) -> None:
        """Refuses interactions of which `sample` could not find a negative for every user.

        Raises:
            ValueError: if a user has a training action on every item.
        """
        matrix = self.interactions.training_matrix
        full = np.count_nonzero(np.diff(matrix.indptr) >= self.interactions.num_items)
        if full:
            raise ValueError(
                f"Every user must leave at least one item unused. {full} users acted on all "
                f"{self.interactions.num_items}."
            )

    @cached_property
    def _keys(self) -> npt.NDArray[np.int64]:
        """int64, sorted: one number a training action."""
        user_ids, item_ids = self.interactions.of(Split.TRAIN)
        return np.sort(user_ids.astype(np.int64) * self.interactions.num_items + item_ids)

    def _are_positives(self, user_ids: Ids, item_ids: Ids) -> npt.NDArray[np.bool_]:
        wanted = user_ids.astype(np.int64) * self.interactions.num_items + item_ids
        nearest = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        found: npt.NDArray[np.bool_] = self._keys[nearest] == wanted
        return found


class UniformSampler(NegativeSampler):
    """Every item alike: the paper's sampler."""

    def weights(self, positive_item_ids: Ids) -> npt.NDArray[np.float64]:
        """Ones."""
        return np.ones(self.interactions.num_items)

    def propose(self, count: int, positive_item_ids: Ids, generator: np.random.Generator) -> Ids:
        """Uniform item ids."""
        return generator.integers(0, self.interactions.num_items, size=count, dtype=np.int32)

    def accept(self, item_ids: Ids, positive_item_ids: Ids, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
        """All of them."""
        return np.ones(len(item_ids), bool)


class PopularitySampler(NegativeSampler):
    """Items with probability ∝ (training actions + 1)^α.

    Mikolov et al. 2013 use α = 0.75 for words. The 1 is ours: an item without an action stays possible.
    """

    @cached_property
    def _weights(self) -> npt.NDArray[np.float64]:
        return np.asarray((self.interactions.training_counts + 1.0) ** self.popularity_power, np.float64)

    def weights(self, positive_item_ids: Ids) -> npt.NDArray[np.float64]:
        """(n_i + 1)^α."""
        return self._weights


class InBatchSampler(NegativeSampler):
    """The positives of the same batch, each as often as it is one: popular items come up more often."""

    def weights(self, positive_item_ids: Ids) -> npt.NDArray[np.float64]:
        """How often each item is a positive of the batch."""
        return np.bincount(positive_item_ids, minlength=self.interactions.num_items).astype(np.float64)

    def propose(self, count: int, positive_item_ids: Ids, generator: np.random.Generator) -> Ids:
        """Positives of the batch, uniformly."""
        return positive_item_ids[generator.integers(0, len(positive_item_ids), count)]


class HardSampler(UniformSampler):
    """Dynamic negative sampling, Zhang et al. 2013: of several uniform negatives the one with the highest score."""

    keeps_hardest = True


SAMPLERS: Registry[type[NegativeSampler]] = Registry(
    "tfdvbpr.samplers",
    {"uniform": UniformSampler, "popularity": PopularitySampler, "in-batch": InBatchSampler, "hard": HardSampler},
)
