"""What an attack is after. GOALS maps names to functions that make a goal of visual embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr.run import Run

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Target:
    """What goals are made of.

    Attributes:
        run: the recommender that is attacked.
        users: int32 [U], rows of the users whose lists the attacker wants to be in.
        thresholds: float32 [U], the k-th best score of each, see `ItemRanks.thresholds`.
        deviations: float32 [U], of each user's scores.
        category: whose items an attacked one is to resemble; None for all.
    """

    run: Run
    users: Rows
    thresholds: Array
    deviations: Array
    category: str | None = None


def promotion(target: Target) -> Callable[[Any], Any]:
    """The mean over users of log σ of how far θᵀΦ lies above the user's k-th best score, in standard deviations.

    After the insider's attack of Liu and Larson 2021 (Adversarial Item Promotion), which ascends the sum of scores.
    log σ makes it worthless to be far above the list of one user and worth most to come into the list of another.
    Non-visual factors and biases are not known to depend on the photo and are left out.

    Returns:
        A function from Φ, float32 [B, D], to float32 [B].
    """
    users = tf.constant(target.run.visual_user_embeddings[target.users])
    thresholds, deviations = tf.constant(target.thresholds), tf.constant(target.deviations)

    def goal(embeddings: Any) -> Any:
        margins = (tf.matmul(embeddings, users, transpose_b=True) - thresholds) / deviations
        return tf.reduce_mean(tf.math.log_sigmoid(margins), axis=1)

    return goal


def resemblance(target: Target) -> Callable[[Any], Any]:
    """Minus the squared distance of Φ to the mean Φ of a category's most popular tenth, in units of its variance.

    After TAaMR (Di Noia, Malitesta and Merra 2020), where a photo is changed so that a classifier takes it for one of a
    popular category. Here there is no classifier; the recommender's own embeddings of popular items stand for it.

    Returns:
        A function from Φ, float32 [B, D], to float32 [B].
    """
    items, run = target.run.visual_item_embeddings, target.run
    rows = np.arange(len(items))
    if target.category is not None:
        rows = np.flatnonzero(run.items.category_ids == run.items.category_id(target.category))
    counts = run.interactions.training_counts[rows]
    popular = rows[np.argsort(-counts, kind="stable")[: max(1, len(rows) // 10)]]
    centre = tf.constant(items[popular].mean(axis=0))
    unit = max(float(items.var(axis=0).sum()), 1e-12)
    return lambda embeddings: -tf.reduce_sum(tf.square(embeddings - centre), axis=1) / unit


GOALS: Mapping[str, Callable[[Target], Callable[[Any], Any]]] = MappingProxyType(
    {"promotion": promotion, "resemblance": resemblance}
)
