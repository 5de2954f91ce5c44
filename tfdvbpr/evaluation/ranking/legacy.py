"""The sampled AUC of the authors' published code, with its traps, to compare with the exact one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.models.recommenders.factors import Factors

NUM_SAMPLED = 100
_ROWS = 4096


def legacy_sampled_areas(
    factors: Factors,
    interactions: Interactions,
    split: Split,
    *,
    num_sampled: int = NUM_SAMPLED,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """AUC as `AUC` in the authors' DVBPR/main.py estimates it, for each held-out action.

    For each held-out action, 100 distinct items are sampled uniformly from the whole catalogue. Sampled items that the
    user acted on in training, and the held-out item itself, are skipped and not replaced. The rest count as negatives,
    the user's validation item among them at test time, and the model must score the held-out item strictly higher: a
    constant model gets 0, not ½. Theirs is unseeded and so differs from call to call; ours takes a seed. An action
    whose samples are all skipped has NaN, where theirs would divide by zero.

    Returns:
        float64 [N], in the order of `interactions.of(split)`.
    """
    user_ids, item_ids = interactions.of(split)
    areas = np.full(len(user_ids), np.nan)
    generator = np.random.default_rng(seed)
    for start in range(0, len(user_ids), _ROWS):
        rows = slice(start, start + _ROWS)
        sampled = _sample(generator, len(user_ids[rows]), interactions.num_items, num_sampled)
        areas[rows] = _areas(factors, interactions, user_ids[rows], item_ids[rows], sampled)
    return areas


def _sample(generator: np.random.Generator, rows: int, num_items: int, num_sampled: int) -> npt.NDArray[np.int64]:
    """int64 [rows, num_sampled]: distinct items a row."""
    size = min(num_sampled, num_items)
    return np.stack([generator.choice(num_items, size, replace=False, shuffle=False) for _ in range(rows)])


def _areas(
    factors: Factors,
    interactions: Interactions,
    user_ids: npt.NDArray[np.int32],
    item_ids: npt.NDArray[np.int32],
    sampled: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """float64 [B]: share of the negatives among `sampled` that score strictly lower; NaN without any."""
    rows = np.repeat(np.arange(len(sampled)), sampled.shape[1])
    trained = np.asarray(interactions.training_matrix[user_ids[rows], sampled.ravel()]).reshape(sampled.shape)
    negative = ~trained & (sampled != item_ids[:, None])
    everything = np.concatenate([item_ids[:, None], sampled], axis=1)
    scores = np.stack([factors.score_items(user, items) for user, items in zip(user_ids, everything, strict=True)])
    wins = (scores[:, :1] > scores[:, 1:]) & negative
    counts = negative.sum(axis=1)
    return np.where(counts > 0, wins.sum(axis=1) / np.maximum(counts, 1), np.nan)
