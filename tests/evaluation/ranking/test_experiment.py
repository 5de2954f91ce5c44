from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.ranking.experiment import read_plan
from tfdvbpr.run import Run

PLAN: dict[str, Any] = {
    "dataset": "shop.dataset",
    "seeds": [3, 4],
    "metrics": ["auc", "ndcg@3"],
    "models": [
        {"name": "popular", "model": "popularity"},
        {
            "name": "factors",
            "model": "bpr-mf",
            "config": {"embedding_dim": 4, "global_batch_size": 16, "epochs": 1},
            "grid": {"user_l2": [100.0, 0.01], "user_learning_rate": [0.02]},
        },
    ],
}


def _write(folder: Path, plan: Any) -> Path:
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def finished(
    checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, list[str], Any]:
    """The file, the folder, the log lines and the result."""
    folder = tmp_path_factory.mktemp("experiment")
    file = _write(folder, PLAN)
    with _log_lines() as lines:
        found = api.experiment(file, folder / "out", dataset=checkerboard_dataset)
    return file, folder / "out", lines, found


@contextmanager
def _log_lines() -> Iterator[list[str]]:
    """The lines that an experiment logs."""
    lines: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger("tfdvbpr.evaluation.ranking.experiment")
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_every_cell_is_a_run_and_a_line(finished: tuple[Path, Path, list[str], Any]) -> None:
    _, output, lines, found = finished
    cells = {str(path.parent.relative_to(output / "runs")) for path in output.glob("runs/*/*/*/manifest.json")}
    chosen = f"user_l2={found.chosen['factors'].values['user_l2']},user_learning_rate=0.02"
    assert cells == {
        "popular/base/seed-3",
        "factors/user_l2=0.01,user_learning_rate=0.02/seed-3",
        "factors/user_l2=100.0,user_learning_rate=0.02/seed-3",
        f"factors/{chosen}/seed-4",
    }
    assert [line.split(" ")[0] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    assert lines[0].startswith("1/4 popular seed 3: trained, validation auc 0.")
    assert lines[3].startswith(f"4/4 factors {chosen} seed 4: trained")
    configs = {
        path.parent.name: Run.open(path.parent).config for path in output.glob(f"runs/factors/{chosen}/*/m*.json")
    }
    assert {name: config.seed for name, config in configs.items()} == {"seed-3": 3, "seed-4": 4}
    assert all(config.epochs == 1 and config.embedding_dim == 4 for config in configs.values())


def test_is_tuned_on_validation_and_tested_once(finished: tuple[Path, Path, list[str], Any]) -> None:
    _, output, _, found = finished
    grid = pl.read_csv(output / "grid.csv")
    assert grid["name"].to_list() == ["popular", "factors", "factors"]
    factors = grid.filter(pl.col("name") == "factors")
    best = factors.filter(pl.col("validation_auc_all") == factors["validation_auc_all"].max()).row(0, named=True)
    assert best["chosen"]
    assert json.loads(best["values"]) == found.chosen["factors"].values
    assert factors["chosen"].sum() == 1
    for name in ("validation_auc_cold", "validation_recall@10", "validation_ndcg@10", "validation_mrr"):
        assert grid[name].is_not_null().all()
    tested = {path.parent for path in output.glob("runs/*/*/*/per_user-test.parquet")}
    assert tested == {run.path for runs in found.runs.values() for run in runs}
    assert len(tested) == 3


def test_the_report_holds_table_values_and_grid(finished: tuple[Path, Path, list[str], Any]) -> None:
    _, output, _, found = finished
    assert {path.name for path in output.iterdir()} == {"runs", "comparison", "report.md", "grid.csv"}
    text = (output / "report.md").read_text(encoding="utf-8")
    assert found.comparison.split == "test"
    assert found.comparison.metrics == ("auc", "ndcg@3")
    for model, seeds in (("popular", 1), ("factors", 2)):
        cell = found.comparison.cell(model, "auc")
        assert cell["seeds"] == seeds
        assert f"{cell['mean']:.4f}" in text
    assert "user_l2=100.0, user_learning_rate=0.02" in text
    assert "embedding_dim=4, global_batch_size=16, epochs=1" in text
    assert f"**{found.chosen['factors'].score:.4f}**" in text
    assert (output / "comparison" / "comparison.png").is_file()


def test_an_interrupted_experiment_is_resumed(
    finished: tuple[Path, Path, list[str], Any], checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    file, output, _, found = finished
    copy = Path(shutil.copytree(output, tmp_path / "out"))
    (copy / "report.md").unlink()
    shutil.rmtree(copy / "runs" / "popular")
    with _log_lines() as lines:
        again = api.experiment(file, copy, dataset=checkerboard_dataset)
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["trained", "kept", "kept", "kept"]
    assert again.comparison.table.equals(found.comparison.table)
    assert (copy / "report.md").read_text() == (output / "report.md").read_text()


def test_runs_of_other_values_are_refused(
    finished: tuple[Path, Path, list[str], Any], checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    _, output, _, _ = finished
    models = [{**PLAN["models"][1], "config": {"embedding_dim": 5}}]
    with pytest.raises(RunError, match=r"factors.user_l2=100\.0.* trained with other values"):
        api.experiment(_write(tmp_path, {**PLAN, "models": models}), output, dataset=checkerboard_dataset)


def test_metrics_that_no_user_has_cannot_be_tuned_by(
    finished: tuple[Path, Path, list[str], Any], checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    """On the checkerboard every validation item is cold."""
    _, output, _, _ = finished
    plan = {**PLAN, "models": PLAN["models"][:1], "tune_by": "auc_warm"}
    with pytest.raises(RunError, match="No user has auc_warm"):
        api.experiment(_write(tmp_path, plan), output, dataset=checkerboard_dataset)


def _with(**model: Any) -> dict[str, Any]:
    return {"models": [{"name": "a", "model": "bpr-mf", **model}]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dataset": None}, "`dataset`"),
        ({"models": []}, "`models`"),
        ({"colour": 1}, "`colour`"),
        ({"tune_by": "accuracy"}, "Received 'accuracy'"),
        ({"metrics": ["recall"]}, "Received 'recall'"),
        ({"seeds": [1, 1]}, "`seeds` must be different"),
        ({"models": [*PLAN["models"], PLAN["models"][0]]}, "`models` must have different names"),
        (_with(model="svd"), "one of .*dvbpr, .*Received 'svd'"),
        (_with(name="../a"), "`models.0.name`"),
        (_with(config={"epoch": 3}), "`epoch` is no field of the configuration"),
        (_with(config={"seed": 3}), "`seed` of a must stand outside"),
        (_with(grid={"epochs": [1, -1]}), "`epochs` has a wrong value"),
        (_with(grid={"epochs": []}), "`grid` of a must have values for epochs"),
        (_with(grid={"epochs": [1, 1]}), "`grid` of a must hold each value once"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_trained(changed: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_plan(_write(tmp_path, {**PLAN, **changed}))


def test_no_file_and_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="FILE must be the YAML file"):
        read_plan(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="valid dictionary"):
        read_plan(_write(tmp_path, ["dataset"]))


def test_the_dataset_lies_beside_the_file(tmp_path: Path) -> None:
    assert read_plan(_write(tmp_path, PLAN)).dataset == str(tmp_path / "shop.dataset")
    absolute = {**PLAN, "dataset": str(tmp_path / "elsewhere")}
    assert read_plan(_write(tmp_path, absolute)).dataset == str(tmp_path / "elsewhere")


def test_the_guides_file_is_one(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "from-data-to-server.md").read_text(encoding="utf-8")
    file = tmp_path / "shop.yaml"
    file.write_text(guide.split("```yaml\n# shop.yaml\n")[1].split("```")[0], encoding="utf-8")
    plan = read_plan(file)
    assert [len(model.cells()) for model in plan.models] == [1, 4]
