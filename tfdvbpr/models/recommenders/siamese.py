"""A siamese CNN on co-purchased pairs: which items go together, the same for every user."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
from keras import ops

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders.base import TrainedRun, Values
from tfdvbpr.models.recommenders.closed_form import centred, mean_cosines
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.fold_in import FoldIn
from tfdvbpr.models.recommenders.pairwise import EmbedItems, ImageRecommender

if TYPE_CHECKING:
    from tfdvbpr.data.interactions import Interactions

_FIRST_SCALE = 5.0


class SiameseCNN(ImageRecommender):
    """s · cos(Φ(X_a), Φ(X_i)) of a liked item a and another item i, without user embeddings.

    The kind of model the DVBPR paper contrasts itself with (Veit et al. 2015, who train on co-purchased pairs by a
    contrastive loss; here a pair is ranked against pairs nobody bought, by any of the ranking losses). Users are then
    ranked for as by VisRank, on Φ.
    """

    defaults: ClassVar[Values] = {"batching": "triplet", "global_batch_size": 64, "sampler": "in-batch"}
    centres_items = True
    uses_anchors = True

    def __init__(self, config: RecommenderConfig, **facts: Any) -> None:
        super().__init__(config, **facts)
        self.user_embeddings.trainable = False
        first = keras.initializers.Constant(math.log(_FIRST_SCALE))
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer=first)

    @classmethod
    def check_config(cls, config: RecommenderConfig) -> None:
        """Refuse shared-item batches, which have no anchors."""
        super().check_config(config)
        if config.batching != "triplet":
            raise ConfigError(
                f"`batching` of a {config.model} model must be triplet. Received {config.batching}. Leave it out."
            )

    def embed_images(self, images: Any, *, training: bool = False) -> Any:
        """Φ(X) / ‖Φ(X)‖: float32 [B, H, W, 3] in [-1, 1] to float32 [B, D]."""
        return ops.normalize(super().embed_images(images, training=training), axis=1)

    def embed_scored_images(self, images: Any, factors: Factors) -> Any:
        """Φ centred on the catalogue's mean, of length 1."""
        return ops.normalize(self.embed_images(images, training=False) - factors.feature_mean, axis=1)

    def embed_items(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """√s · Φ of the images, so that the scale s falls on both sides of a pair; the bias is zero."""
        embeddings = ops.exp(0.5 * self.log_scale) * self.embed_images(images, training=training)
        return embeddings, ops.zeros_like(embeddings[:, 0])

    def embed_batch_users(self, batch: Mapping[str, Any], embed_items: EmbedItems) -> Any:
        """The embeddings of the anchors, one liked item for each positive."""
        return embed_items(batch["anchor_item_ids"], batch["anchor_images"], batch["anchor_random_numbers"])[0]

    def embed_new_items(self, item_ids: Any, images: Any, factors: Factors) -> tuple[Array, Array]:
        """Φ centred on the mean of the run's catalogue, and no bias."""
        if factors.feature_mean is None:
            raise ValueError("`factors` must hold the mean of the catalogue. Received None.")
        items = centred(ops.convert_to_numpy(self.embed_images(images)), factors.feature_mean)
        return items, np.zeros(len(items), np.float32)

    def compute_factors(self, interactions: Interactions, embed_catalogue: Callable[[], Array]) -> Factors:
        """VisRank's, on Φ."""
        return mean_cosines(embed_catalogue(), interactions.training_matrix)

    @classmethod
    def fold_in(cls, run: TrainedRun) -> FoldIn:
        """The mean of the liked items' embeddings, as VisRank's."""
        return FoldIn.from_means(run.factors, run.factors.item_embeddings)
