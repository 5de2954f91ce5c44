"""Ranking losses: plain functions of scores. RANKING_LOSSES lists them.

Each takes positive_scores float32 [B, 1], negative_scores float32 [B, N] and is_negative float32 [B, N], 1 where the
score is a negative's and 0 where it is padding or another positive's, and returns float32 [B]: one value a positive, 0
for a row without negatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from tfdvbpr.registry import Registry

RankingLoss = Callable[[Any, Any, Any], Any]

_FAR = 1e9


def bpr(positive_scores: Any, negative_scores: Any, is_negative: Any) -> Any:
    """Bayesian personalised ranking loss, the mean of -log σ(positive - negative) over the negatives.

    Rendle et al. 2009, BPR-Opt. Unlike the authors' DVBPR code, which sums over the batch, it returns one value a
    positive, in nats: log 2 where all scores are equal.
    """
    losses = ops.softplus(negative_scores - positive_scores) * is_negative
    return ops.sum(losses, axis=1) / ops.maximum(ops.sum(is_negative, axis=1), 1.0)


def warp(positive_scores: Any, negative_scores: Any, is_negative: Any) -> Any:
    """Weighted approximate-rank pairwise loss: L(rank) times the mean hinge 1 - positive + negative of the violators.

    Weston et al. 2011 sample negatives until one violates the margin of 1, and estimate the rank from how many
    it took. Here all N negatives count: the rank is the number of violators among them, and
    L(rank) = Σ_{r=1..rank} 1/r, so that mistakes at the top of the list count most. No gradient flows through L.
    """
    hinges = ops.relu(1.0 - positive_scores + negative_scores) * is_negative
    violators = ops.sum(ops.cast(hinges > 0, hinges.dtype), axis=1)
    harmonic = ops.cumsum(1.0 / ops.arange(1, ops.shape(hinges)[1] + 1, dtype=hinges.dtype))
    weights = ops.take(ops.concatenate([ops.zeros_like(harmonic[:1]), harmonic]), ops.cast(violators, "int32"))
    return ops.stop_gradient(weights) * ops.sum(hinges, axis=1) / ops.maximum(violators, 1.0)


def sampled_softmax(positive_scores: Any, negative_scores: Any, is_negative: Any) -> Any:
    """Cross-entropy of the positive against the negatives: -log exp(s⁺) / (exp(s⁺) + Σ exp(s⁻)), in nats.

    Jean et al. 2015, without their correction by the sampling probability: under uniform negatives it is a constant.
    """
    masked = ops.where(is_negative > 0, negative_scores, -_FAR)
    everything = ops.concatenate([positive_scores, masked], axis=1)
    return ops.logsumexp(everything, axis=1) - positive_scores[:, 0]


RANKING_LOSSES: Registry[RankingLoss] = Registry(
    "tfdvbpr.ranking_losses", {"bpr": bpr, "warp": warp, "sampled-softmax": sampled_softmax}
)
