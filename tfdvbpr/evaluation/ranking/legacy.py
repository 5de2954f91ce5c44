"""The estimate of the authors' published code, with its traps, to be held against the exact figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import COLD_THRESHOLD, Interactions, Split
from tfdvbpr.models.recommenders.factors import Factors

NUM_SAMPLED = 100
_ROWS = 4096


def legacy_sampled_auc(
    factors: Factors,
    interactions: Interactions,
    split: Split,
    *,
    num_sampled: int = NUM_SAMPLED,
    cold_threshold: int = COLD_THRESHOLD,
    seed: int = 0,
) -> dict[str, Any]:
    """AUC as `AUC` in the authors' DVBPR/main.py estimates it.

    For each held-out action, 100 distinct items are drawn uniformly from the whole catalogue. Drawn items that the user
    acted on in training, and the held-out item itself, are passed over and not replaced. The rest count as negatives,
    the user's validation item among them at test time, and the model must score the held-out item strictly higher: a
    constant model gets 0, not ½. Theirs is unseeded and so differs from call to call; ours takes a seed. An action
    whose draws are all passed over is left out, where theirs would divide by zero.

    Args:
        factors: of the model.
        interactions: of the dataset.
        split: Split.VALIDATION or Split.TEST.
        num_sampled: items drawn for each held-out action.
        cold_threshold: a held-out item with fewer training actions is cold.
        seed: the same seed draws the same items.

    Returns:
        `{"auc": {"all", "cold", "warm"}, "num_sampled", "seed"}`; the means go over held-out actions.
    """
    user_ids, item_ids = interactions.of(split)
    areas = np.full(len(user_ids), np.nan)
    generator = np.random.default_rng(seed)
    for start in range(0, len(user_ids), _ROWS):
        rows = slice(start, start + _ROWS)
        drawn = _draw(generator, len(user_ids[rows]), interactions.num_items, num_sampled)
        areas[rows] = _areas(factors, interactions, user_ids[rows], item_ids[rows], drawn)
    cold = interactions.cold_items(cold_threshold)[item_ids]
    means = {"all": _mean(areas), "cold": _mean(areas[cold]), "warm": _mean(areas[~cold])}
    return {"auc": means, "num_sampled": num_sampled, "seed": seed}


def _draw(generator: np.random.Generator, rows: int, num_items: int, num_sampled: int) -> npt.NDArray[np.int64]:
    """int64 [rows, num_sampled]: distinct items a row."""
    size = min(num_sampled, num_items)
    return np.stack([generator.choice(num_items, size, replace=False, shuffle=False) for _ in range(rows)])


def _areas(
    factors: Factors,
    interactions: Interactions,
    user_ids: npt.NDArray[np.int32],
    item_ids: npt.NDArray[np.int32],
    drawn: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """float64 [B]: share of the negatives among `drawn` that score strictly lower; NaN without any."""
    rows = np.repeat(np.arange(len(drawn)), drawn.shape[1])
    trained = np.asarray(interactions.training_matrix[user_ids[rows], drawn.ravel()]).reshape(drawn.shape)
    negative = ~trained & (drawn != item_ids[:, None])
    everything = np.concatenate([item_ids[:, None], drawn], axis=1)
    scores = np.stack(
        [
            factors.item_embeddings[items] @ factors.user_embeddings[user] + factors.item_biases[items]
            for user, items in zip(user_ids, everything, strict=True)
        ]
    )
    won = (scores[:, :1] > scores[:, 1:]) & negative
    counts = negative.sum(axis=1)
    return np.where(counts > 0, won.sum(axis=1) / np.maximum(counts, 1), np.nan)


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
