from __future__ import annotations

from itertools import combinations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdvbpr.data.preparation.cleaning import k_core

Pairs = list[tuple[str, str]]
_LEAST = st.integers(0, 3)


def _pairs(max_size: int) -> st.SearchStrategy[Pairs]:
    pair = st.tuples(st.sampled_from("uvwx"), st.sampled_from("abcde"))
    return st.lists(pair, unique=True, max_size=max_size)


def _core(pairs: Pairs, users: int, items: int) -> Pairs:
    table = pl.DataFrame(pairs, schema={"user_id": pl.String, "item_id": pl.String}, orient="row")
    return list(k_core(table, min_user_actions=users, min_item_actions=items).iter_rows())


def _enough(pairs: Pairs, users: int, items: int) -> bool:
    user_column, item_column = [user for user, _ in pairs], [item for _, item in pairs]
    return all(user_column.count(u) >= users and item_column.count(i) >= items for u, i in pairs)


def test_by_hand() -> None:
    """Item c has one action; without it w has one; without w item b has one; u, v on a and the rest fall in turn."""
    pairs = [("u", "a"), ("u", "d"), ("v", "a"), ("v", "d"), ("w", "b"), ("w", "c"), ("x", "b"), ("x", "a")]
    assert _core(pairs, 2, 2) == [("u", "a"), ("u", "d"), ("v", "a"), ("v", "d")]
    assert _core(pairs, 2, 0) == pairs
    assert _core(pairs, 0, 2) == [pair for pair in pairs if pair[1] != "c"]
    assert _core(pairs, 3, 0) == []


@settings(max_examples=100, deadline=None, derandomize=True)
@given(pairs=_pairs(20), users=_LEAST, items=_LEAST)
def test_everyone_left_has_enough_and_again_changes_nothing(pairs: Pairs, users: int, items: int) -> None:
    core = _core(pairs, users, items)
    assert _enough(core, users, items)
    assert _core(core, users, items) == core
    assert core == [pair for pair in pairs if pair in core]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pairs=_pairs(8), users=_LEAST, items=_LEAST)
def test_nothing_larger_would_do(pairs: Pairs, users: int, items: int) -> None:
    """Every part in which all have enough, of all the parts there are, lies in the core."""
    core = set(_core(pairs, users, items))
    for size in range(len(pairs) + 1):
        for part in combinations(pairs, size):
            assert not _enough(list(part), users, items) or set(part) <= core


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pairs=_pairs(20), users=_LEAST, items=_LEAST, order=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(pairs: Pairs, users: int, items: int, order: object) -> None:
    shuffled = list(pairs)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert set(_core(shuffled, users, items)) == set(_core(pairs, users, items))
