"""From a configuration to the batches it asks for."""

from __future__ import annotations

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.batches.ranking import SharedItemBatches, TripletBatches
from tfdvbpr.data.batches.source import BatchSource, ReadImages
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.models.recommenders.base import PairwiseRecommender
from tfdvbpr.training.recommender.objective import augmentation_of


def make_batches(
    config: RecommenderConfig,
    interactions: Interactions,
    model: PairwiseRecommender,
    read: ReadImages,
    *,
    num_replicas: int,
) -> SharedItemBatches | TripletBatches:
    """Batches of the kind `config.batching` names.

    Args:
        config: batching, sampler, sizes, augmentation, seed.
        interactions: whose training actions are drawn.
        model: whether it sees pictures, and whether a liked item stands in for the user.
        read: what the network takes in for item rows.
        num_replicas: parts of a global batch.

    Raises:
        ValueError: if there is too little to draw from.
    """
    images = read if model.uses_images else None
    source = BatchSource(interactions, images, augmentation_of(config), config.seed, num_replicas)
    if config.batching == "shared-item":
        return SharedItemBatches(
            source,
            global_batch_size=config.global_batch_size,
            max_pairs=config.max_pairs,
            item_balance=config.item_balance,
            user_balance=config.user_balance,
            item_draw=config.item_draw,
            popularity_power=config.popularity_power,
        )
    return TripletBatches(
        source,
        global_batch_size=config.global_batch_size,
        sampler=config.sampler,
        num_negatives=config.num_negatives,
        popularity_power=config.popularity_power,
        anchors=model.uses_anchors,
    )
