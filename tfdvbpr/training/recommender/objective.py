"""The objective of a recommender: ranking loss and penalties of one replica's part of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.batches.samplers import SAMPLERS
from tfdvbpr.data.images.augmentation import augment
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.losses.ranking import RANKING_LOSSES, RankingLoss
from tfdvbpr.models.recommenders.pairwise import PairwiseRecommender


class RankingObjective:
    """The loss of a recommender on a part of a batch.

    Args:
        global_batch_size: actions a batch, where the loss is summed over them.
        item_offsets: float32 [num_items], added to the model's scores.

    Attributes:
        scale: factor of the batch's mean before it is differentiated: 1, or the actions a batch where `reduction` is
            sum. Losses are reported as means either way.
    """

    def __init__(
        self,
        model: PairwiseRecommender,
        config: RecommenderConfig,
        *,
        num_replicas: int,
        global_batch_size: int,
        item_offsets: npt.NDArray[np.float32],
    ) -> None:
        self.model = model
        self.config = config
        self._loss = RANKING_LOSSES[config.loss]
        self._keeps_hardest = SAMPLERS[config.sampler].keeps_hardest
        self._num_replicas = num_replicas
        self._offsets = item_offsets
        self.scale = float(global_batch_size) if config.reduction == "sum" else 1.0

    def __call__(self, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        """The part's ranking loss, nats an action, and penalty; the sum over replicas is the global-batch mean."""
        ranking, penalty = self._shared_item(batch) if self.config.batching == "shared-item" else self._triplet(batch)
        if self.model.losses:
            penalty += tf.add_n(self.model.losses) / self._num_replicas / self.scale
        return ranking, penalty

    def _shared_item(self, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        items, biases = self._embed(batch["item_ids"], batch["images"], batch["random_numbers"])
        if self._num_replicas > 1:
            # Every replica ranks its actions against the items of all replicas; gradients flow back to them.
            context = tf.distribute.get_replica_context()
            items, biases = context.all_gather(items, axis=0), context.all_gather(biases, axis=0)
        users = self.model.embed_batch_users(batch, self._embed)
        shares = batch["weights"] / batch["total_weight"]
        penalty = 0.5 * self.config.user_l2 * tf.reduce_sum(shares * self.model.user_squares(batch["user_ids"]))
        of_items = self.model.item_squares(batch["item_ids"])
        penalty += 0.5 * self.config.item_l2 * tf.reduce_sum(of_items) / tf.cast(tf.shape(items)[0], tf.float32)
        loss = shared_item_loss(self._loss, users, items, biases, batch, keeps_hardest=self._keeps_hardest)
        return loss, penalty

    def _triplet(self, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        count = tf.shape(batch["user_ids"])[0]
        negatives = tf.reshape(batch["negative_item_ids"], [-1])  # [B·N]
        item_ids = tf.concat([batch["positive_item_ids"], negatives], axis=0)
        apart = tf.reshape(
            batch["negative_images"], tf.concat([[tf.size(negatives)], tf.shape(batch["negative_images"])[2:]], axis=0)
        )
        numbers = batch["negative_random_numbers"]
        numbers = tf.reshape(numbers, [tf.size(negatives), numbers.shape[-1]])
        items, biases = self._embed(
            item_ids,
            tf.concat([batch["positive_images"], apart], axis=0),
            tf.concat([batch["positive_random_numbers"], numbers], axis=0),
        )
        users = self.model.embed_batch_users(batch, self._embed)
        each = 1 + self.config.num_negatives
        scores = tf.reduce_sum(tf.concat([users, tf.repeat(users, each - 1, axis=0)], axis=0) * items, axis=1) + biases
        positive_scores = scores[:count, None]
        negative_scores = tf.reshape(scores[count:], [count, each - 1])
        is_negative = tf.ones_like(negative_scores)
        if self._keeps_hardest:
            negative_scores, is_negative = hardest(negative_scores, is_negative)
        losses = self._loss(positive_scores, negative_scores, is_negative)
        whole = tf.cast(count * self._num_replicas, tf.float32)
        penalty = self.config.user_l2 * tf.reduce_sum(self.model.user_squares(batch["user_ids"]))
        penalty += self.config.item_l2 * tf.reduce_sum(self.model.item_squares(item_ids))
        return tf.reduce_sum(losses) / whole, 0.5 * penalty / whole

    def _embed(self, item_ids: Any, images: Any, random_numbers: Any) -> tuple[Any, Any]:
        images = augmented_input(images, random_numbers, self.config.augmentation)
        items, biases = self.model.embed_items(item_ids, images, training=True)
        return items, biases + tf.gather(self._offsets, item_ids)


def shared_item_loss(
    loss: RankingLoss, users: Any, items: Any, biases: Any, batch: Mapping[str, Any], *, keeps_hardest: bool = False
) -> Any:
    """The ranking loss of a part of a shared-item batch, a scalar of the embeddings' dtype.

    Args:
        loss: one of RANKING_LOSSES.
        users: float [P, D], of the part's actions.
        items: float [M, D], of the global batch.
        biases: float [M].
        batch: `positive_index`, `is_negative`, `weights` and `total_weight` of the part.
        keeps_hardest: rank each action against its best-scored negative alone.
    """
    scores = tf.matmul(users, items, transpose_b=True) + biases  # [P, M]
    positives = tf.gather(scores, batch["positive_index"][:, None], batch_dims=1)  # [P, 1]
    is_negative = tf.cast(batch["is_negative"], scores.dtype)
    if keeps_hardest:
        scores, is_negative = hardest(scores, is_negative)
    losses = loss(positives, scores, is_negative)
    return tf.reduce_sum(tf.cast(batch["weights"] / batch["total_weight"], scores.dtype) * losses)


def hardest(negative_scores: Any, is_negative: Any) -> tuple[Any, Any]:
    """The best-scored negative of each row, and 1 where a row has one; both [B, 1] from [B, N]."""
    masked = tf.where(is_negative > 0, negative_scores, tf.cast(-1e9, negative_scores.dtype))
    return tf.reduce_max(masked, axis=1, keepdims=True), tf.reduce_max(is_negative, axis=1, keepdims=True)


def network_input(images: Any) -> Any:
    """Images, uint8, as float32 in [-1, 1]; features of a frozen network, float32, as they are."""
    return to_float(images) if images.dtype == tf.uint8 else images


def augmented_input(images: Any, random_numbers: Any, augmentation: Sequence[str]) -> Any:
    """`network_input`, with images augmented and features left as they are."""
    are_images = images.dtype == tf.uint8 and len(images.shape) == 4
    images = network_input(images)
    return augment(images, random_numbers, augmentation) if are_images else images
