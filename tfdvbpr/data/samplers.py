"""Negative samplers: items a user has not acted on. SAMPLERS lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Interactions, Split

Sampler = Callable[[npt.NDArray[np.int32], np.random.Generator], npt.NDArray[np.int32]]

_ROUNDS = 100


def uniform(interactions: Interactions) -> Sampler:
    """j uniform over the items u has no training action on (the paper's sampler), by vectorised rejection.

    Users who acted on nearly every item fall back, after 100 rounds, to an exact draw from what is left to them.

    Returns:
        A function of int32 [B] user rows and a generator to int32 [B] item rows.

    Raises:
        ValueError: if a user has a training action on every item.
    """
    num_items = interactions.num_items
    user_ids, item_ids = interactions.of(Split.TRAIN)
    keys = np.sort(user_ids.astype(np.int64) * num_items + item_ids)
    full = np.flatnonzero(np.bincount(user_ids, minlength=interactions.num_users) >= num_items)
    if len(full):
        raise ValueError(f"Every user must leave at least one item unused. {len(full)} users acted on all {num_items}.")

    def is_positive(users: npt.NDArray[np.int32], items: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        wanted = users.astype(np.int64) * num_items + items
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found: npt.NDArray[np.bool_] = keys[places] == wanted
        return found

    def sample(users: npt.NDArray[np.int32], generator: np.random.Generator) -> npt.NDArray[np.int32]:
        items = generator.integers(0, num_items, size=len(users), dtype=np.int32)
        for _ in range(_ROUNDS):
            again = np.flatnonzero(is_positive(users, items))
            if not len(again):
                return items
            items[again] = generator.integers(0, num_items, size=len(again), dtype=np.int32)
        everything = np.arange(num_items, dtype=np.int32)
        for row in np.flatnonzero(is_positive(users, items)):
            left = everything[~is_positive(np.full(num_items, users[row], np.int32), everything)]
            items[row] = generator.choice(left)
        return items

    return sample


SAMPLERS: Mapping[str, Callable[[Interactions], Sampler]] = MappingProxyType({"uniform": uniform})
