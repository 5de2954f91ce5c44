"""A distribution of its own with one recommender and one metric, as pip would leave it in site-packages."""

from __future__ import annotations

from typing import Any, ClassVar

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.evaluation.ranking.metrics import RankingMetric, auc
from tfdvbpr.models.recommenders.base import Values
from tfdvbpr.models.recommenders.pairwise import PairwiseRecommender, rows_of


class PlainMF(PairwiseRecommender):
    """x̂_ui = γ_uᵀ γ_i, without a bias."""

    defaults: ClassVar[Values] = {
        "batching": "triplet",
        "global_batch_size": 16,
        "user_learning_rate": 2e-2,
        "user_l2": 0.05,
    }

    def __init__(self, config: RecommenderConfig, **facts: Any) -> None:
        super().__init__(config, **facts)
        self.item_embeddings = self.add_weight(
            name="item_embeddings", shape=(self.num_items, self.embedding_dim), initializer=self._normal(1)
        )

    @property
    def item_tables(self) -> list[Any]:
        """γ_i."""
        return [self.item_embeddings]

    def embed_items(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """γ_i, and no bias."""
        items = rows_of(self.item_embeddings, item_ids)
        return items, 0.0 * items[:, 0]


SQUARED_AUC = RankingMetric(lambda rankings, k: auc(rankings.ranks) ** 2, "square of a user's AUC")
