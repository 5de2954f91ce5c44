"""Which categories a GAN is trained on, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError

_MOST_NAMED = 12


@dataclass(frozen=True)
class CategoryPlan:
    """What becomes of each category of a dataset.

    Attributes:
        names: of the dataset's categories, in the order of their ids.
        counts: int64 [N], pictures of each.
        drawn_as: int32 [N], the id each is trained and drawn as: its own, that of the largest merged one, or -1 where
            it is left out.
        shares: float64 [N], how often each id is drawn; they sum to 1.
        small: ids with too few pictures.
    """

    names: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    drawn_as: npt.NDArray[np.int32]
    shares: npt.NDArray[np.float64]
    small: tuple[int, ...]

    @property
    def trained(self) -> npt.NDArray[np.int32]:
        """Ids that are drawn."""
        return np.flatnonzero(self.shares).astype(np.int32)

    def notes(self, config: GanConfig) -> Iterator[str]:
        """What becomes of small categories: lines for people."""
        if self.small and config.small_categories != "refuse":
            what = "left out" if config.small_categories == "leave-out" else "merged into one"
            yield f"Categories with fewer than {config.min_category_images} pictures are {what}: {self._listed()}."

    def _listed(self) -> str:
        named = [f"{self.names[number]} ({self.counts[number]})" for number in self.small]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        return ", ".join(named[:_MOST_NAMED]) + more


def plan_categories(dataset: PreparedDataset, config: GanConfig) -> CategoryPlan:
    """Applies `min_category_images`, `small_categories` and `category_power` to a dataset.

    A category is drawn with a probability in proportion to (its pictures)^power: 1 is as they come, 0 all the same.

    Raises:
        ConfigError: if categories are too small and are to be refused, or none is left.
    """
    names = dataset.manifest.categories
    counts = np.bincount(dataset.items.category_ids, minlength=len(names))
    few = (counts < config.min_category_images) & (counts > 0)
    drawn_as = np.where(counts > 0, np.arange(len(names)), -1).astype(np.int32)
    small = tuple(int(number) for number in np.flatnonzero(few)[np.argsort(-counts[few], kind="stable")])
    unplanned = CategoryPlan(names, counts, drawn_as, np.zeros(len(names)), small)
    if small and config.small_categories == "refuse":
        raise ConfigError(
            f"Every category must have at least {config.min_category_images} pictures. "
            f"Fewer have {unplanned._listed()}. "
            "Set small_categories=leave-out or merge, or a lower min_category_images."
        )
    if small:
        together = counts[list(small)].sum()
        merges = config.small_categories == "merge" and together >= config.min_category_images
        drawn_as[list(small)] = small[0] if merges else -1
    pooled = np.bincount(drawn_as[drawn_as >= 0], counts[drawn_as >= 0], len(names))
    if not pooled.any():
        raise ConfigError(
            f"A category must have at least {config.min_category_images} pictures. The largest of {dataset.path} has "
            f"{counts.max()}. Set a lower min_category_images."
        )
    weights = np.where(pooled > 0, np.maximum(pooled, 1.0) ** config.category_power, 0.0)
    return CategoryPlan(names, counts, drawn_as, weights / weights.sum(), small)
