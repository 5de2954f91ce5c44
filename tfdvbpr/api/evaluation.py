"""From runs to figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdvbpr.api.opening import Told, opened_dataset, opened_run, quiet
from tfdvbpr.api.training import train
from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.run import Run

if TYPE_CHECKING:
    import keras

    from tfdvbpr.evaluation.ranking.comparison import Comparison
    from tfdvbpr.evaluation.ranking.experiment import Experiment


def evaluate(
    run: Run | Path | str,
    *,
    split: str = "test",
    cold_threshold: int | None = None,
    k: int = 10,
    lists: bool = True,
    legacy_sampled: bool = False,
    seed: int = 0,
    dataset: Path | None = None,
) -> dict[str, Any]:
    """Exact figures of a run, also written into its folder; see `evaluation.evaluate.evaluate_run`."""
    from tfdvbpr.evaluation.ranking.evaluate import evaluate_run

    return evaluate_run(
        opened_run(run),
        split=split,
        cold_threshold=cold_threshold,
        k=k,
        lists=lists,
        legacy_sampled=legacy_sampled,
        seed=seed,
        dataset=dataset,
    )


def compare(
    runs: Sequence[Run | Path | str] | Mapping[str, Sequence[Run | Path | str]],
    output: Path | str | None = None,
    *,
    split: str = "test",
    metrics: Sequence[str] = ("auc", "auc_cold", "recall@10", "ndcg@10"),
    cold_threshold: int | None = None,
    seed: int = 0,
    if_exists: IfExists = "error",
) -> Comparison:
    """Holds runs against each other on one split, with 95 % intervals and paired tests over users.

    Args:
        runs: runs or their folders. Those that differ in nothing but the seed are taken together; a mapping of labels
            to runs says by itself what belongs together.
        output: a folder for comparison.csv, .md and .png and pairs.csv; left out, nothing is written.
        split: "validation" or "test".
        metrics: such as "auc_cold" or "recall@10".
        cold_threshold: an item with fewer training actions is cold; the paper's 5 when left out.
        seed: of the bootstrap.
        if_exists: "error", or "overwrite" to replace what `output` holds.

    Raises:
        ConfigError: if there is no such metric or part.
        RunError: if the runs are of different datasets or splits, or the part is empty.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.evaluation.ranking.comparison import compare_runs, group_by_seed
    from tfdvbpr.evaluation.ranking.comparison_tables import write_comparison

    if output is not None:
        check_output(Path(output), if_exists=if_exists)
    if isinstance(runs, Mapping):
        groups = {label: [opened_run(run) for run in group] for label, group in runs.items()}
    else:
        groups = group_by_seed([opened_run(run) for run in runs])
    comparison = compare_runs(groups, split=split, metrics=metrics, cold_threshold=cold_threshold, seed=seed)
    if output is not None:
        with whole_directory(Path(output), if_exists=if_exists) as folder:
            write_comparison(comparison, folder)
    return comparison


def experiment(
    file: Path | str,
    output: Path | str,
    *,
    dataset: PreparedDataset | Path | str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: Any = None,
    told: Told = quiet,
) -> Experiment:
    """Trains several models with several seeds and small grids, tuned on validation, tested once.

    Args:
        file: the experiment's YAML file, with the fields of `evaluation.plan.ExperimentPlan`.
        output: the folder to make or to go on with; every cell is a run below output/runs, and report.md, grid.csv and
            comparison/ stand beside them at the end.
        dataset: in the place of the file's.
        callbacks: Keras callbacks of every training, see `train`.
        strategy: a tf.distribute strategy; left out, chosen from TF_CONFIG and the GPUs.
        told: takes a line for people a cell.

    Raises:
        ConfigError: if the file cannot be read or a value in it is wrong.
        DatasetError: if the dataset is none.
        RunError: if `output` holds a run of other values or another dataset, or a part of the split is empty.
    """
    from tfdvbpr.evaluation.ranking.experiment import run_experiment
    from tfdvbpr.evaluation.ranking.experiment_report import write_report
    from tfdvbpr.evaluation.ranking.plan import read_plan

    plan = read_plan(Path(file))
    opened = opened_dataset(plan.dataset if dataset is None else dataset)

    def train_cell(data: PreparedDataset, config: RecommenderConfig, folder: Path) -> Run:
        import keras

        keras.utils.clear_session()  # else the graphs of every cell stay in memory
        return train(data, folder, config=config, callbacks=callbacks, strategy=strategy)

    found = run_experiment(plan, opened, Path(output), train=train_cell, told=told)
    write_report(found, Path(output))
    return found
