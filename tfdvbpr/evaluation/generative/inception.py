"""Inception score: are pictures each of one class, and all together of many?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

NUM_SPLITS = 10


@dataclass(frozen=True)
class InceptionScore:
    """exp of the mutual information of picture and class.

    Attributes:
        mean: over the splits; between 1 and the number of classes.
        std: over the splits.
    """

    mean: float
    std: float


def inception_score(posteriors: npt.NDArray[Any], *, num_splits: int = NUM_SPLITS) -> InceptionScore:
    """exp E_x KL(p(y|x) ‖ p(y)), with p(y) the mean over a split: Salimans et al. 2016.

    Biased downwards where a split is small. It knows nothing of the real pictures: a copy of one photo a class has the
    best score.

    Args:
        posteriors: float [N, C], rows sum to 1; whose classes they are belongs into the figure's name.
        num_splits: consecutive parts of nearly equal size; fewer where there are fewer pictures.

    Raises:
        ValueError: if there is no picture, or a row is no distribution.
    """
    values = np.asarray(posteriors, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"`posteriors` must be [N, C] with N of at least 1. Received {values.shape}.")
    if values.min() < 0 or np.abs(values.sum(axis=1) - 1.0).max() > 1e-3:
        raise ValueError("Rows of `posteriors` must be 0 or more and sum to 1. Some do not. Pass them through softmax.")
    scores = [_score(part) for part in np.array_split(values, min(num_splits, len(values)))]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """float64 [N, C] of logits [N, C]."""
    posteriors: npt.NDArray[np.float64] = special.softmax(np.asarray(logits, np.float64), axis=1)
    return posteriors


def _score(posteriors: npt.NDArray[np.float64]) -> float:
    return float(np.exp(special.rel_entr(posteriors, posteriors.mean(axis=0)).sum(axis=1).mean()))
