"""What a recommender is: a class that says what it can do, how it is trained and how a new user is folded in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tfdvbpr.models.recommenders.factors import Array, Factors

if TYPE_CHECKING:
    from tfdvbpr.config import RecommenderConfig
    from tfdvbpr.data.interactions import Interactions
    from tfdvbpr.models.recommenders.fold_in import FoldIn

Values = Mapping[str, Any]


class DatasetFacts(Protocol):
    """What decides the shape of a model on a dataset; the manifests of a dataset and of a run have it."""

    @property
    def num_users(self) -> int:
        """Rows of θ."""

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""


class TrainedRun(Protocol):
    """What a class takes of a trained run to fold users in; `tfdvbpr.run.Run` has it."""

    @property
    def config(self) -> RecommenderConfig:
        """The resolved configuration."""

    @property
    def factors(self) -> Factors:
        """User and item embeddings and item biases."""

    @property
    def interactions(self) -> Interactions:
        """Every action, with its part of the split."""

    @property
    def recommender(self) -> Any:
        """The Keras model with its weights; of models that have weights."""


class Recommender:
    """A recommender, x̂_ui = θ_uᵀ φ_i + b_i, as an entry of RECOMMENDERS.

    A class without weights gives its factors in closed form; one with weights is a `PairwiseRecommender`, which
    `for_dataset` builds and a gradient trains. Other modules never compare its name: they ask for these attributes.

    Attributes:
        defaults: values of its configuration that differ from the fields' own.
        presets: further values, by the name of a preset.
        has_weights: whether it is trained by gradient, so that a run holds weights.
        is_seeded: whether another seed gives another model.
        uses_images: whether it trains a CNN on the images of the items.
        scores_images: whether an image alone has a score θᵀΦ(X): what designing and the image signatures of an export
            need.
        uses_features: whether it takes off-the-shelf features of the catalogue.
        centres_items: whether features or embeddings are centred on the catalogue's mean, which `Factors.feature_mean`
            then keeps for new items.
        embeds_new_items: whether an item that was never trained has an embedding.
        has_item_weights: whether it scores by item-item weights, `ItemWeights`, in the place of factors.
    """

    defaults: ClassVar[Values] = {}
    presets: ClassVar[Mapping[str, Values]] = {}
    has_weights: ClassVar[bool] = False
    is_seeded: ClassVar[bool] = False
    uses_images: ClassVar[bool] = False
    scores_images: ClassVar[bool] = False
    uses_features: ClassVar[bool] = False
    centres_items: ClassVar[bool] = False
    embeds_new_items: ClassVar[bool] = False
    has_item_weights: ClassVar[bool] = False

    @classmethod
    def check_config(cls, config: RecommenderConfig) -> None:
        """Refuse a configuration that this recommender cannot be trained with.

        Raises:
            ConfigError: naming the field.
        """

    @classmethod
    def for_dataset(cls, config: RecommenderConfig, dataset: DatasetFacts, *, pretrained: bool = True) -> Any:
        """Build the Keras model of a class with weights.

        Args:
            dataset: number of users and items, size of the images.
            pretrained: whether a backbone begins with published weights where it has any.

        Raises:
            ConfigError: if the backbone or the features are unknown, or their weights are not installed.
        """
        raise TypeError(f"{cls.__name__} has no weights. Use closed_form.")

    @classmethod
    def closed_form(cls, config: RecommenderConfig, interactions: Interactions, features: Array | None) -> Factors:
        """Compute the factors of a class without weights.

        Args:
            interactions: whose training actions count.
            features: float32 [num_items, F], off-the-shelf; given where `uses_features`.
        """
        raise TypeError(f"{cls.__name__} has no closed form. Build it with for_dataset and train it by gradient.")

    @classmethod
    def embed_new_features(cls, features: Array, factors: Factors) -> tuple[Array, Array]:
        """Embeddings and biases of new items in a class without weights: float32 [N, D] and [N].

        Args:
            features: float32 [N, F], centred on the mean of the run's catalogue.
            factors: of the run.
        """
        raise TypeError(f"{cls.__name__} cannot embed new items from features.")

    @classmethod
    def fold_in(cls, run: TrainedRun) -> FoldIn:
        """What embeds new users from the items they liked: here the mean of the items' embeddings."""
        from tfdvbpr.models.recommenders.fold_in import FoldIn

        return FoldIn.from_means(run.factors, run.factors.item_embeddings)
