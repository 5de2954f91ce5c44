"""Fréchet distance of two sets of features (FID)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

Features = npt.NDArray[Any]


def frechet_distance(first: Features, second: Features) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) of the Gaussians fitted to two sets: Heusel et al. 2017.

    In float64 throughout. The trace of the root is the sum of the singular values of Σ₁^½ Σ₂^½ (or, where a set has
    fewer members than features, of the product of the centred sets, which is the same number from smaller matrices); no
    root of a product that is not symmetric is ever taken, so it is real and finite however short of rank the
    covariances are, and nothing is added to them. The usual code takes `sqrtm(Σ₁Σ₂)`, adds 1e-6 to the diagonals where
    that fails, and drops the imaginary part.

    The distance is biased upwards, the more so the fewer members there are: only figures of equal sizes compare.

    Args:
        first: float [N, F].
        second: float [M, F].

    Returns:
        In squared units of the features, 0 or more.

    Raises:
        ValueError: if a set has fewer than two members, the features differ in number, or one is not finite.
    """
    one, two = _checked(first), _checked(second)
    if one.shape[1] != two.shape[1]:
        raise ValueError(
            f"`first` and `second` must have the same features. Received {one.shape[1]} and {two.shape[1]}."
        )
    centred = [values - values.mean(axis=0) for values in (one, two)]
    # Σ = scaledᵀ scaled
    scaled = [values / np.sqrt(len(values) - 1) for values in centred]
    apart = one.mean(axis=0) - two.mean(axis=0)
    traces = sum(float((values**2).sum()) for values in scaled)
    return max(float(apart @ apart) + traces - 2.0 * _root_trace(scaled[0], scaled[1]), 0.0)


def gaussian_distance(
    first_mean: Features, first_covariance: Features, second_mean: Features, second_covariance: Features
) -> float:
    """The same of two Gaussians by their means, float [F], and covariances, [F, F], symmetric and semidefinite."""
    apart = np.asarray(first_mean, np.float64) - np.asarray(second_mean, np.float64)
    roots = _root(np.asarray(first_covariance, np.float64)) @ _root(np.asarray(second_covariance, np.float64))
    traces = float(np.trace(first_covariance) + np.trace(second_covariance))
    return max(float(apart @ apart) + traces - 2.0 * float(linalg.svdvals(roots).sum()), 0.0)


def _root_trace(first: Features, second: Features) -> float:
    """tr (Σ₁Σ₂)^½ with Σ = XᵀX: the eigenvalues of Σ₁Σ₂ that are not 0 are the squared singular values of X₁X₂ᵀ."""
    if min(len(first), len(second)) < first.shape[1]:
        return float(linalg.svdvals(first @ second.T).sum())
    return float(linalg.svdvals(_root(first.T @ first) @ _root(second.T @ second)).sum())


def _root(covariance: Features) -> Features:
    """The symmetric square root; eigenvalues that rounding has put below 0 are 0."""
    values, vectors = linalg.eigh(covariance)
    root: Features = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def _checked(features: Features) -> npt.NDArray[np.float64]:
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"Features must be [N, F] with N of at least 2. Received {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("Features must be finite. Some are not. Look at the pictures they are of.")
    return values
