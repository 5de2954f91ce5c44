"""Keeping the users and items that have enough actions."""

from __future__ import annotations

import polars as pl


def k_core(actions: pl.DataFrame, *, min_user_actions: int, min_item_actions: int) -> pl.DataFrame:
    """The largest part of the actions in which every user and every item has enough of them.

    Taking out a user can leave an item with too few actions, and the reverse, so it goes on until nothing changes. What
    is left does not depend on the order: the union of two such parts is such a part, hence there is one largest.

    Args:
        actions: columns user_id and item_id, each pair once.
        min_user_actions: fewest actions a user.
        min_item_actions: fewest actions an item.

    Returns:
        The rows that stay, in their order; possibly none.
    """
    enough = (pl.len().over("user_id") >= min_user_actions) & (pl.len().over("item_id") >= min_item_actions)
    while True:
        kept = actions.filter(enough)
        if kept.height == actions.height:
            return kept
        actions = kept
