"""BPR-MF: x̂_ui = γ_uᵀ γ_i + β_i, without images. WARP is the same model under another loss."""

from __future__ import annotations

from typing import Any, ClassVar

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.models.recommenders.base import Values
from tfdvbpr.models.recommenders.pairwise import PairwiseRecommender, rows_of

# For models whose users are a trained table beside items that are cheap to embed.
FACTORISATION: Values = {
    "user_embeddings": "free",
    "batching": "triplet",
    "global_batch_size": 256,
    "epochs": 60,
    "user_learning_rate": 2e-2,
    "user_l2": 0.05,
    "item_l2": 0.05,
    "patience": 4,
}


class BPRMF(PairwiseRecommender):
    """Matrix factorisation trained by BPR, Rendle et al. 2009, with an item bias."""

    defaults: ClassVar[Values] = FACTORISATION

    def __init__(self, config: RecommenderConfig, **facts: Any) -> None:
        super().__init__(config, **facts)
        self.item_embeddings = self.add_weight(
            name="item_embeddings", shape=(self.num_items, self.embedding_dim), initializer=self._normal(1)
        )
        self.item_biases = self.add_weight(name="item_biases", shape=(self.num_items,), initializer="zeros")

    @property
    def item_tables(self) -> list[Any]:
        """γ_i and β_i."""
        return [self.item_embeddings, self.item_biases]

    def embed_items(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """γ_i and β_i of the given item rows."""
        return rows_of(self.item_embeddings, item_ids), rows_of(self.item_biases, item_ids)


class WARP(BPRMF):
    """Matrix factorisation trained by the WARP loss, Weston et al. 2011, against many negatives."""

    defaults: ClassVar[Values] = {**FACTORISATION, "loss": "warp", "num_negatives": 16}
