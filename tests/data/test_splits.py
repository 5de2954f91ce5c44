from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdvbpr.data.interactions import Split
from tfdvbpr.data.splits import leave_one_out

Actions = list[tuple[int, int]]
_ACTIONS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 14)), unique=True, max_size=80)


def _arrays(actions: Actions) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    table = np.array(actions, np.int32).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(actions=_ACTIONS, seed=st.integers(0, 2**31), withhold_items=st.sampled_from([0.0, 0.2, 0.9]))
def test_one_validation_and_one_test_action_from_three_on(actions: Actions, seed: int, withhold_items: float) -> None:
    users, items = _arrays(actions)
    splits = leave_one_out(users, items, num_items=15, withhold_items=withhold_items, seed=seed)
    assert splits.dtype == np.uint8
    assert splits.shape == users.shape
    for user in np.unique(users):
        mine = splits[users == user]
        expected = 1 if len(mine) >= 3 else 0
        assert np.count_nonzero(mine == Split.VALIDATION) == expected
        assert np.count_nonzero(mine == Split.TEST) == expected
    if withhold_items == 0.0:
        assert not (splits == Split.WITHHELD).any()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(actions=_ACTIONS, seed=st.integers(0, 2**31))
def test_withheld_items_have_no_training_action(actions: Actions, seed: int) -> None:
    users, items = _arrays(actions)
    splits = leave_one_out(users, items, num_items=15, withhold_items=0.4, seed=seed)
    trained, withheld = set(items[splits == Split.TRAIN].tolist()), set(items[splits == Split.WITHHELD].tolist())
    assert not trained & withheld
    assert len(trained) <= 15 - 6
    plain = leave_one_out(users, items, num_items=15, withhold_items=0.0, seed=seed)
    held_out = plain != Split.TRAIN
    np.testing.assert_array_equal(splits[held_out], plain[held_out])


def test_seeded() -> None:
    users = np.repeat(np.arange(50, dtype=np.int32), 6)
    items = np.tile(np.arange(6, dtype=np.int32), 50)

    def split(seed: int) -> npt.NDArray[np.uint8]:
        return leave_one_out(users, items, num_items=6, withhold_items=0.0, seed=seed)

    np.testing.assert_array_equal(split(3), split(3))
    assert (split(3) != split(4)).any()


def test_held_out_action_is_uniform_over_the_users_actions() -> None:
    users = np.repeat(np.arange(4_000, dtype=np.int32), 4)
    items = np.tile(np.arange(4, dtype=np.int32), 4_000)
    splits = leave_one_out(users, items, num_items=4, withhold_items=0.0, seed=0).reshape(4_000, 4)
    for part in (Split.VALIDATION, Split.TEST):
        np.testing.assert_allclose((splits == part).mean(axis=0), 0.25, atol=0.03)


def test_no_actions() -> None:
    none = np.zeros(0, np.int32)
    assert leave_one_out(none, none, num_items=3, withhold_items=0.5, seed=0).shape == (0,)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5])
def test_fraction_out_of_range(fraction: float) -> None:
    ids = np.zeros(1, np.int32)
    with pytest.raises(ValueError, match="withhold_items"):
        leave_one_out(ids, ids, num_items=1, withhold_items=fraction, seed=0)
