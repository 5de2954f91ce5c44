"""A recommender and a metric of another distribution, from training to an answer over gRPC."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_data import Command

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import RunError
from tfdvbpr.evaluation.ranking.metrics import METRICS
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config
from tfdvbpr.run import Run
from tfdvbpr_export import export_recommender
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.server.server import LocalServer

SITE = Path(__file__).parent / "site"
NAME, METRIC = "plain-mf", "squared_auc"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the distribution, a module and its dist-info folder, on the search path."""
    monkeypatch.syspath_prepend(str(SITE))


def test_it_is_listed_behind_the_built_in_ones(command: Command) -> None:
    assert list(RECOMMENDERS)[-1] == NAME
    assert METRIC in METRICS
    code, text, _ = command("config", NAME)
    assert code == 0
    assert "user_l2: 0.05" in text


def test_it_goes_the_whole_way(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config(NAME, embedding_dim=4, epochs=25)
    run = api.train(checkerboard_dataset, tmp_path / "run", config=config)
    other = api.train(checkerboard_dataset, tmp_path / "popularity", config=recommender_config("popularity"))

    assert f"'{METRIC}'" in str(api.evaluate(run, metrics=["auc", METRIC]))
    api.compare([run, other], tmp_path / "comparison", metrics=["auc", METRIC])
    assert METRIC in (tmp_path / "comparison" / "comparison.md").read_text(encoding="utf-8")

    opened = Run.open(run.path)
    assert opened.model_class is RECOMMENDERS[NAME]
    np.testing.assert_array_equal(opened.recommender.item_embeddings.numpy(), opened.factors.item_embeddings)
    even, odd = opened.factors.scores_for(opened.fold_in([["i0", "i2"], ["i1", "i3"]]))
    assert even[0::2].mean() - even[1::2].mean() > odd[0::2].mean() - odd[1::2].mean()
    with pytest.raises(RunError, match="must be of a model that"):
        api.update_items(opened, tmp_path, tmp_path / "larger")

    export_recommender(run.path, tmp_path / "served")
    with LocalServer({"recommender": tmp_path / "served"}) as server, Client(server.target) as client:
        (answer,) = client.recommend(["u2"], k=3)
    expected = opened.recommend("u2", k=3)
    assert list(answer.item_ids) == [item.item_id for item in expected]


def test_a_run_without_its_distribution_says_so(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recommender_config(NAME, embedding_dim=4, epochs=1)
    run = api.train(checkerboard_dataset, tmp_path / "run", config=config)
    with monkeypatch.context() as patch:
        patch.setattr("sys.path", [folder for folder in sys.path if folder != str(SITE)])
        with pytest.raises(RunError, match=r"must be of a known recommender.*Received plain-mf\. Install the"):
            _ = Run.open(run.path).model_class
