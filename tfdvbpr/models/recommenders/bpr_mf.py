"""BPR-MF: x̂_ui = γ_uᵀ γ_i + β_i, which never sees a picture."""

from __future__ import annotations

from typing import Any

import keras

from tfdvbpr.models.recommenders.base import PairwiseRecommender, rows_of


@keras.saving.register_keras_serializable(package="tfdvbpr")
class BPRMF(PairwiseRecommender):
    """Matrix factorisation trained by BPR, Rendle et al. 2009, with an item bias.

    Trained by another loss it is the factorisation that loss is known for: WARP, Weston et al. 2011.

    Takes the arguments of `PairwiseRecommender`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
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
