from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfdvbpr.suggestions import edit_distance, nearest


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("kitten", "sitting", 3),
        ("epohcs", "epochs", 1),
        ("ab", "ba", 1),
        ("flaw", "lawn", 2),
    ],
)
def test_distances_by_hand(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second, most=10) == edit_distance(second, first, most=10) == distance
    assert edit_distance(first, second, most=distance) == distance
    if distance:
        assert edit_distance(first, second, most=distance - 1) == distance


@given(st.text(max_size=6), st.text(max_size=6))
def test_a_distance_is_bounded_and_symmetric(first: str, second: str) -> None:
    distance = edit_distance(first, second, most=12)
    assert distance == edit_distance(second, first, most=12)
    assert abs(len(first) - len(second)) <= distance <= max(len(first), len(second))
    assert (distance == 0) == (first == second)


def test_prefixes_come_first_and_strangers_not_at_all() -> None:
    names = ["epochs", "embedding_dim", "evaluate_every", "user_l2", "item_l2"]
    assert nearest("emb", names) == ["embedding_dim"]
    assert nearest("epohcs", names)[0] == "epochs"
    assert nearest("USER_L2", names)[0] == "user_l2"
    assert nearest("zzzzzz", names) == []
    assert nearest("x" * 10_000, ["y" * 10_000]) == []
