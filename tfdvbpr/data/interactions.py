"""Who acted on what, and which actions are trained on, validated on and tested on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from tfdvbpr.data import SplitKind
from tfdvbpr.data.parquet import read_parquet
from tfdvbpr.errors import SourceError

COLD_THRESHOLD, MIN_ACTIONS_TO_EVALUATE = 5, 3

Parts = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


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
        """float32 [num_items]: α ln(1 + n_i), added to the scores of items while training; α is `power`.

        The logit adjustment of Menon et al. 2021 with items as classes: the offset explains popularity, and the model
        learns preferences.
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
        """Reads what `write` wrote.

        Raises:
            OSError: if it cannot be opened.
            ValueError: if it is damaged, or of other users and items.
        """
        schema = {"user": pl.Int32, "item": pl.Int32, "split": pl.UInt8}
        table = read_parquet(path, schema, most_rows=num_users * num_items)
        user_ids, item_ids, splits = (table[name].to_numpy() for name in ("user", "item", "split"))
        if len(splits) and splits.max() > max(Split):
            raise ValueError(f"`split` must be at most {max(Split)}. Received {splits.max()}.")
        timestamps = table["timestamp"].cast(pl.Float64).to_numpy() if "timestamp" in table.columns else None
        return cls(user_ids, item_ids, splits, num_users, num_items, timestamps)


@dataclass(frozen=True)
class Actions:
    """What is split: distinct actions in any order.

    Attributes:
        user_ids: int32 [N].
        item_ids: int32 [N].
        times: float64 [N], seconds since 1970 UTC, without NaN; for the kinds that need times.
        given: uint8 [N], the source's own `Split`; for the kind "source".
        fractions: of all actions, for validation and for the test; for the kind "time".
    """

    user_ids: npt.NDArray[np.int32]
    item_ids: npt.NDArray[np.int32]
    times: Floats | None = None
    given: Parts | None = None
    fractions: tuple[float, float] = (0.1, 0.1)


@dataclass(frozen=True)
class SplitMethod:
    """One way to split.

    Attributes:
        assign: from the actions and seeded random numbers float64 [N] to uint8 [N], values of `Split`.
        needs_times: every action must have a time.
        needs_given: every action must have the source's own part.
        trained_users_only: the held-out actions of users without a training action become WITHHELD.
        by_user: users with at least `MIN_ACTIONS_TO_EVALUATE` actions are evaluated, and no others.
    """

    assign: Callable[[Actions, Floats], Parts]
    needs_times: bool = False
    needs_given: bool = False
    trained_users_only: bool = False
    by_user: bool = False


def split_actions(actions: Actions, *, kind: SplitKind, num_items: int, withhold_items: float, seed: int) -> Parts:
    """Gives each action its part.

    The training actions on withheld items become `Split.WITHHELD` too, so that no gradient has touched the item of a
    test action on them. The withheld items depend on the seed and the numbers of actions and items, not on the kind.

    Args:
        actions: distinct (user, item) pairs.
        kind: a name in SPLITS.
        num_items: size of the catalogue.
        withhold_items: fraction of the catalogue to keep out of training, in [0, 1).
        seed: the same seed gives the same split of the same actions.

    Returns:
        uint8 [N], values of `Split`, aligned with the input.

    Raises:
        ValueError: if `withhold_items` is outside [0, 1).
        SourceError: if a split by time leaves a part empty.
    """
    if not 0.0 <= withhold_items < 1.0:
        raise ValueError(f"`withhold_items` must be in [0, 1). Received {withhold_items}.")
    method = SPLITS[kind]
    generator = np.random.default_rng(seed)
    splits = method.assign(actions, generator.random(len(actions.user_ids)))
    withheld = generator.permutation(num_items)[: round(withhold_items * num_items)]
    splits[(splits == Split.TRAIN) & np.isin(actions.item_ids, withheld)] = Split.WITHHELD
    if method.trained_users_only:
        trained = np.isin(actions.user_ids, actions.user_ids[splits == Split.TRAIN])
        splits[~trained] = Split.WITHHELD
    return splits


def _leave_one_out(actions: Actions, random_numbers: Floats) -> Parts:
    """One random validation and one random test action of each user with at least 3."""
    order = np.lexsort((random_numbers, actions.user_ids))
    return _first_two_of_each_user(actions.user_ids, order, first=Split.VALIDATION, second=Split.TEST)


def _leave_last_out(actions: Actions, random_numbers: Floats) -> Parts:
    """The last action of each user with at least 3 is the test, the one before it validation; ties are random."""
    if actions.times is None:
        raise ValueError("A split by time needs `times`. Received none.")
    latest_first = np.lexsort((random_numbers, -actions.times, actions.user_ids))
    return _first_two_of_each_user(actions.user_ids, latest_first, first=Split.TEST, second=Split.VALIDATION)


def _first_two_of_each_user(
    user_ids: npt.NDArray[np.int32], order: npt.NDArray[np.intp], *, first: Split, second: Split
) -> Parts:
    """Marks each user's first two actions in `order`, which goes from user to user; the others are training."""
    splits = np.full(len(user_ids), Split.TRAIN, dtype=np.uint8)
    if not len(user_ids):
        return splits
    counts = np.bincount(user_ids)
    counts = counts[counts > 0]
    starts = np.r_[0, np.cumsum(counts)[:-1]]
    starts = starts[counts >= MIN_ACTIONS_TO_EVALUATE]
    splits[order[starts]] = first
    splits[order[starts + 1]] = second
    return splits


def _by_time(actions: Actions, random_numbers: Floats) -> Parts:
    """Two cuts for all users: what comes before both is training, then validation, then test.

    A cut lies between two distinct times, so that actions of the same time stay together; the cut is the one that
    leaves nearest to the wanted fraction behind it, the earlier of two equally near.
    """
    if actions.times is None:
        raise ValueError("A split by time needs `times`. Received none.")
    validation, test = actions.fractions
    times, counts = np.unique(actions.times, return_counts=True)
    num_actions = len(actions.times)
    behind = num_actions - np.r_[0, np.cumsum(counts)]  # actions from each time on; [times + 1]
    test_cut = int(np.argmin(np.abs(behind - test * num_actions)))
    held_out_cut = int(np.argmin(np.abs(behind - (validation + test) * num_actions)))
    found = np.searchsorted(times, actions.times)
    splits = np.full(num_actions, Split.TRAIN, dtype=np.uint8)
    splits[found >= held_out_cut] = Split.VALIDATION
    splits[found >= test_cut] = Split.TEST
    sizes = np.bincount(splits, minlength=3)[:3]
    if (np.array([True, validation > 0, test > 0]) & (sizes == 0)).any():
        raise SourceError(
            "A split by time must leave actions for training, validation and test. "
            f"{num_actions} actions at {len(times)} different times give {sizes[0]}, {sizes[1]} and {sizes[2]}. "
            "Choose other fractions, or --split leave-last-out."
        )
    return splits


def _as_given(actions: Actions, random_numbers: Floats) -> Parts:
    """The source's own split, unchanged."""
    if actions.given is None:
        raise ValueError("The source's own split needs `given`. Received none.")
    return actions.given.copy()


SPLITS: Mapping[SplitKind, SplitMethod] = MappingProxyType(
    {
        "leave-one-out": SplitMethod(_leave_one_out, by_user=True),
        "leave-last-out": SplitMethod(_leave_last_out, needs_times=True, by_user=True),
        "time": SplitMethod(_by_time, needs_times=True, trained_users_only=True),
        "source": SplitMethod(_as_given, needs_given=True),
    }
)
