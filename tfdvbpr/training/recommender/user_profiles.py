"""Leave-one-out tastes: while Φ is trained, θ_u for an action (u, i) comes from the *other* items of u.

A free θ_u fits the few actions of its user together with a Φ that can tell every training picture from every other:
the training loss falls, what is learnt about new items does not grow. Estimating θ_u without the item it is about to
rank makes every training action a small test, as in FISM (Kabbur et al. 2013) with Φ in the place of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.batches.source import Batch
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.models.recommenders.fold_in import standardised
from tfdvbpr.training.engine.loop import Batches

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tastes:
    """Means of the items each user acted on in training, shrunk towards 0.

    Attributes:
        items: float32 [num_items, D], embeddings standardised over the items that have training actions.
        sums: float32 [num_users, D], of each user's training items.
        counts: float32 [num_users], training actions.
        shrinkage: κ, in actions.
    """

    items: Array
    sums: Array
    counts: Array
    shrinkage: float

    @classmethod
    def estimate(cls, embeddings: Array, interactions: Interactions, *, shrinkage: float) -> Tastes:
        """Tastes from Φ of every item, float32 [num_items, D]."""
        return cls.of(standardised(embeddings, interactions.training_counts > 0), interactions, shrinkage=shrinkage)

    @classmethod
    def of(cls, items: Array, interactions: Interactions, *, shrinkage: float) -> Tastes:
        """Tastes from embeddings that are standardised already, float32 [num_items, D]."""
        matrix = interactions.training_matrix.astype(np.float32)
        counts = np.diff(matrix.indptr).astype(np.float32)
        return cls(items, np.asarray(matrix @ items, np.float32), counts, shrinkage)

    def means(self) -> Array:
        """float32 [num_users, D]: Σ_j φ_j / (n_u + κ)."""
        means: Array = self.sums / (self.counts + self.shrinkage)[:, None]
        return means

    def means_without(self, user_ids: npt.NDArray[np.int32], item_ids: npt.NDArray[np.int32]) -> Array:
        """float32 [P, D]: the same for matching rows of users and items, each without its own item."""
        others = np.maximum(self.counts[user_ids] - 1.0, 0.0) + self.shrinkage
        means: Array = (self.sums[user_ids] - self.items[item_ids]) / others[:, None]
        return means


class TasteBatches:
    """Adds `tastes`, float32 [P/R, D], to the parts of other batches; estimated anew as each epoch begins.

    Args:
        batches: `SharedItemBatches` or `TripletBatches`.
        estimate: tastes as the network sees the catalogue now.
        from_items: tastes from a `Tastes.items` that was kept.
    """

    def __init__(self, batches: Batches, estimate: Callable[[], Tastes], from_items: Callable[[Array], Tastes]) -> None:
        self._batches = batches
        self._estimate = estimate
        self._from_items = from_items
        self._tastes: Tastes | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""
        return self._batches.steps_per_epoch

    @property
    def images_per_step(self) -> int:
        """Pictures encoded a step, over all replicas."""
        return self._batches.images_per_step

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps of one epoch from `first_step`, a part for each of `replicas` (of all, where left out)."""
        if first_step == 0 or self._tastes is None:
            self._tastes = self._estimate()  # here and not in the iterator, which another thread draws from
        tastes = self._tastes
        steps = self._batches.epoch(epoch, first_step=first_step, replicas=replicas)
        return ([_with_tastes(part, tastes) for part in parts] for parts in steps)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """What was estimated as the epoch began; the network has moved on since."""
        return {} if self._tastes is None else {"items": self._tastes.items}

    def load_state(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes up an epoch where `state` was kept."""
        if "items" in state:
            self._tastes = self._from_items(state["items"].astype(np.float32, copy=False))


def _with_tastes(part: Batch, tastes: Tastes) -> Batch:
    users, items = part["user_ids"].astype(np.int32), part["positive_item_ids"].astype(np.int32)
    return {**part, "tastes": tastes.means_without(users, items)}
