from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError, OutputExistsError, RunError
from tfdvbpr.evaluation.ranking.comparison import _plot, compare_evaluations, group_by_seed, markdown
from tfdvbpr.evaluation.ranking.evaluate import Evaluation
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import Run

PNG = b"\x89PNG"


def _evaluation(values: np.ndarray, **more: np.ndarray) -> Evaluation:
    users = [f"u{user}" for user in range(len(values))]
    table = pl.DataFrame({"user_id": users, "auc": values, **more}, nan_to_null=True)
    return Evaluation({"dataset": "made up", "split": "test"}, table)


@pytest.fixture
def users() -> np.ndarray:
    return np.random.default_rng(0).random(200) * 0.5


def test_the_best_is_marked_where_it_wins_every_pair(users: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(0, 0.02, 200)
    groups = {
        "low": [_evaluation(users)],
        "high": [_evaluation(users + 0.1 + noise)],
        "mid": [_evaluation(users + 0.05)],
    }
    comparison = compare_evaluations(groups, ["auc"])
    assert [comparison.cell(model, "auc")["best"] for model in ("low", "high", "mid")] == [False, True, False]
    assert comparison.cell("low", "auc")["mean"] == pytest.approx(users.mean())
    pairs = comparison.pairs
    assert pairs["first"].to_list() == ["low", "low", "high"]
    assert pairs["winner"].to_list() == ["high", "mid", "high"]
    assert pairs["difference"][1] == pytest.approx(-0.05)
    assert (pairs["low"][1], pairs["high"][1]) == (pytest.approx(-0.05), pytest.approx(-0.05))
    assert (pairs["adjusted"] >= pairs["p_value"]).all()
    assert "**" in markdown(comparison)


def test_nothing_is_marked_where_the_first_two_differ_by_chance(users: np.ndarray) -> None:
    noise = np.random.default_rng(2).normal(0, 0.05, 200)
    close = users + 0.1 + noise - noise.mean() + 1e-4
    groups = {"low": [_evaluation(users)], "a": [_evaluation(users + 0.1)], "b": [_evaluation(close)]}
    comparison = compare_evaluations(groups, ["auc"])
    assert not comparison.table["best"].any()
    assert comparison.pairs["winner"].to_list() == ["a", "b", None]


def test_a_mean_against_its_ranks_wins_nothing() -> None:
    """One user gains a lot and thirty lose a little: higher mean, but the ranks speak for the other."""
    base = np.full(31, 0.2)
    odd = base - 0.001 - np.arange(31) * 1e-5
    odd[-1] = 1.0
    comparison = compare_evaluations({"base": [_evaluation(base)], "odd": [_evaluation(odd)]}, ["auc"])
    assert comparison.cell("odd", "auc")["mean"] > comparison.cell("base", "auc")["mean"]
    assert comparison.pairs["adjusted"][0] < 0.05
    assert comparison.pairs["winner"].to_list() == [None]


def test_seeds_are_averaged_for_each_user_first(users: np.ndarray) -> None:
    wobble = np.random.default_rng(3).normal(0, 0.1, 200)
    seeds = [_evaluation(users + 0.01 + wobble), _evaluation(users + 0.03 - wobble)]
    comparison = compare_evaluations({"two": seeds, "one": [_evaluation(users)]}, ["auc"])
    two = comparison.cell("two", "auc")
    assert two["seeds"] == 2
    assert two["mean"] == pytest.approx(users.mean() + 0.02)
    means = [users.mean() + 0.01 + wobble.mean(), users.mean() + 0.03 - wobble.mean()]
    assert two["seed_sd"] == pytest.approx(abs(means[0] - means[1]) / np.sqrt(2))
    assert two["best"]  # without the average, the wobble would hide the difference
    assert comparison.cell("one", "auc")["seed_sd"] is None


def test_users_without_a_value_are_left_out(users: np.ndarray) -> None:
    cold = np.where(np.arange(200) < 50, users, np.nan)
    empty = np.full(200, np.nan)
    models = {
        "a": [_evaluation(users, auc_cold=cold, auc_warm=empty)],
        "b": [_evaluation(users, auc_cold=cold + 0.1, auc_warm=empty)],
    }
    comparison = compare_evaluations(models, ["auc_cold", "auc_warm"])
    assert comparison.cell("b", "auc_cold")["users"] == 50
    assert comparison.cell("b", "auc_cold")["best"]
    assert comparison.cell("a", "auc_warm")["mean"] is None
    assert comparison.pairs.height == 1
    assert "| – |" in markdown(comparison)


def test_more_diverse_is_not_better(users: np.ndarray) -> None:
    models = {
        "a": [_evaluation(users, **{"diversity@10": users})],
        "b": [_evaluation(users, **{"diversity@10": users + 0.1})],
    }
    comparison = compare_evaluations(models, ["diversity@10"])
    assert comparison.pairs["winner"].to_list() == ["b"]
    assert not comparison.table["best"].any()


Train = Callable[..., Run]


@pytest.fixture(scope="module")
def runs(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Two runs of VisRank that differ in the seed alone, one with another unused value, and popularity."""
    folder = tmp_path_factory.mktemp("compared")
    wanted = {
        "visrank-0": recommender_config("visrank"),
        "visrank-1": recommender_config("visrank", seed=1),
        "visrank-other": recommender_config("visrank", dropout=0.5),
        "popularity": recommender_config("popularity"),
    }
    return {name: api.train(checkerboard_dataset, folder / name, config=config) for name, config in wanted.items()}


def test_runs_that_differ_in_the_seed_are_one_model(runs: dict[str, Run]) -> None:
    labels = {label: [run.path.name for run in group] for label, group in group_by_seed(list(runs.values())).items()}
    assert labels == {
        "visrank-0, visrank-1 (visrank, dropout=0.2)": ["visrank-0", "visrank-1"],
        "visrank-other (visrank, dropout=0.5)": ["visrank-other"],
        "popularity": ["popularity"],
    }


def test_from_run_folders_to_tables(runs: dict[str, Run], tmp_path: Path) -> None:
    output = tmp_path / "compared"
    compared = [runs["visrank-0"].path, str(runs["visrank-1"].path), runs["popularity"]]
    comparison = api.compare(compared, output, metrics=("auc", "recall@3", "novelty@3"))
    visrank = "visrank-0, visrank-1 (visrank)"
    assert comparison.models == (visrank, "popularity")
    assert comparison.cell(visrank, "auc")["mean"] == api.evaluate(runs["visrank-0"])["auc"]["all"] == 1.0
    assert comparison.cell(visrank, "auc")["best"]  # 8 users, all won: p = 2 / 2^8, times 3 pairs
    assert comparison.cell(visrank, "auc")["seed_sd"] == 0.0
    assert {path.name for path in output.iterdir()} == {
        "comparison.csv",
        "comparison.md",
        "comparison.png",
        "pairs.csv",
    }
    text = (output / "comparison.md").read_text()
    assert f"| {visrank} | 2 | **1.0000** ± 0.0000 [1.0000, 1.0000] |" in text
    assert "over the 3 pairs" in text
    assert pl.read_csv(output / "comparison.csv").height == 6
    assert (output / "comparison.png").read_bytes().startswith(PNG)
    with pytest.raises(OutputExistsError):
        api.compare(compared, output)
    labelled = api.compare({"a": compared[:1], "b": compared[2:]}, split="validation", metrics=["auc"])
    assert (labelled.models, labelled.split) == (("a", "b"), "validation")


def test_the_plot_has_room_for_long_names(users: np.ndarray) -> None:
    long = "a folder with a name that nobody wants to type twice (dvbpr, embedding_dim=64, epochs=30, …)"
    few = compare_evaluations({"a": [_evaluation(users)], "b": [_evaluation(users)]}, ["auc"])
    many = compare_evaluations({long: [_evaluation(users)], "b": [_evaluation(users)]}, ["auc"])
    figure = _plot(many)
    figure.draw_without_rendering()
    assert figure.get_figheight() > _plot(few).get_figheight()
    edges = figure.get_window_extent()
    names = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(name.x0 >= edges.x0 and name.y0 >= edges.y0 for name in names)
    assert names[0].y0 >= names[1].y1, "labels do not overlap"
    assert figure.axes[0].get_window_extent().width > 0.5 * 2.9 * figure.dpi


def test_invalid_comparisons_are_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of auc, auc_cold"):
        api.compare([runs["popularity"]], metrics=["accuracy"])
    with pytest.raises(ConfigError, match="a value for each user"):
        api.compare([runs["popularity"]], metrics=["coverage@3"])
    with pytest.raises(ConfigError, match="at least one"):
        api.compare([runs["popularity"]], metrics=[])
    with pytest.raises(ConfigError, match="validation, test"):
        api.compare([runs["popularity"]], split="train")
    with pytest.raises(RunError, match="at least one run"):
        api.compare([])
    copy = Path(shutil.copytree(runs["popularity"].path, tmp_path / "copy"))
    manifest = (copy / "manifest.json").read_text()
    fingerprint = runs["popularity"].manifest.dataset_fingerprint
    (copy / "manifest.json").write_text(manifest.replace(fingerprint, "another"))
    with pytest.raises(RunError, match=r"of one dataset .* \(another\)"):
        api.compare([runs["visrank-0"], copy])
    (copy / "manifest.json").write_text(manifest)
    own = runs["popularity"].interactions
    moved = np.where(own.splits == Split.TEST, Split.VALIDATION, own.splits).astype(np.uint8)
    Interactions(own.user_ids, own.item_ids, moved, own.num_users, own.num_items).write(copy / "interactions.parquet")
    with pytest.raises(RunError, match="hold out the same actions"):
        api.compare([runs["visrank-0"], copy])
