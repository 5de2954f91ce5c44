"""Negative samplers: items a user has not acted on in training. SAMPLERS lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Interactions, Split

Ids = npt.NDArray[np.int32]
Propose = Callable[[int, np.random.Generator], Ids]
Sampler = Callable[[Ids, Ids, np.random.Generator], Ids]

_ROUNDS = 100


@dataclass(frozen=True)
class SamplerKind:
    """How negatives are drawn.

    Attributes:
        make: from the interactions and the power α of popularity to a function of int32 [B] user rows, int32 [B]
            positive item rows (the batch's own) and a generator, to int32 [B] item rows.
        keeps_hardest: of the negatives drawn for a positive, training keeps the one with the highest score.
    """

    make: Callable[[Interactions, float], Sampler]
    keeps_hardest: bool = False


class _Positives:
    """Which (user, item) pairs are training actions, and draws that avoid them."""

    def __init__(self, interactions: Interactions) -> None:
        self.num_items = interactions.num_items
        user_ids, item_ids = interactions.of(Split.TRAIN)
        self._keys = np.sort(user_ids.astype(np.int64) * self.num_items + item_ids)
        full = np.flatnonzero(np.bincount(user_ids, minlength=interactions.num_users) >= self.num_items)
        if len(full):
            raise ValueError(
                f"Every user must leave at least one item unused. {len(full)} users acted on all {self.num_items}."
            )

    def contain(self, users: Ids, items: Ids) -> npt.NDArray[np.bool_]:
        """bool [B]: whether matching rows are training actions."""
        wanted = users.astype(np.int64) * self.num_items + items
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        found: npt.NDArray[np.bool_] = self._keys[places] == wanted
        return found

    def avoid(self, users: Ids, propose: Propose, generator: np.random.Generator) -> Ids:
        """Proposals, drawn again where they are positives; after 100 rounds, from what is left to the user."""
        items = propose(len(users), generator)
        for _ in range(_ROUNDS):
            again = np.flatnonzero(self.contain(users, items))
            if not len(again):
                return items
            items[again] = propose(len(again), generator)
        everything = np.arange(self.num_items, dtype=np.int32)
        for row in np.flatnonzero(self.contain(users, items)):
            left = everything[~self.contain(np.full(self.num_items, users[row], np.int32), everything)]
            items[row] = generator.choice(left)
        return items


def uniform(interactions: Interactions, popularity_power: float = 0.0) -> Sampler:
    """j uniform over the items u has no training action on (the paper's sampler), by vectorised rejection.

    Raises:
        ValueError: if a user has a training action on every item. So do the other samplers.
    """
    positives = _Positives(interactions)

    def propose(count: int, generator: np.random.Generator) -> Ids:
        return generator.integers(0, positives.num_items, size=count, dtype=np.int32)

    return lambda users, _, generator: positives.avoid(users, propose, generator)


def popularity(interactions: Interactions, popularity_power: float) -> Sampler:
    """j with probability ∝ (training actions + 1)^α, over the items u has no training action on.

    Mikolov et al. 2013 use α = 0.75 for words. The 1 is ours: an item without an action stays possible.
    """
    positives = _Positives(interactions)
    weights = (interactions.training_counts + 1.0) ** popularity_power
    edges = np.cumsum(weights) / weights.sum()

    def propose(count: int, generator: np.random.Generator) -> Ids:
        places = np.searchsorted(edges, generator.random(count), side="right")
        return np.minimum(places, positives.num_items - 1).astype(np.int32)

    return lambda users, _, generator: positives.avoid(users, propose, generator)


def in_batch(interactions: Interactions, popularity_power: float = 0.0) -> Sampler:
    """j uniform over the positives of the same batch that u has no training action on.

    Popular items come up more often, as they do among the positives.
    """
    positives = _Positives(interactions)

    def sample(users: Ids, positive_item_ids: Ids, generator: np.random.Generator) -> Ids:
        def propose(count: int, generator: np.random.Generator) -> Ids:
            return positive_item_ids[generator.integers(0, len(positive_item_ids), count)]

        return positives.avoid(users, propose, generator)

    return sample


SAMPLERS: Mapping[str, SamplerKind] = MappingProxyType(
    {
        "uniform": SamplerKind(uniform),
        "popularity": SamplerKind(popularity),
        "in-batch": SamplerKind(in_batch),
        # Dynamic negative sampling, Zhang et al. 2013: of several uniform negatives the one scored highest.
        "hard": SamplerKind(uniform, keeps_hardest=True),
    }
)
