"""Which actions are trained on, validated on and tested on. SPLITS lists the ways; items may be withheld beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Split
from tfdvbpr.errors import SourceError

SplitKind = Literal["leave-one-out", "leave-last-out", "time", "source"]
MIN_ACTIONS_TO_EVALUATE = 3

Parts = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Actions:
    """What a split looks at: distinct actions in any order.

    Attributes:
        user_ids: int32 [N].
        item_ids: int32 [N].
        times: float64 [N], seconds since 1970 UTC, without NaN; for the kinds that need times.
        given: uint8 [N], the source's own `Split`; for the kind "source".
    """

    user_ids: npt.NDArray[np.int32]
    item_ids: npt.NDArray[np.int32]
    times: Floats | None = None
    given: Parts | None = None


@dataclass(frozen=True)
class Fractions:
    """The parts of all actions that a split by time holds out."""

    validation: float = 0.1
    test: float = 0.1


@dataclass(frozen=True)
class SplitMethod:
    """One way to split.

    Attributes:
        assign: from the actions, seeded uniform draws float64 [N] and the fractions to uint8 [N], values of `Split`.
        needs_times: every action must have a time.
        needs_given: every action must have the source's own part.
        trained_users_only: the held-out actions of users without a training action become WITHHELD.
    """

    assign: Callable[[Actions, Floats, Fractions], Parts]
    needs_times: bool = False
    needs_given: bool = False
    trained_users_only: bool = False


def split_actions(
    actions: Actions,
    *,
    kind: SplitKind,
    num_items: int,
    withhold_items: float,
    seed: int,
    fractions: Fractions | None = None,
) -> Parts:
    """Gives each action its part.

    The training actions left on withheld items leave training too (`Split.WITHHELD`), so that a test action on such an
    item meets an item no gradient has touched. The withheld items depend on the seed and the numbers of actions and
    items, not on the kind.

    Args:
        actions: distinct (user, item) pairs.
        kind: a name in SPLITS.
        num_items: size of the catalogue.
        withhold_items: fraction of the catalogue to keep out of training, in [0, 1).
        seed: the same seed gives the same split of the same actions.
        fractions: for "time".

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
    draws = generator.random(len(actions.user_ids))
    splits = method.assign(actions, draws, fractions or Fractions())
    withheld = generator.permutation(num_items)[: round(withhold_items * num_items)]
    splits[(splits == Split.TRAIN) & np.isin(actions.item_ids, withheld)] = Split.WITHHELD
    if method.trained_users_only:
        trained = np.isin(actions.user_ids, actions.user_ids[splits == Split.TRAIN])
        splits[~trained] = Split.WITHHELD
    return splits


def _leave_one_out(actions: Actions, draws: Floats, fractions: Fractions) -> Parts:
    """One validation and one test action a user with at least 3, drawn uniformly from the user's actions."""
    order = np.lexsort((draws, actions.user_ids))
    return _first_two_of_each_user(actions.user_ids, order, first=Split.VALIDATION, second=Split.TEST)


def _leave_last_out(actions: Actions, draws: Floats, fractions: Fractions) -> Parts:
    """A user's last action is the test, the one before it validation; of users with at least 3 actions.

    Among actions of the same time the draws decide.
    """
    if actions.times is None:
        raise ValueError("A split by time needs `times`. Received none.")
    latest_first = np.lexsort((draws, -actions.times, actions.user_ids))
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


def _by_time(actions: Actions, draws: Floats, fractions: Fractions) -> Parts:
    """Two cut times for everyone: what comes before both is training, then validation, then test.

    A cut lies between two distinct times, so that actions of the same moment stay together; of the possible cuts the
    one is taken that leaves nearest to the wanted fraction behind it, the earlier of two equally near.
    """
    if actions.times is None:
        raise ValueError("A split by time needs `times`. Received none.")
    moments, counts = np.unique(actions.times, return_counts=True)
    num_actions = len(actions.times)
    behind = num_actions - np.r_[0, np.cumsum(counts)]  # actions from each moment on; [moments + 1]
    test_cut = int(np.argmin(np.abs(behind - fractions.test * num_actions)))
    held_out_cut = int(np.argmin(np.abs(behind - (fractions.validation + fractions.test) * num_actions)))
    places = np.searchsorted(moments, actions.times)
    splits = np.full(num_actions, Split.TRAIN, dtype=np.uint8)
    splits[places >= held_out_cut] = Split.VALIDATION
    splits[places >= test_cut] = Split.TEST
    sizes = np.bincount(splits, minlength=3)[:3]
    wanted = np.array([True, fractions.validation > 0, fractions.test > 0])
    if (wanted & (sizes == 0)).any():
        raise SourceError(
            "A split by time must leave actions for training, validation and test. "
            f"{num_actions} actions at {len(moments)} different times give {sizes[0]}, {sizes[1]} and {sizes[2]}. "
            "Choose other fractions, or --split leave-last-out."
        )
    return splits


def _as_given(actions: Actions, draws: Floats, fractions: Fractions) -> Parts:
    """The source's own split, unchanged."""
    if actions.given is None:
        raise ValueError("The source's own split needs `given`. Received none.")
    return actions.given.copy()


SPLITS: Mapping[SplitKind, SplitMethod] = MappingProxyType(
    {
        "leave-one-out": SplitMethod(_leave_one_out),
        "leave-last-out": SplitMethod(_leave_last_out, needs_times=True),
        "time": SplitMethod(_by_time, needs_times=True, trained_users_only=True),
        "source": SplitMethod(_as_given, needs_given=True),
    }
)
