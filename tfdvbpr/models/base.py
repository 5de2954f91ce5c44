"""What the gradient-trained recommenders share."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class PairwiseRecommender(keras.Model):
    """Users as a table of embeddings, items through `embed_items`; scores are dot products plus an item bias.

    Args:
        num_users: rows of the table.
        num_items: size of the catalogue.
        embedding_dim: length of θ_u and of an item's embedding.
        user_stddev: standard deviation of θ's normal initial values.
        seed: of the initial values.
    """

    uses_images = False

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        embedding_dim: int,
        user_stddev: float = 0.1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_users = num_users
        self.num_items = num_items
        self.embedding_dim = embedding_dim
        self.user_stddev = user_stddev
        self.seed = seed
        self.user_embeddings = self.add_weight(
            name="user_embeddings",
            shape=(num_users, embedding_dim),
            initializer=keras.initializers.RandomNormal(stddev=user_stddev, seed=seed),
        )

    def embed_users(self, user_ids: Any) -> Any:
        """float32 [B, D]: θ of the given user rows, int32 [B]."""
        return ops.take(self.user_embeddings, user_ids, axis=0)

    def embed_items(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """Embeddings and biases of items.

        Args:
            item_ids: int32 [M].
            images: float32 [M, H, W, 3] in [-1, 1]; ignored where `uses_images` is false.
            training: whether dropout and the like are on.

        Returns:
            float32 [M, D] and float32 [M].
        """
        raise TypeError(f"{type(self).__name__} must define embed_items.")

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """float32 [B]: x̂_ui of matching rows of `user_ids`, `item_ids` and `images`."""
        users = self.embed_users(inputs["user_ids"])
        items, biases = self.embed_items(inputs["item_ids"], inputs["images"], training=training)
        return ops.sum(users * items, axis=-1) + biases

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {
            **super().get_config(),
            "num_users": self.num_users,
            "num_items": self.num_items,
            "embedding_dim": self.embedding_dim,
            "user_stddev": self.user_stddev,
            "seed": self.seed,
        }
