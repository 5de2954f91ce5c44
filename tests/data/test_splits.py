from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdvbpr.data import SplitKind
from tfdvbpr.data.interactions import SPLITS, Actions, Interactions, Split, split_actions
from tfdvbpr.errors import SourceError

Pairs = list[tuple[int, int]]
Parts = npt.NDArray[np.uint8]
_PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 14)), unique=True, max_size=80)
TRAIN, VALIDATION, TEST, WITHHELD = (int(split) for split in Split)


def _actions(pairs: Pairs, times: Sequence[float] | None = None, given: Sequence[int] | None = None) -> Actions:
    table = np.array(pairs, np.int32).reshape(-1, 2)
    return Actions(
        table[:, 0],
        table[:, 1],
        None if times is None else np.array(times, np.float64),
        None if given is None else np.array(given, np.uint8),
    )


def _split(
    actions: Actions,
    kind: SplitKind = "leave-one-out",
    *,
    seed: int = 0,
    withhold_items: float = 0.0,
    num_items: int = 15,
    fractions: tuple[float, float] = (0.1, 0.1),
) -> Parts:
    actions = replace(actions, fractions=fractions)
    return split_actions(actions, kind=kind, num_items=num_items, withhold_items=withhold_items, seed=seed)


@pytest.mark.parametrize(
    ("withhold_items", "expected"),
    [
        (0.0, [0, 0, 0, 0, 1, 2, 0, 2, 0, 1, 1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1]),
        (0.3, [3, 0, 0, 3, 1, 2, 0, 2, 0, 1, 1, 0, 2, 3, 0, 0, 2, 3, 0, 0, 1]),
    ],
)
def test_leave_one_out_is_as_in_the_first_release(withhold_items: float, expected: list[int]) -> None:
    """Taken from version 0.1.0: datasets prepared again must stay as they are."""
    items = [[0], [1, 2], [0, 3, 4], [1, 2, 5, 6], [0, 1, 2, 3, 4], [1, 2, 3, 4, 5, 6]]
    pairs = [(user, item) for user, own in enumerate(items) for item in own]
    splits = _split(_actions(pairs), seed=3, withhold_items=withhold_items, num_items=7)
    assert splits.tolist() == expected


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    pairs=_PAIRS,
    seed=st.integers(0, 2**31),
    withhold_items=st.sampled_from([0.0, 0.2, 0.9]),
    kind=st.sampled_from(["leave-one-out", "leave-last-out"]),
)
def test_one_validation_and_one_test_action_from_three_on(
    pairs: Pairs, seed: int, withhold_items: float, kind: SplitKind
) -> None:
    actions = _actions(pairs, times=[float(item % 4) for _, item in pairs])
    splits = _split(actions, kind, seed=seed, withhold_items=withhold_items)
    assert splits.dtype == np.uint8
    assert splits.shape == actions.user_ids.shape
    for user in np.unique(actions.user_ids):
        mine = splits[actions.user_ids == user]
        expected = 1 if len(mine) >= 3 else 0
        assert np.count_nonzero(mine == VALIDATION) == expected
        assert np.count_nonzero(mine == TEST) == expected
    if withhold_items == 0.0:
        assert not (splits == WITHHELD).any()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(pairs=_PAIRS, seed=st.integers(0, 2**31))
def test_withheld_items_have_no_training_action(pairs: Pairs, seed: int) -> None:
    actions = _actions(pairs)
    splits = _split(actions, seed=seed, withhold_items=0.4)
    trained = set(actions.item_ids[splits == TRAIN].tolist())
    withheld = set(actions.item_ids[splits == WITHHELD].tolist())
    assert not trained & withheld
    assert len(trained) <= 15 - 6
    plain = _split(actions, seed=seed)
    held_out = plain != TRAIN
    np.testing.assert_array_equal(splits[held_out], plain[held_out])


def test_the_withheld_items_are_the_same_for_every_kind() -> None:
    pairs = [(user, item) for user in range(10) for item in range(15)]
    actions = _actions(pairs, times=range(150), given=[0] * 150)
    withheld = {
        kind: set(actions.item_ids[_split(actions, kind, seed=5, withhold_items=0.2) == WITHHELD].tolist())
        for kind in SPLITS
        if kind != "time"
    }
    assert len(withheld["source"]) == 3
    assert all(items == withheld["source"] for items in withheld.values())


@pytest.mark.parametrize("kind", ["leave-one-out", "leave-last-out"])
def test_seeded(kind: SplitKind) -> None:
    actions = _actions([(user, item) for user in range(50) for item in range(6)], times=[0.0] * 300)
    np.testing.assert_array_equal(_split(actions, kind, seed=3), _split(actions, kind, seed=3))
    assert (_split(actions, kind, seed=3) != _split(actions, kind, seed=4)).any()


@pytest.mark.parametrize("kind", ["leave-one-out", "leave-last-out"])
def test_held_out_action_is_uniform_where_nothing_else_decides(kind: SplitKind) -> None:
    actions = _actions([(user, item) for user in range(4_000) for item in range(4)], times=[7.0] * 16_000)
    splits = _split(actions, kind).reshape(4_000, 4)
    for part in (VALIDATION, TEST):
        np.testing.assert_allclose((splits == part).mean(axis=0), 0.25, atol=0.03)


def test_leave_last_out_by_hand() -> None:
    """User 0 has a clear order, user 1 a tie for the last place, user 2 too few actions; the rows are mixed."""
    pairs = [(0, 0), (1, 5), (0, 1), (0, 2), (1, 6), (2, 3), (0, 3), (1, 7), (2, 4)]
    times = [40.0, 10.0, 10.0, 30.0, 20.0, 1.0, 20.0, 20.0, 2.0]
    for seed in range(8):
        splits = _split(_actions(pairs, times), "leave-last-out", seed=seed)
        assert splits[[0, 2, 3, 6]].tolist() == [TEST, TRAIN, VALIDATION, TRAIN]
        assert splits[1] == TRAIN
        assert sorted(splits[[4, 7]].tolist()) == [VALIDATION, TEST]
        assert splits[[5, 8]].tolist() == [TRAIN, TRAIN]


def test_a_tie_for_the_second_last_place_spares_the_last() -> None:
    last = [_split(_actions([(0, 0), (0, 1), (0, 2)], [1.0, 1.0, 2.0]), "leave-last-out", seed=s) for s in range(20)]
    assert {splits[2] for splits in last} == {TEST}
    assert {tuple(splits[:2].tolist()) for splits in last} == {(TRAIN, VALIDATION), (VALIDATION, TRAIN)}


def test_time_cuts_by_hand() -> None:
    """Ten actions at times 0..9, given in reverse; the last is the test, the two before it validation."""
    pairs = [(row % 2, row) for row in range(10)]
    times = [9.0 - row for row in range(10)]
    splits = _split(_actions(pairs, times), "time", fractions=(0.2, 0.1))
    assert splits.tolist() == [TEST, VALIDATION, VALIDATION, *[TRAIN] * 7]


def test_actions_of_one_moment_stay_together_and_the_nearest_cut_is_taken() -> None:
    """Moments 0 (5 actions), 1 (2), 2 (3): for 20 % the 3 of moment 2 are nearer than none; then 5 of the wanted 5."""
    pairs = [(0, item) for item in range(10)]
    times = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 2.0, 0.0, 0.0]
    splits = _split(_actions(pairs, times), "time", fractions=(0.3, 0.2))
    assert splits.tolist() == [TRAIN, VALIDATION, TEST, TRAIN, VALIDATION, TEST, TRAIN, TEST, TRAIN, TRAIN]


def test_who_came_after_the_cut_is_neither_validated_nor_tested() -> None:
    """User 1 has no action before the cut; user 0 has two test actions."""
    pairs = [*((0, item) for item in range(8)), (1, 0), (1, 1), (0, 8), (0, 9)]
    splits = _split(_actions(pairs, range(12)), "time", fractions=(0.2, 0.2))
    assert splits.tolist() == [*[TRAIN] * 7, VALIDATION, WITHHELD, WITHHELD, TEST, TEST]


def test_who_has_only_withheld_items_before_the_cut_counts_as_untrained() -> None:
    pairs = [(0, item) for item in range(8)] + [(1, 8), (1, 9)]
    actions = _actions(pairs, [*range(8), 0.5, 99.0])
    untrained = 0
    for seed in range(30):
        splits = _split(actions, "time", seed=seed, withhold_items=0.3, num_items=10)
        assert splits[8] in (TRAIN, WITHHELD)
        assert splits[9] == (TEST if splits[8] == TRAIN else WITHHELD)
        untrained += int(splits[8] == WITHHELD)
    assert 0 < untrained < 30


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 14)), unique=True, min_size=1, max_size=60),
    seed=st.integers(0, 100),
    spread=st.integers(1, 40),
    fractions=st.sampled_from([(0.1, 0.1), (0.3, 0.2), (0.0, 0.5), (0.2, 0.0)]),
)
def test_no_training_action_is_later_than_a_held_out_one(
    pairs: Pairs, seed: int, spread: int, fractions: tuple[float, float]
) -> None:
    times = np.random.default_rng(seed).integers(0, spread, len(pairs)).astype(np.float64)
    actions = _actions(pairs, times.tolist())
    try:
        splits = _split(actions, "time", seed=seed, fractions=fractions)
    except SourceError as error:
        assert "leave actions for training, validation and test" in str(error)  # noqa: PT017
        return
    latest = {part: times[splits == part].max(initial=-1.0) for part in (TRAIN, VALIDATION, TEST)}
    earliest = {part: times[splits == part].min(initial=np.inf) for part in (TRAIN, VALIDATION, TEST)}
    assert latest[TRAIN] < min(earliest[VALIDATION], earliest[TEST])
    assert latest[VALIDATION] < earliest[TEST]
    trained = set(actions.user_ids[splits == TRAIN].tolist())
    assert set(actions.user_ids[splits != WITHHELD].tolist()) == trained
    assert not trained & set(actions.user_ids[splits == WITHHELD].tolist())


@pytest.mark.parametrize("times", [[5.0] * 20, [0.0, 1.0] * 10, [0.0, 1.0, 2.0]])
def test_times_that_cannot_be_cut(times: list[float]) -> None:
    pairs = [(0, item) for item in range(len(times))]
    with pytest.raises(SourceError, match="must leave actions for training, validation and test"):
        _split(_actions(pairs, times), "time", num_items=20)


def test_a_given_split_is_kept() -> None:
    """Whatever the source says, be it two test actions, or a user with no training action."""
    given = [TEST, TEST, TRAIN, VALIDATION]
    actions = _actions([(0, 0), (0, 1), (0, 2), (1, 0)], given=given)
    splits = _split(actions, "source")
    assert splits.tolist() == given
    assert splits is not actions.given


def test_several_held_out_actions_a_user() -> None:
    users, items = np.array([0, 0, 0, 1, 1], np.int32), np.array([0, 1, 2, 1, 3], np.int32)
    splits = np.array([TEST, TRAIN, TEST, TEST, WITHHELD], np.uint8)
    interactions = Interactions(users, items, splits, 2, 4)
    np.testing.assert_array_equal(
        interactions.matrix(Split.TEST).toarray(), [[True, False, True, False], [False, True, False, False]]
    )
    np.testing.assert_array_equal(interactions.of(Split.TEST), [[0, 0, 1], [0, 2, 1]])
    np.testing.assert_array_equal(interactions.training_counts, [0, 1, 0, 0])
    assert interactions.num_untrained_users == 1


@pytest.mark.parametrize("kind", ["leave-one-out", "leave-last-out", "source"])
def test_no_actions(kind: SplitKind) -> None:
    assert _split(_actions([], [], []), kind, withhold_items=0.5).shape == (0,)


@pytest.mark.parametrize("kind", ["leave-last-out", "time", "source"])
def test_what_a_kind_needs(kind: SplitKind) -> None:
    with pytest.raises(ValueError, match="needs"):
        _split(_actions([(0, 0)]), kind)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(ValueError, match="withhold_items"):
        _split(_actions([(0, 0)]), withhold_items=fraction)
