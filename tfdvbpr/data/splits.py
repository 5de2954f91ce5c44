"""The seeded leave-one-out split, and items withheld for strict cold-start figures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Split

MIN_ACTIONS_TO_EVALUATE = 3


def leave_one_out(
    user_ids: npt.NDArray[np.int32],
    item_ids: npt.NDArray[np.int32],
    *,
    num_items: int,
    withhold_items: float,
    seed: int,
) -> npt.NDArray[np.uint8]:
    """Gives each action its part: one validation and one test action a user with at least 3 actions.

    The two are drawn uniformly from the user's actions. The actions left on withheld items leave training too
    (`Split.WITHHELD`), so that a test action on such an item meets an item no gradient has touched.

    Args:
        user_ids: int32 [N], any order.
        item_ids: int32 [N].
        num_items: size of the catalogue.
        withhold_items: fraction of the catalogue to keep out of training, in [0, 1).
        seed: the same seed gives the same split of the same actions.

    Returns:
        uint8 [N], values of `Split`, aligned with the input.

    Raises:
        ValueError: if `withhold_items` is outside [0, 1).
    """
    if not 0.0 <= withhold_items < 1.0:
        raise ValueError(f"`withhold_items` must be in [0, 1). Received {withhold_items}.")
    generator = np.random.default_rng(seed)
    splits = np.full(len(user_ids), Split.TRAIN, dtype=np.uint8)
    if len(user_ids):
        order = np.lexsort((generator.random(len(user_ids)), user_ids))
        counts = np.bincount(user_ids)
        counts = counts[counts > 0]
        starts = np.r_[0, np.cumsum(counts)[:-1]]
        starts = starts[counts >= MIN_ACTIONS_TO_EVALUATE]
        splits[order[starts]] = Split.VALIDATION
        splits[order[starts + 1]] = Split.TEST
    withheld = generator.permutation(num_items)[: round(withhold_items * num_items)]
    splits[(splits == Split.TRAIN) & np.isin(item_ids, withheld)] = Split.WITHHELD
    return splits
