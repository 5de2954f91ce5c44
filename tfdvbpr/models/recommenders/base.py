"""What the gradient-trained recommenders share."""

from __future__ import annotations

from typing import Any, Literal

import keras
import tensorflow as tf
from keras import ops

_UNIFORM_BELOW = 0.01


class PairwiseRecommender(keras.Model):
    """Users as a table of embeddings, items through `embed_items`; scores are dot products plus an item bias.

    Args:
        num_users: rows of the table.
        num_items: size of the catalogue.
        embedding_dim: length of θ_u and of an item's embedding.
        user_stddev: standard deviation of normal initial values.
        user_initializer: of θ: "normal", or "uniform" in [0, 0.01) as the authors' DVBPR code has it.
        seed: of the initial values.

    Attributes:
        uses_images: whether `embed_items` looks at pictures.
        uses_features: whether the model has a table of off-the-shelf features to be filled by `set_features`.
        uses_anchors: whether a liked item stands in for the user in training.
    """

    uses_images = False
    uses_features = False
    uses_anchors = False

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        embedding_dim: int,
        user_stddev: float = 0.1,
        user_initializer: Literal["normal", "uniform"] = "normal",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_users = num_users
        self.num_items = num_items
        self.embedding_dim = embedding_dim
        self.user_stddev = user_stddev
        self.user_initializer = user_initializer
        self.seed = seed
        uniform = keras.initializers.RandomUniform(0.0, _UNIFORM_BELOW, seed=seed)
        initial = uniform if user_initializer == "uniform" else self._normal(0)
        self.user_embeddings = self.add_weight(
            name="user_embeddings", shape=(num_users, embedding_dim), initializer=initial
        )

    def _normal(self, number: int) -> Any:
        """Initial values of the model's `number`-th table."""
        return keras.initializers.RandomNormal(stddev=self.user_stddev, seed=self.seed + number)

    @property
    def frozen_trunk(self) -> keras.Model | None:
        """What sees each picture the same way for the whole training, if the model has any such part."""
        return None

    @property
    def user_tables(self) -> list[Any]:
        """Trainable variables with a row a user."""
        return [self.user_embeddings] if self.user_embeddings.trainable else []

    @property
    def item_tables(self) -> list[Any]:
        """Trainable variables with a row an item."""
        return []

    @property
    def tables(self) -> list[Any]:
        """Trainable variables with a row a user or an item; they learn at a speed of their own, row by row."""
        return self.user_tables + self.item_tables

    def embed_users(self, user_ids: Any) -> Any:
        """float32 [B, D]: θ of the given user rows, int32 [B]."""
        return rows_of(self.user_embeddings, user_ids)

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

    def user_squares(self, user_ids: Any) -> Any:
        """float32 [B]: squared length of what is trained of each user, on which `user_l2` falls."""
        return squares(self.user_tables, user_ids)

    def item_squares(self, item_ids: Any) -> Any:
        """float32 [M]: squared length of what is trained of each item alone, on which `item_l2` falls."""
        return squares(self.item_tables, item_ids)

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
            "user_initializer": self.user_initializer,
            "seed": self.seed,
        }


def rows_of(table: Any, rows: Any) -> Any:
    """float32 [B] or [B, D]: the given rows, int32 [B], of a variable [N] or [N, D].

    `ops.take` reads the whole variable first, which costs a copy of it once something else writes single rows.
    """
    return tf.gather(table.value, rows)


def squares(tables: list[Any], rows: Any) -> Any:
    """float32 [B]: Σ of squares over the given rows, int32 [B], of tables [N] or [N, D]; 0 without tables."""
    total = ops.zeros(ops.shape(rows), "float32")
    for table in tables:
        taken = ops.square(rows_of(table, rows))
        total += ops.sum(taken, axis=-1) if len(table.shape) > 1 else taken
    return total


class VisualRecommender(PairwiseRecommender):
    """x̂_ui = θ_uᵀ v_i + γ_uᵀ γ_i + β_i, with v_i from the picture and γ, β by choice.

    γ_i and β_i begin at 0, so an item that was never trained is ranked by its looks alone.

    Args:
        factor_dim: length of γ; 0 for none.
        item_bias: whether there is a β_i.
        **kwargs: of `PairwiseRecommender`; `embedding_dim` is the length of θ_u and v_i.
    """

    def __init__(self, *, factor_dim: int = 0, item_bias: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor_dim = factor_dim
        self.item_bias = item_bias
        if factor_dim:
            self.user_factors = self.add_weight(
                name="user_factors", shape=(self.num_users, factor_dim), initializer=self._normal(1)
            )
            self.item_factors = self.add_weight(
                name="item_factors", shape=(self.num_items, factor_dim), initializer="zeros"
            )
        if item_bias:
            self.item_biases = self.add_weight(name="item_biases", shape=(self.num_items,), initializer="zeros")

    def embed_visual(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """v_i, float32 [M, D], and what the looks add to the bias, float32 [M]; arguments as of `embed_items`."""
        raise TypeError(f"{type(self).__name__} must define embed_visual.")

    @property
    def user_tables(self) -> list[Any]:
        """θ where it is trained, and γ_u."""
        return super().user_tables + ([self.user_factors] if self.factor_dim else [])

    @property
    def item_tables(self) -> list[Any]:
        """γ_i and β_i."""
        return ([self.item_factors] if self.factor_dim else []) + ([self.item_biases] if self.item_bias else [])

    def embed_users(self, user_ids: Any) -> Any:
        """[θ_u; γ_u]."""
        return self.beside_tastes(user_ids, super().embed_users(user_ids))

    def embed_items(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """[v_i; γ_i] and the bias."""
        return self.beside_looks(item_ids, *self.embed_visual(item_ids, images, training=training))

    def beside_tastes(self, user_ids: Any, tastes: Any) -> Any:
        """[θ_u; γ_u] for θ that comes from elsewhere, float32 [B, D]."""
        if not self.factor_dim:
            return tastes
        return ops.concatenate([tastes, rows_of(self.user_factors, user_ids)], axis=1)

    def beside_looks(self, item_ids: Any, visual: Any, biases: Any) -> tuple[Any, Any]:
        """[v_i; γ_i] and the bias, for v_i and a visual bias that are known already."""
        if self.factor_dim:
            visual = ops.concatenate([visual, rows_of(self.item_factors, item_ids)], axis=1)
        if self.item_bias:
            biases = biases + rows_of(self.item_biases, item_ids)
        return visual, biases

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {**super().get_config(), "factor_dim": self.factor_dim, "item_bias": self.item_bias}
