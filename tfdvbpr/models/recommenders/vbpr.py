"""VBPR: x̂_ui = θ_uᵀ E f_i + β'ᵀ f_i + γ_uᵀ γ_i + β_i, with off-the-shelf features f_i."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.models.recommenders.base import Values
from tfdvbpr.models.recommenders.bpr_mf import FACTORISATION
from tfdvbpr.models.recommenders.pairwise import FactorRecommender, FeatureRecommender


class VBPR(FeatureRecommender, FactorRecommender):
    """Visual BPR, He and McAuley 2016; α and β_u are left out, since no ranking depends on them."""

    defaults: ClassVar[Values] = {**FACTORISATION, "learning_rate": 2e-2}

    def __init__(self, config: RecommenderConfig, **facts: Any) -> None:
        super().__init__(config, **facts)
        self.projection = self._weight("projection", (self.feature_dim, self.embedding_dim))
        self.visual_bias = self.add_weight(name="visual_bias", shape=(self.feature_dim,), initializer="zeros")

    def embed_visual(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """E f_i and β'ᵀ f_i."""
        features = self.features_of(item_ids)
        return ops.matmul(features, self.projection), ops.matmul(features, self.visual_bias)
