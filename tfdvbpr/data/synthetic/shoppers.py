"""How simulated shoppers act, whatever they weigh."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def log_uniform_counts(rng: np.random.Generator, num_users: int, fewest: int, most: int) -> npt.NDArray[np.int64]:
    """int64 [num_users] in fewest..most; few actions are more common than many."""
    counts = np.floor(np.exp(rng.uniform(np.log(fewest), np.log(most + 1), num_users))).astype(np.int64)
    return np.clip(counts, fewest, most)


def gumbel_top_k(
    rng: np.random.Generator, logits: npt.NDArray[np.floating], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draws items without replacement with probability softmax(logits), by the Gumbel-top-k trick (Kool et al. 2019).

    Args:
        rng: drawn from once, a number for every logit.
        logits: float [num_users, num_items].
        counts: int64 [num_users], how many items each user draws; fewer than num_items.

    Returns:
        (users, items), int64 [counts.sum()] each, sorted by user and then in the order drawn.
    """
    most = int(counts.max(initial=0))
    keys = -(logits + rng.gumbel(size=logits.shape))
    top = np.argpartition(keys, most, axis=1)[:, :most]
    order = np.take_along_axis(top, np.argsort(np.take_along_axis(keys, top, axis=1), axis=1), axis=1)
    drawn = np.arange(most) < counts[:, None]
    return np.repeat(np.arange(len(counts)), counts), order[drawn]
