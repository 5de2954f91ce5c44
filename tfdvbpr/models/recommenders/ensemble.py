"""Several trained DVBPR models as one: a score is the mean of theirs.

Ascending the preference of one network also finds what only that network prefers. Networks with other initial weights
err elsewhere, so their mean is harder to deceive (as of reward models: Coste et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfdvbpr.models.recommenders.dvbpr import DVBPR
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.fold_in import FoldIn


class Ensemble:
    """Φ of several models, one after the other: what scoring, designing and exporting take of a trained model.

    Args:
        members: of one dataset.
    """

    uses_images = True

    def __init__(self, members: Sequence[DVBPR]) -> None:
        self.members = list(members)
        self.image_size = members[0].image_size

    @property
    def backbone(self) -> keras.Model:
        """The first member's, by whose feature maps tailoring measures distances."""
        return self.members[0].backbone

    @property
    def networks(self) -> list[keras.Model]:
        """Of all members."""
        return [network for member in self.members for network in member.networks]

    def embed_images(self, images: Any, *, training: bool = False) -> Any:
        """Φ of float32 [B, H, W, 3] in [-1, 1]: float32 [B, ΣD]."""
        return ops.concatenate([member.embed_images(images, training=False) for member in self.members], axis=1)

    def embed_scored_images(self, images: Any, factors: Factors) -> Any:
        """As `ImageRecommender.embed_scored_images`."""
        return self.embed_images(images)


def ensemble_factors(members: Sequence[Factors]) -> Factors:
    """Factors whose scores are the mean of the members' scores: Φ side by side, and θ side by side over their number.

    Args:
        members: of the same users and items; dimensions may differ.

    Example:
        >>> one = Factors(np.ones((1, 1), np.float32), np.array([[2.0]], np.float32), np.zeros(1, np.float32))
        >>> two = Factors(np.ones((1, 1), np.float32), np.array([[6.0]], np.float32), np.zeros(1, np.float32))
        >>> ensemble_factors([one, two]).scores(np.array([0])).tolist()
        [[4.0]]
    """
    return Factors(
        _mean_part([factors.user_embeddings for factors in members]),
        np.concatenate([factors.item_embeddings for factors in members], axis=1),
        np.mean([factors.item_biases for factors in members], axis=0, dtype=np.float32),
    )


def ensemble_fold_in(factors: Factors, members: Sequence[FoldIn]) -> FoldIn:
    """Folds a new user into each member.

    Args:
        factors: of the ensemble.
        members: of models whose θ is a shrunk mean in whole, with the same shrinkage.
    """
    return FoldIn.from_means(
        factors,
        _mean_part([folding.scale * folding.closed_items for folding in members]),
        shrinkage=members[0].shrinkage,
        prior=_mean_part([folding.prior for folding in members]),
    )


def _mean_part(parts: Sequence[Array]) -> Array:
    joined: Array = (np.concatenate(parts, axis=-1) / len(parts)).astype(np.float32)
    return joined
