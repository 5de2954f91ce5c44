"""The places that a user's held-out items take in her ranking, tied items together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tfdvbpr.evaluation.ranking.metrics import Ranks

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TieGroups:
    """Runs of places that tied items share, those without a held-out item left out.

    A ranking holds the candidates and all held-out items of the user. Two held-out items of a user with the same two
    counts either tie with each other and with the same candidates, or stand next to each other with no candidate
    between them; in both cases they are a group, whose places are known, and only the order within it is not.

    Attributes:
        users: int32 [U], user rows with a held-out item, ascending.
        num_held_out: int64 [U], held-out items a user.
        owner: int64 [G], position in `users`; ascending, and within a user the best group first.
        first: int64 [G], the group's first place, from 0.
        size: int64 [G], places it takes.
        hits: int64 [G], held-out items among them, at least 1.
        hits_before: int64 [G], held-out items of the user in better groups.
    """

    users: npt.NDArray[np.int32]
    num_held_out: Counts
    owner: Counts
    first: Counts
    size: Counts
    hits: Counts
    hits_before: Counts


def tie_groups(ranks: Ranks) -> TieGroups:
    """The groups of every user, from the counts against the candidates."""
    order = np.lexsort((ranks.num_equal, ranks.num_higher, ranks.user_ids))
    keys = np.stack([ranks.user_ids[order], ranks.num_higher[order], ranks.num_equal[order]]).astype(np.int64)
    starts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)][: len(order)])
    hits = np.diff(np.r_[starts, len(order)])
    users, owner, num_held_out = np.unique(keys[0], return_inverse=True, return_counts=True)
    begin = np.cumsum(num_held_out) - num_held_out
    hits_before = starts - begin[owner[starts]]
    return TieGroups(
        users=users.astype(np.int32),
        num_held_out=num_held_out,
        owner=owner[starts],
        first=keys[1, starts] + hits_before,
        size=keys[2, starts] + hits,
        hits=hits,
        hits_before=hits_before,
    )
