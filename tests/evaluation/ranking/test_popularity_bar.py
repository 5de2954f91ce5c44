from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.evaluate import check_stop_metric
from tfdvbpr.evaluation.ranking.popularity_bar import popularity_bar, sample_users
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.models.recommenders.factors import Factors


def _interactions() -> Interactions:
    """Four users and thirteen items. Item 0 has three training actions; items 1 to 4 are held out for one user each."""
    rows = [(0, 5, Split.TRAIN), (1, 0, Split.TRAIN), (2, 0, Split.TRAIN), (3, 0, Split.TRAIN)]
    rows += [(0, 0, Split.VALIDATION), (1, 1, Split.VALIDATION), (2, 2, Split.VALIDATION), (3, 3, Split.VALIDATION)]
    users, items, splits = (np.array(column) for column in zip(*sorted(rows), strict=True))
    return Interactions(users.astype(np.int32), items.astype(np.int32), splits.astype(np.uint8), 4, 13)


def _scores(table: np.ndarray) -> Factors:
    return Factors(table.astype(np.float32), np.eye(13, dtype=np.float32), np.zeros(13, np.float32))


def test_it_is_the_difference_of_means_for_the_same_users() -> None:
    interactions = _interactions()
    perfect = _scores(interactions.matrix(Split.VALIDATION).toarray())
    bar = popularity_bar(perfect, interactions, Split.VALIDATION, "mrr")
    assert bar is not None
    # Popularity ranks item 0 first for user 0. Users 1 to 3 have acted on it; item 5 comes first, then 11 that tie.
    tied = np.mean([1 / position for position in range(2, 13)])
    assert bar.value == pytest.approx(1.0)
    assert bar.popularity == pytest.approx((1 + 3 * tied) / 4)
    assert bar.gain.mean == pytest.approx(bar.value - bar.popularity)
    assert bar.gain.low <= bar.gain.mean <= bar.gain.high


def test_there_is_none_where_no_user_has_the_value() -> None:
    interactions = _interactions()
    assert popularity_bar(_scores(np.zeros((4, 13))), interactions, Split.TEST, "recall@10") is None


def test_a_large_catalogue_is_evaluated_on_a_sample_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfdvbpr.evaluation.ranking.popularity_bar._MAX_SCORES", 26)
    monkeypatch.setattr("tfdvbpr.evaluation.ranking.popularity_bar._MIN_USERS", 1)
    sampled, num_users = sample_users(_interactions(), Split.VALIDATION)
    assert num_users == 4
    assert len(sampled.of(Split.VALIDATION)[0]) == 2
    assert len(sampled.of(Split.WITHHELD)[0]) == 2
    np.testing.assert_array_equal(sampled.training_counts, _interactions().training_counts)


def _train(dataset: PreparedDataset, output: Path, caplog: pytest.LogCaptureFixture, scores: np.ndarray) -> list[str]:
    """Warnings of a training whose item biases are replaced by scores."""
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING, "tfdvbpr"):
        kind = "tfdvbpr.models.recommenders.closed_form.VisRank.closed_form"
        users, items = dataset.interactions.num_users, dataset.interactions.num_items
        factors = Factors(np.zeros((users, 1), np.float32), np.zeros((items, 1), np.float32), scores.astype(np.float32))
        patch.setattr(kind, lambda *arguments: factors)
        api.train(dataset, output, config=recommender_config("visrank"))
    return [record.getMessage() for record in caplog.records if "Popularity" in record.getMessage()]


def test_training_warns_where_popularity_is_better(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held_out = checkerboard_dataset.interactions.of(Split.VALIDATION)[1]
    counts = checkerboard_dataset.interactions.training_counts
    against = np.where(np.isin(np.arange(len(counts)), held_out), -1.0, 1.0)
    warnings = _train(checkerboard_dataset, tmp_path / "worse", caplog, against)
    assert any("better validation auc" in each for each in warnings)
    caplog.clear()
    assert _train(checkerboard_dataset, tmp_path / "better", caplog, -against) == []


@pytest.mark.parametrize("name", ["coverage@10", "novelty@10", "accuracy"])
def test_a_metric_that_cannot_choose_an_epoch_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        check_stop_metric(name)
