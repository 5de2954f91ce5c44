"""Popularity: every user gets the items with the most training actions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.models.recommenders.factors import Factors


def popularity(training_counts: npt.NDArray[np.int64], *, num_users: int) -> Factors:
    """x̂_ui = number of training actions on i, for every u.

    Args:
        training_counts: int64 [num_items].
        num_users: rows of the (empty) user embeddings.
    """
    return Factors(
        user_embeddings=np.zeros((num_users, 1), np.float32),
        item_embeddings=np.zeros((len(training_counts), 1), np.float32),
        item_biases=training_counts.astype(np.float32),
    )
