"""DVBPR: x̂_ui = θ_uᵀ Φ(X_i), with Φ a CNN trained together with θ; the hybrid has a bias and factors beside it.

While Φ is trained, θ_u for an action (u, i) comes from the *other* items of u. A free θ_u fits the few actions of its
user together with a Φ that can tell every training image from every other: the training loss falls, what is learned
about new items does not grow. Estimating θ_u without the item that is about to be ranked makes every training action a
small test, as in FISM (Kabbur et al. 2013) with Φ in the place of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.models.recommenders.base import TrainedRun, Values
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.fold_in import FoldIn, fit_values, standardised
from tfdvbpr.models.recommenders.pairwise import EmbedItems, FactorRecommender, ImageRecommender

if TYPE_CHECKING:
    from tfdvbpr.data.interactions import Interactions

_FIRST_SCALE = 0.1


class DVBPR(ImageRecommender, FactorRecommender):
    """Deep visual BPR, Kang et al. 2017: no item bias and no non-visual factors.

    With `user_embeddings: free` θ is trained, as in the paper. With leave-one-out, θ_u = prior + scale · mean of the
    items u acted on; prior and scale are trained, and θ is filled in from the means.
    """

    # The authors' DVBPR code, which docs/guides/paper-preset.md compares line by line; and a pretrained backbone,
    # which sees each image once, so that what is trained above it takes a minute.
    presets: ClassVar[Mapping[str, Values]] = {
        "paper": {
            "backbone": "cnn_f",
            "embedding_dim": 100,
            "user_embeddings": "free",
            "batching": "triplet",
            "sampler": "uniform",
            "num_negatives": 1,
            "loss": "bpr",
            "reduction": "sum",
            "global_batch_size": 128,
            "epochs": 20,
            "learning_rate": 1e-4,
            "user_learning_rate": 1e-4,
            "final_learning_rate": 1.0,
            "adam_epsilon": 1e-8,
            "user_l2": 1.0,
            "backbone_l2": 1e-3,
            "dropout": 0.5,
            "user_initializer": "uniform",
            "augmentation": (),
            "evaluate_every": 1,
        },
        "pretrained": {
            "backbone": "efficientnet_lite0_pyramid",
            "backbone_trainable": "none",
            "head_units": 512,
            "dropout": 0.3,
            "global_batch_size": 512,
            "epochs": 12,
            "evaluate_every": 3,
        },
    }
    scores_images = True
    has_factors = False

    def __init__(self, config: RecommenderConfig, **facts: Any) -> None:
        super().__init__(config, **facts)
        self.uses_profiles = config.user_embeddings == "leave-one-out"
        if self.uses_profiles:
            self.user_embeddings.trainable = False
            self.profile_prior = self.add_weight(name="profile_prior", shape=(self.embedding_dim,), initializer="zeros")
            first = keras.initializers.Constant(math.log(_FIRST_SCALE))
            self.profile_log_scale = self.add_weight(name="profile_log_scale", shape=(), initializer=first)

    def embed_visual(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """Φ of the images; they add nothing to the bias."""
        embeddings = self.embed_images(images, training=training)
        return embeddings, ops.zeros_like(embeddings[:, 0])

    def users_from_means(self, means: Any) -> Any:
        """θ from means of liked items, float32 [B, D], where `uses_profiles`."""
        return self.profile_prior + ops.exp(self.profile_log_scale) * means

    def embed_batch_users(self, batch: Mapping[str, Any], embed_items: EmbedItems) -> Any:
        """[θ_u; γ_u], with θ_u from `user_profiles`, float32 [P, D], of the batch where `uses_profiles`."""
        if not self.uses_profiles:
            return self.embed_users(batch["user_ids"])
        return self.with_user_factors(batch["user_ids"], self.users_from_means(batch["user_profiles"]))

    def compute_factors(self, interactions: Interactions, embed_catalogue: Callable[[], Array]) -> Factors:
        """See `PairwiseRecommender.compute_factors`; θ is filled in where `uses_profiles`."""
        embeddings, everything = embed_catalogue(), np.arange(self.num_items, dtype=np.int32)
        if self.uses_profiles:
            self.user_embeddings.assign(self.users_from_means(UserProfiles.estimate(embeddings, interactions).means()))
        no_bias = np.zeros(len(embeddings), np.float32)
        return self._as_factors(*self.with_item_factors(everything, embeddings, no_bias))

    @classmethod
    def fold_in(cls, run: TrainedRun) -> FoldIn:
        """θ by the formula of the user profiles where the run was trained with them, and fitted otherwise."""
        if run.config.user_embeddings == "free":
            return super().fold_in(run)
        model, counts = run.recommender, run.interactions.training_counts
        visual = run.factors.item_embeddings[:, : run.config.embedding_dim]
        return FoldIn.from_means(
            run.factors,
            standardised(visual, counts > 0),
            shrinkage=SHRINKAGE,
            prior=model.profile_prior.numpy(),
            scale=float(np.exp(model.profile_log_scale.numpy())),
            **fit_values(run),
        )


class HybridDVBPR(DVBPR):
    """DVBPR with non-visual factors and an item bias beside it: x̂_ui = θ_uᵀ Φ(X_i) + γ_uᵀ γ_i + β_i."""

    defaults: ClassVar[Values] = {"item_balance": 0.0, "item_l2": 0.1}
    presets: ClassVar[Mapping[str, Values]] = {"pretrained": DVBPR.presets["pretrained"]}
    has_factors = True


SHRINKAGE = 1.0
"""κ of user profiles, in actions: a mean of n items is scaled by n / (n + κ)."""


@dataclass(frozen=True)
class UserProfiles:
    """Means of the items each user acted on in training, shrunk towards 0.

    Attributes:
        items: float32 [num_items, D], embeddings standardised over the items that have training actions.
        sums: float32 [num_users, D], of each user's training items.
        counts: float32 [num_users], training actions.
    """

    items: Array
    sums: Array
    counts: Array

    @classmethod
    def estimate(cls, embeddings: Array, interactions: Interactions) -> UserProfiles:
        """Profiles from Φ of every item, float32 [num_items, D]."""
        return cls.of(standardised(embeddings, interactions.training_counts > 0), interactions)

    @classmethod
    def of(cls, items: Array, interactions: Interactions) -> UserProfiles:
        """Profiles from embeddings that are standardised already, float32 [num_items, D]."""
        matrix = interactions.training_matrix.astype(np.float32)
        counts = np.diff(matrix.indptr).astype(np.float32)
        return cls(items, np.asarray(matrix @ items, np.float32), counts)

    def means(self) -> Array:
        """float32 [num_users, D]: Σ_j φ_j / (n_u + κ)."""
        means: Array = self.sums / (self.counts + SHRINKAGE)[:, None]
        return means

    def means_without(self, user_ids: npt.NDArray[np.int32], item_ids: npt.NDArray[np.int32]) -> Array:
        """float32 [P, D]: the same for matching rows of users and items, each without its own item."""
        others = np.maximum(self.counts[user_ids] - 1.0, 0.0) + SHRINKAGE
        means: Array = (self.sums[user_ids] - self.items[item_ids]) / others[:, None]
        return means
