"""The batches a configuration asks for, with user profiles added where the model is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.batches.ranking import SharedItemBatches, TripletBatches
from tfdvbpr.data.batches.source import Batch, BatchSource, ReadImages
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.models.recommenders.dvbpr import UserProfiles
from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr.models.recommenders.pairwise import PairwiseRecommender
from tfdvbpr.training.engine.loop import Batches


def make_batches(
    config: RecommenderConfig,
    interactions: Interactions,
    model: PairwiseRecommender,
    read: ReadImages,
    *,
    num_replicas: int,
) -> SharedItemBatches | TripletBatches:
    """Batches of the kind `config.batching` names; `read` gives what the network takes in for item rows.

    Raises:
        ValueError: if there are too few actions or items to sample from.
    """
    images = read if model.uses_images else None
    source = BatchSource(interactions, images, config.augmentation, config.seed, num_replicas)
    if config.batching == "shared-item":
        return SharedItemBatches(
            source,
            global_batch_size=config.global_batch_size,
            max_pairs=config.max_pairs,
            item_balance=config.item_balance,
            sampler=config.sampler,
        )
    return TripletBatches(
        source,
        global_batch_size=config.global_batch_size,
        sampler=config.sampler,
        num_negatives=config.num_negatives,
        anchors=model.uses_anchors,
    )


class ProfileBatches:
    """Adds `user_profiles`, float32 [P/R, D], to the parts of other batches; estimated anew as each epoch begins.

    Args:
        embed_catalogue: Φ of every image by the network as it is now, float32 [num_items, D].
    """

    def __init__(self, batches: Batches, interactions: Interactions, embed_catalogue: Callable[[], Array]) -> None:
        self._batches = batches
        self._interactions = interactions
        self._embed_catalogue = embed_catalogue
        self._profiles: UserProfiles | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""
        return self._batches.steps_per_epoch

    @property
    def images_per_step(self) -> int:
        """Images encoded a step, over all replicas."""
        return self._batches.images_per_step

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps of one epoch from `first_step`, a part for each of `replicas` (of all, where left out)."""
        if first_step == 0 or self._profiles is None:
            # Here and not in the iterator, which another thread draws from.
            self._profiles = UserProfiles.estimate(self._embed_catalogue(), self._interactions)
        profiles = self._profiles
        steps = self._batches.epoch(epoch, first_step=first_step, replicas=replicas)
        return ([_with_profiles(part, profiles) for part in parts] for parts in steps)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """The item embeddings that the epoch began with; the network has changed since."""
        return {} if self._profiles is None else {"items": self._profiles.items}

    def load_state(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Continue an epoch in which `state` was kept."""
        if "items" in state:
            items = state["items"].astype(np.float32, copy=False)
            self._profiles = UserProfiles.of(items, self._interactions)


def _with_profiles(part: Batch, profiles: UserProfiles) -> Batch:
    users, items = part["user_ids"].astype(np.int32), part["positive_item_ids"].astype(np.int32)
    return {**part, "user_profiles": profiles.means_without(users, items)}
