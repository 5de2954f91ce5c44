"""VBPR and the factorisation machine: models of off-the-shelf features f_i."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.models.recommenders.base import Values
from tfdvbpr.models.recommenders.bpr_mf import FACTORISATION
from tfdvbpr.models.recommenders.pairwise import FactorRecommender, FeatureRecommender, rows_of


class VBPR(FeatureRecommender, FactorRecommender):
    """Visual BPR, He and McAuley 2016: x̂_ui = θ_uᵀ E f_i + β'ᵀ f_i + γ_uᵀ γ_i + β_i.

    α and β_u are left out, since no ranking depends on them.
    """

    defaults: ClassVar[Values] = {**FACTORISATION, "learning_rate": 2e-2}

    def __init__(self, config: RecommenderConfig, **facts: Any) -> None:
        super().__init__(config, **facts)
        self.projection = self._weight("projection", (self.feature_dim, self.embedding_dim))
        self.visual_bias = self.add_weight(name="visual_bias", shape=(self.feature_dim,), initializer="zeros")

    def embed_visual(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """E f_i and β'ᵀ f_i."""
        features = rows_of(self.features, item_ids)
        return ops.matmul(features, self.projection), ops.matmul(features, self.visual_bias)


class FactorizationMachine(FeatureRecommender):
    """Second-order FM, Rendle 2010, over the input [one-hot u, one-hot i, f_i], trained by a ranking loss.

    With one vector v for each input, Σ_{a<b} x_a x_b v_aᵀv_b is v_uᵀ(v_i + Vᵀf_i), which depends on the user, plus
    v_iᵀVᵀf_i + ½(‖Vᵀf_i‖² − Σ_k f_ik² ‖V_k‖²) and the linear w_i + wᵀf_i, which do not. w_0 and w_u are left out, since
    no ranking depends on them. Unlike VBPR, u meets the item and its features through the same vector.

    `embedding_dim` is the length of each v.
    """

    defaults: ClassVar[Values] = {**FACTORISATION, "learning_rate": 2e-2}

    def __init__(self, config: RecommenderConfig, **facts: Any) -> None:
        super().__init__(config, **facts)
        # From 0, as the linear weights: an item that was never trained is ranked by its features alone.
        self.item_embeddings = self.add_weight(
            name="item_embeddings", shape=(self.num_items, self.embedding_dim), initializer="zeros"
        )
        self.item_biases = self.add_weight(name="item_biases", shape=(self.num_items,), initializer="zeros")
        self.feature_embeddings = self._weight("feature_embeddings", (self.feature_dim, self.embedding_dim))
        self.feature_biases = self.add_weight(name="feature_biases", shape=(self.feature_dim,), initializer="zeros")

    @property
    def item_tables(self) -> list[Any]:
        """v_i and w_i."""
        return [self.item_embeddings, self.item_biases]

    def embed_items(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """v_i + Vᵀf_i and everything that does not depend on the user."""
        features = rows_of(self.features, item_ids)
        own = rows_of(self.item_embeddings, item_ids)
        seen = ops.matmul(features, self.feature_embeddings)  # [M, D]
        alone = ops.matmul(ops.square(features), ops.sum(ops.square(self.feature_embeddings), axis=1))
        pairs = ops.sum(own * seen, axis=1) + 0.5 * (ops.sum(ops.square(seen), axis=1) - alone)
        linear = rows_of(self.item_biases, item_ids) + ops.matmul(features, self.feature_biases)
        return own + seen, linear + pairs
