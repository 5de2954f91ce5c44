"""Ranking losses: plain functions of scores. RANKING_LOSSES lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from keras import ops

RankingLoss = Callable[[Any, Any], Any]


def bpr(positive_scores: Any, negative_scores: Any) -> Any:
    """Bayesian personalised ranking loss, -log σ(positive - negative).

    Rendle et al. 2009, BPR-Opt. Unlike the authors' DVBPR code, which sums, it returns one value per pair.

    Args:
        positive_scores: float32 [B, 1] (or the shape of `negative_scores`), dot products (unitless).
        negative_scores: float32 [B, N]; N negatives a positive.

    Returns:
        float32, the broadcast shape; nats, log 2 where the scores are equal.
    """
    return ops.softplus(negative_scores - positive_scores)


RANKING_LOSSES: Mapping[str, RankingLoss] = MappingProxyType({"bpr": bpr})
