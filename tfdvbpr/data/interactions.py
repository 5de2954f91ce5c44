"""Who acted on what, and which part of the split each action belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

COLD_THRESHOLD = 5


class Split(IntEnum):
    """The part an action belongs to; stored as uint8."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    WITHHELD = 3


@dataclass(frozen=True)
class Interactions:
    """Distinct (user, item) actions, sorted by user.

    Attributes:
        user_ids: int32 [N], contiguous from 0.
        item_ids: int32 [N], contiguous from 0.
        splits: uint8 [N], values of `Split`; a user may have any number of each. WITHHELD actions are neither trained
            on nor evaluated, but masked as known positives: they fall on items kept out of training altogether, or
            belong to users whom a split by time left no training action.
        num_users: number of users, each with at least one action.
        num_items: number of items in the catalogue, with or without actions.
        timestamps: float64 [N], seconds since 1970-01-01 UTC, NaN where unknown; None where none is known.
    """

    user_ids: npt.NDArray[np.int32]
    item_ids: npt.NDArray[np.int32]
    splits: npt.NDArray[np.uint8]
    num_users: int
    num_items: int
    timestamps: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name, ids, limit in (
            ("user_ids", self.user_ids, self.num_users),
            ("item_ids", self.item_ids, self.num_items),
        ):
            if len(ids) and not (ids.min() >= 0 and ids.max() < limit):
                raise ValueError(
                    f"`{name}` must be in [0, {limit}). Received {ids.min()}..{ids.max()}. "
                    "Rebuild the dataset from its source."
                )

    def __len__(self) -> int:
        return len(self.user_ids)

    def of(self, *splits: Split) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """(user_ids, item_ids) of the actions in the given parts."""
        chosen = np.isin(self.splits, [int(split) for split in splits])
        return self.user_ids[chosen], self.item_ids[chosen]

    def matrix(self, *splits: Split) -> sparse.csr_matrix:
        """bool [num_users, num_items], true where the user acted on the item in one of the given parts."""
        user_ids, item_ids = self.of(*splits)
        values = np.ones(len(user_ids), dtype=bool)
        return sparse.csr_matrix((values, (user_ids, item_ids)), shape=(self.num_users, self.num_items))

    @cached_property
    def training_matrix(self) -> sparse.csr_matrix:
        """The training actions as bool [num_users, num_items]."""
        return self.matrix(Split.TRAIN)

    @cached_property
    def training_counts(self) -> npt.NDArray[np.int64]:
        """int64 [num_items]: training actions an item."""
        return np.bincount(self.of(Split.TRAIN)[1], minlength=self.num_items)

    def popularity_offsets(self, power: float) -> npt.NDArray[np.float32]:
        """float32 [num_items]: α ln(1 + n_i), what scores of items are given while training and not afterwards.

        The logit adjustment of Menon et al. 2021 with items in the place of classes: how often an item was bought is
        explained beforehand, which leaves it to the model to learn what people like of it.

        Args:
            power: α; 0 gives zeros.
        """
        return (power * np.log1p(self.training_counts)).astype(np.float32)

    @property
    def num_untrained_users(self) -> int:
        """Users without a training action."""
        return self.num_users - len(np.unique(self.of(Split.TRAIN)[0]))

    @property
    def num_timed(self) -> int:
        """Actions whose time is known."""
        return 0 if self.timestamps is None else int(np.isfinite(self.timestamps).sum())

    def cold_items(self, threshold: int = COLD_THRESHOLD) -> npt.NDArray[np.bool_]:
        """bool [num_items]: fewer than `threshold` training actions (the paper's 5)."""
        return self.training_counts < threshold

    def write(self, path: Path) -> None:
        """Writes a parquet table of user, item and split, and of timestamp where times are known."""
        columns: dict[str, npt.NDArray[Any]] = {"user": self.user_ids, "item": self.item_ids, "split": self.splits}
        if self.timestamps is not None:
            columns["timestamp"] = self.timestamps
        pl.DataFrame(columns).write_parquet(path)

    @classmethod
    def read(cls, path: Path, *, num_users: int, num_items: int) -> Interactions:
        """Reads what `write` wrote."""
        table = pl.read_parquet(path)
        user_ids, item_ids, splits = (table[name].to_numpy() for name in ("user", "item", "split"))
        timestamps = table["timestamp"].to_numpy() if "timestamp" in table.columns else None
        return cls(user_ids, item_ids, splits, num_users, num_items, timestamps)
