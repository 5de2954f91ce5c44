"""What the gradient-trained recommenders share: tables, non-visual factors, a CNN on images, off-the-shelf features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import ops

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import BackboneOptions, build_backbone
from tfdvbpr.models.backbones.base import frozen_network
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.models.recommenders.base import DatasetFacts, Recommender, TrainedRun
from tfdvbpr.models.recommenders.closed_form import centred
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.fold_in import FoldIn, fit_values

if TYPE_CHECKING:
    from tfdvbpr.data.interactions import Interactions

_STDDEV = 0.1
_UNIFORM_BELOW = 0.01

EmbedItems = Callable[[Any, Any, Any], tuple[Any, Any]]


class PairwiseRecommender(Recommender, keras.Model):
    """Users as a table of embeddings, items through `embed_items`; scores are dot products plus an item bias.

    Args:
        config: sizes, backbone or features, seed of the initial values; each class takes what it has.
        num_users: rows of θ.
        num_items: size of the catalogue.
        image_size: (height, width) in pixels.
        pretrained: whether a backbone begins with published weights where it has any.

    Attributes:
        uses_anchors: whether a liked item stands in for the user in training.
        uses_profiles: whether a user is embedded in training from the items the user acted on, without the ranked one.
        feature_mean: float32 [F], what features were centred on; None without features.
    """

    has_weights = True
    is_seeded = True
    uses_anchors = False
    uses_profiles = False
    feature_mean: Array | None = None

    def __init__(
        self,
        config: RecommenderConfig,
        *,
        num_users: int,
        num_items: int,
        image_size: tuple[int, int],
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_users = num_users
        self.num_items = num_items
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.embedding_dim = config.embedding_dim
        uniform = keras.initializers.RandomUniform(0.0, _UNIFORM_BELOW, seed=config.seed)
        initial = uniform if config.user_initializer == "uniform" else self._normal(0)
        self.user_embeddings = self.add_weight(
            name="user_embeddings", shape=(num_users, self.embedding_dim), initializer=initial
        )

    @classmethod
    def for_dataset(cls, config: RecommenderConfig, dataset: DatasetFacts, *, pretrained: bool = True) -> Any:
        """Build the model with fresh weights; see `Recommender.for_dataset`."""
        sizes: dict[str, Any] = {
            "num_users": dataset.num_users,
            "num_items": dataset.num_items,
            "image_size": dataset.image_size,
        }
        model = cls(config, **sizes, pretrained=pretrained)
        model.built = True
        return model

    def _normal(self, number: int) -> Any:
        """Initial values of the model's `number`-th table."""
        return keras.initializers.RandomNormal(stddev=_STDDEV, seed=self.config.seed + number)

    @property
    def networks(self) -> list[keras.Model]:
        """Those that embed images, whose weights an export saves."""
        return [self.backbone]

    @property
    def frozen_network(self) -> keras.Model | None:
        """The part that maps an image to the same features for the whole training, if the model has one."""
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
        """Trainable variables with a row a user or an item; they have a learning rate of their own, row by row."""
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

    def embed_batch_users(self, batch: Mapping[str, Any], embed_items: EmbedItems) -> Any:
        """float32 [P, D]: the users of a training batch.

        Args:
            batch: `user_ids` int32 [P]; anchors or user profiles where the class uses them.
            embed_items: from item ids, images and their augmentation to embeddings and biases.
        """
        return self.embed_users(batch["user_ids"])

    def embed_new_items(self, item_ids: Any, images: Any, factors: Factors) -> tuple[Array, Array]:
        """Embeddings and biases of items that were never trained: float32 [N, D] and float32 [N].

        Args:
            item_ids: int32 [N].
            images: float32 [N, H, W, 3] in [-1, 1]; None where `uses_images` is false.
        """
        items, biases = self.embed_items(item_ids, images, training=False)
        return ops.convert_to_numpy(items), ops.convert_to_numpy(biases)

    def compute_factors(self, interactions: Interactions, embed_catalogue: Callable[[], Array]) -> Factors:
        """Every user's and every item's embedding.

        Args:
            embed_catalogue: Φ of every image, float32 [num_items, D]; called where `uses_images`.
        """
        everything = np.arange(self.num_items, dtype=np.int32)
        return self._as_factors(*self.embed_items(everything, None, training=False))

    def _as_factors(self, items: Any, biases: Any) -> Factors:
        users = self.embed_users(np.arange(self.num_users, dtype=np.int32))
        users, items, biases = (ops.convert_to_numpy(array) for array in (users, items, biases))
        return Factors(users, items, biases, self.feature_mean)

    @classmethod
    def fold_in(cls, run: TrainedRun) -> FoldIn:
        """What fits a new user's embedding to the ranking loss, with everything else left as it was trained."""
        return FoldIn.from_fit(run.factors, **fit_values(run))

    def user_squares(self, user_ids: Any) -> Any:
        """float32 [B]: squared length of the trainable embeddings of each user, which `user_l2` penalises."""
        return squares(self.user_tables, user_ids)

    def item_squares(self, item_ids: Any) -> Any:
        """float32 [M]: squared length of the trainable factors and bias of each item, which `item_l2` penalises."""
        return squares(self.item_tables, item_ids)

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """float32 [B]: x̂_ui of matching rows of `user_ids`, `item_ids` and `images`."""
        users = self.embed_users(inputs["user_ids"])
        items, biases = self.embed_items(inputs["item_ids"], inputs["images"], training=training)
        return ops.sum(users * items, axis=-1) + biases


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


class FactorRecommender(PairwiseRecommender):
    """x̂_ui = θ_uᵀ v_i + γ_uᵀ γ_i + β_i, with v_i from the image and, where `has_factors`, γ and β of `factor_dim`.

    γ_i and β_i begin at 0, so an item that was never trained is ranked by its image alone.
    """

    has_factors = True
    embeds_new_items = True

    def __init__(self, config: RecommenderConfig, **facts: Any) -> None:
        super().__init__(config, **facts)
        self.factor_dim = config.factor_dim if self.has_factors else 0
        if self.factor_dim:
            self.user_factors = self.add_weight(
                name="user_factors", shape=(self.num_users, self.factor_dim), initializer=self._normal(1)
            )
            self.item_factors = self.add_weight(
                name="item_factors", shape=(self.num_items, self.factor_dim), initializer="zeros"
            )
        if self.has_factors:
            self.item_biases = self.add_weight(name="item_biases", shape=(self.num_items,), initializer="zeros")

    def embed_visual(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """v_i, float32 [M, D], and the image's share of the bias, float32 [M]; arguments as of `embed_items`."""
        raise TypeError(f"{type(self).__name__} must define embed_visual.")

    @property
    def user_tables(self) -> list[Any]:
        """θ where it is trained, and γ_u."""
        return super().user_tables + ([self.user_factors] if self.factor_dim else [])

    @property
    def item_tables(self) -> list[Any]:
        """γ_i and β_i."""
        return ([self.item_factors] if self.factor_dim else []) + ([self.item_biases] if self.has_factors else [])

    def embed_users(self, user_ids: Any) -> Any:
        """[θ_u; γ_u]."""
        return self.with_user_factors(user_ids, super().embed_users(user_ids))

    def embed_items(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """[v_i; γ_i] and the bias."""
        return self.with_item_factors(item_ids, *self.embed_visual(item_ids, images, training=training))

    def with_user_factors(self, user_ids: Any, embeddings: Any) -> Any:
        """[θ_u; γ_u] for a given θ, float32 [B, D]."""
        if not self.factor_dim:
            return embeddings
        return ops.concatenate([embeddings, rows_of(self.user_factors, user_ids)], axis=1)

    def with_item_factors(self, item_ids: Any, embeddings: Any, biases: Any) -> tuple[Any, Any]:
        """[v_i; γ_i] and the bias, for a given v_i, float32 [M, D], and its bias, float32 [M]."""
        if self.factor_dim:
            embeddings = ops.concatenate([embeddings, rows_of(self.item_factors, item_ids)], axis=1)
        if self.has_factors:
            biases = biases + rows_of(self.item_biases, item_ids)
        return embeddings, biases


class ImageRecommender(PairwiseRecommender):
    """Holds Φ, a CNN that is trained together with the rest; `config` names the backbone and its options.

    Raises:
        ConfigError: as `build_backbone`.
    """

    uses_images = True
    embeds_new_items = True

    def __init__(self, config: RecommenderConfig, *, pretrained: bool = True, **facts: Any) -> None:
        super().__init__(config, **facts)
        options = BackboneOptions(
            embedding_dim=config.embedding_dim,
            dropout=config.dropout,
            l2=config.backbone_l2,
            head_units=config.head_units,
            pretrained=pretrained,
            trainable=config.backbone_trainable,
        )
        self.backbone = build_backbone(config.backbone, self.image_size, options)

    @classmethod
    def check_config(cls, config: RecommenderConfig) -> None:
        """Refuse adversarial training of triplets."""
        if config.adversarial_epsilon and config.batching != "shared-item":
            raise ConfigError(
                "`adversarial_epsilon` must be 0, or `batching` shared-item. Received "
                f"{config.adversarial_epsilon:g} and {config.batching}."
            )

    @property
    def frozen_network(self) -> keras.Model | None:
        """A pretrained network that is not trained: images to float32 [B, F], the same in the whole training.

        `embed_images` takes these features in the place of images.
        """
        return frozen_network(self.backbone)

    def embed_images(self, images: Any, *, training: bool = False) -> Any:
        """Φ(X): float32 [B, H, W, 3] in [-1, 1] to float32 [B, D]."""
        return self.backbone(images, training=training)

    def embed_scored_images(self, images: Any, factors: Factors) -> Any:
        """What meets a user's embedding in a score, float32 [B, D], of images, float32 [B, H, W, 3] in [-1, 1]."""
        return self.embed_images(images, training=False)


class FeatureRecommender(PairwiseRecommender):
    """Holds f_i of every item, off-the-shelf features by the extractor that `config` names, which are not trained."""

    uses_features = True
    centres_items = True
    embeds_new_items = True

    def __init__(self, config: RecommenderConfig, **facts: Any) -> None:
        super().__init__(config, **facts)
        self.feature_dim = FEATURE_EXTRACTORS[config.features].feature_dim(self.image_size)
        self.features = self.add_weight(
            name="features", shape=(self.num_items, self.feature_dim), initializer="zeros", trainable=False
        )

    def set_features(self, features: npt.NDArray[np.float32]) -> None:
        """Take float32 [num_items, F], centre each feature on the catalogue and scale each item to length 1.

        Images on a white background share most of their raw features, which say nothing about preferences.
        """
        self.feature_mean = features.mean(axis=0)
        self.features.assign(centred(features, self.feature_mean))

    def _weight(self, name: str, shape: tuple[int, ...]) -> Any:
        """A map out of feature space, trained like the rest of the network; f_i has length 1, so σ is 1."""
        return self.add_weight(name=name, shape=shape, initializer=self._normal(7))
