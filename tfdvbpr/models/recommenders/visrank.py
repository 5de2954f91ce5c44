"""VisRank: items that look like what the user acted on. Nothing is trained."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tfdvbpr.models.recommenders.factors import Factors


def visrank(features: npt.NDArray[np.float32], training_matrix: sparse.csr_matrix) -> Factors:
    """x̂_ui = mean cosine between i and the user's training items.

    The features are centred on the catalogue's mean first: pictures on a white ground share most of their raw features.

    Args:
        features: float32 [num_items, D], of any extractor.
        training_matrix: bool [num_users, num_items].
    """
    mean = features.mean(axis=0)
    items = centred(features, mean)
    counts = np.maximum(np.asarray(training_matrix.sum(axis=1)), 1)
    users = (training_matrix.astype(np.float32) @ items) / counts
    return Factors(users.astype(np.float32), items, np.zeros(len(items), np.float32), mean)


def centred(features: npt.NDArray[np.float32], mean: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [N, D]: features less a mean, each row scaled to length 1."""
    rest = features - mean
    return (rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12)).astype(np.float32)
