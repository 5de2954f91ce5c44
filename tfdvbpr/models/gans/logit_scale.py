"""A discriminator's logits on LSGAN's scale, so that one realism weight means the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_SHRINKAGE = 8.0


@dataclass(frozen=True)
class LogitScale:
    """An affine map a category: 0 for what D calls generated, 1 for what it calls real.

    Attributes:
        offsets: float32 [N], the logit that becomes 0.
        scales: float32 [N] > 0, how far above it the logit lies that becomes 1.
    """

    offsets: Floats
    scales: Floats

    @classmethod
    def identity(cls, num_categories: int) -> LogitScale:
        """LSGAN's own."""
        return cls(np.zeros(num_categories, np.float32), np.ones(num_categories, np.float32))

    @classmethod
    def fitted(
        cls,
        real_logits: Floats,
        real_ids: npt.NDArray[np.int32],
        fake_logits: Floats,
        fake_ids: npt.NDArray[np.int32],
        *,
        num_categories: int,
    ) -> LogitScale:
        """The mean generated image of a category becomes 0, its mean photo 1.

        Where the means differ by less than the photos' own standard deviation, that deviation is the unit, so that a
        penalty never explodes under a D that cannot separate them. The moments of a category are shrunk toward those of
        all, which count as 8 of its images.

        Args:
            real_logits: float32 [R], of real photos.
            real_ids: int32 [R], their categories.
            fake_logits: float32 [F], of random generated images.
            fake_ids: int32 [F].
            num_categories: N.
        """
        real_means, spreads = _moments(real_logits, real_ids, num_categories)
        fake_means, _ = _moments(fake_logits, fake_ids, num_categories)
        units = np.maximum(np.maximum(real_means - fake_means, spreads), 1e-3)
        return cls((real_means - units).astype(np.float32), units.astype(np.float32))

    def calibrated(self, logits: Any, category_ids: Any) -> Any:
        """float32 [B] logits and int32 [B] category ids, tensors or arrays, to float32 [B] on LSGAN's scale."""
        from keras import ops

        return (logits - ops.take(self.offsets, category_ids)) / ops.take(self.scales, category_ids)


def _moments(
    logits: Floats, category_ids: npt.NDArray[np.int32], num_categories: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Means and standard deviations a category, float64 [N] each."""
    values = logits.astype(np.float64)
    counts = np.bincount(category_ids, minlength=num_categories)
    sums = np.bincount(category_ids, values, num_categories)
    means = (sums + _SHRINKAGE * values.mean()) / (counts + _SHRINKAGE)
    squares = np.bincount(category_ids, (values - means[category_ids]) ** 2, num_categories)
    variances = (squares + _SHRINKAGE * values.var()) / (counts + _SHRINKAGE)
    return means, np.sqrt(variances)
