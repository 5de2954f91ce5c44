"""From runs to metrics of rankings, of generated images and of designs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdvbpr.api.data import opened_dataset
from tfdvbpr.api.training import opened_gan, opened_run, train
from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.run import GanRun, Run
from tfdvbpr.run.names import distinct_names

if TYPE_CHECKING:
    import keras

    from tfdvbpr.evaluation.designs.evaluate_designs import DesignEvaluation, DesignEvaluationOptions
    from tfdvbpr.evaluation.designs.known_attributes import AttributeEvaluation, AttributeEvaluationOptions
    from tfdvbpr.evaluation.designs.panel import PanelResult
    from tfdvbpr.evaluation.generative.evaluate_gan import GanEvaluation, GanEvaluationOptions
    from tfdvbpr.evaluation.ranking.comparison import Comparison
    from tfdvbpr.evaluation.ranking.experiment import Experiment

Progress = Callable[[int, int], None]


def evaluate(
    run: Run | Path | str,
    metrics: Sequence[str] | None = None,
    *,
    split: str = "test",
    dataset: Path | None = None,
) -> dict[str, Any]:
    """Computes exact metrics of a run, also written into its folder.

    metrics.json holds the means over users, per_user-SPLIT.parquet the values of every user.

    Args:
        run: a trained recommender, or its folder.
        metrics: such as "recall@20"; the default ones of `evaluation.ranking.metrics.METRICS` with k = 10 when left
            out. Novelty, diversity and coverage take longest on a large catalogue.
        split: "validation" or "test".
        dataset: where the run's dataset lies now; where it is not found the visual diversity is None.

    Returns:
        `{"run", "model", "dataset", "split", "num_users", "num_held_out", "num_cold", "auc": {"all", "cold", "warm"},
        "auc_interval", "recall@10", "hit_rate@10", "ndcg@10", "map@10", "mrr", "novelty@10", "diversity@10",
        "coverage@10"}`; "run" is the name of the folder.

    Raises:
        ConfigError: if there is no such metric or part.
        RunError: if the part is empty.
        DatasetError: if `dataset` is not the one the run was trained on.
    """
    from tfdvbpr.evaluation.ranking.evaluate import evaluate_run

    return evaluate_run(opened_run(run), metrics, split=split, dataset=dataset).metrics


def compare(
    runs: Sequence[Run | Path | str] | Mapping[str, Sequence[Run | Path | str]],
    output: Path | str | None = None,
    *,
    split: str = "test",
    metrics: Sequence[str] = ("auc", "auc_cold", "recall@10", "ndcg@10"),
    if_exists: IfExists = "error",
) -> Comparison:
    """Compares runs on one split, with 95 % intervals and paired tests over users.

    Args:
        runs: runs or their folders. Those that differ in nothing but the seed are one model; a mapping of labels to
            runs groups them otherwise.
        output: a folder for comparison.csv, .md and .png and pairs.csv; left out, nothing is written.
        split: "validation" or "test".
        metrics: such as "auc_cold" or "recall@10".
        if_exists: "error", or "overwrite" to replace what `output` holds.

    Raises:
        ConfigError: if there is no such metric or part.
        RunError: if the runs are of different datasets or splits, or the part is empty.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.evaluation.ranking.comparison import compare_runs, group_by_seed, write_comparison

    if output is not None:
        check_output(Path(output), if_exists=if_exists)
    if isinstance(runs, Mapping):
        groups = {label: [opened_run(run) for run in group] for label, group in runs.items()}
    else:
        groups = group_by_seed([opened_run(run) for run in runs])
    comparison = compare_runs(groups, split=split, metrics=metrics)
    _write(output, if_exists, lambda folder: write_comparison(comparison, folder))
    return comparison


def experiment(
    file: Path | str,
    output: Path | str,
    *,
    dataset: PreparedDataset | Path | str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Experiment:
    """Trains several models with several seeds and small grids, tuned on validation, tested once.

    Args:
        file: the experiment's YAML file, with the fields of `evaluation.ranking.experiment.ExperimentPlan`.
        output: the folder to make or to resume in; every cell is a run below output/runs, and report.md, grid.csv and
            comparison/ are beside them at the end.
        dataset: instead of the file's.
        callbacks: Keras callbacks of every training, see `train`.

    Raises:
        ConfigError: if the file cannot be read or a value in it is wrong.
        DatasetError: if the dataset is none.
        RunError: if `output` holds a run of other values or another dataset, or a part of the split is empty.
    """
    from tfdvbpr.evaluation.ranking.experiment import read_plan, run_experiment
    from tfdvbpr.evaluation.ranking.experiment_report import write_report

    plan = read_plan(Path(file))
    opened = opened_dataset(plan.dataset if dataset is None else dataset)

    def train_cell(data: PreparedDataset, config: RecommenderConfig, folder: Path) -> Run:
        import keras

        keras.utils.clear_session()  # else the graphs of every cell stay in memory
        return train(data, folder, config=config, callbacks=callbacks)

    found = run_experiment(plan, opened, Path(output), train=train_cell)
    write_report(found, Path(output))
    return found


def evaluate_gan(
    gan_runs: Sequence[GanRun | Path | str],
    dataset: PreparedDataset | Path | str,
    output: Path | str | None = None,
    *,
    options: GanEvaluationOptions | None = None,
    progress: Progress | None = None,
    if_exists: IfExists = "error",
) -> GanEvaluation:
    """Compares images of GANs with real photos: FID, KID, accuracy, diversity, memorisation and more.

    Args:
        gan_runs: GAN runs or their folders.
        dataset: the one they were trained on, or its folder.
        output: a folder for metrics.json, .csv and .md, categories.csv and sample grids; left out, nothing is written.
        options: extractor, number of samples, seed.
        progress: called with (done, total) of each slow part.
        if_exists: "error", or "overwrite" to replace what `output` holds.

    Raises:
        ConfigError: if the extractor is unknown, is the network of a discriminator, or its weights are unavailable.
        DatasetError: if the dataset's image size or categories are not those of a GAN.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.evaluation.generative.evaluate_gan import REAL, compare_gans
    from tfdvbpr.evaluation.generative.gan_report import write_gan_report

    if output is not None:
        check_output(Path(output), if_exists=if_exists)
    opened = [opened_gan(run) for run in gan_runs]
    names = distinct_names([run.path for run in opened], taken=[REAL])
    evaluation = compare_gans(
        dict(zip(names, opened, strict=True)), opened_dataset(dataset), options=options, progress=progress
    )
    _write(output, if_exists, lambda folder: write_gan_report(evaluation, folder))
    return evaluation


def evaluate_designs(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    output: Path | str | None = None,
    *,
    second_run: Run | Path | str | None = None,
    dataset: PreparedDataset | Path | str | None = None,
    options: DesignEvaluationOptions | None = None,
    panel: int = 0,
    progress: Progress | None = None,
    if_exists: IfExists = "error",
) -> DesignEvaluation:
    """Compares designs with real items and random images: preference, realism, diversity and more.

    Args:
        run: the recommender that is ascended, or its folder.
        gan_run: a GAN run or its folder.
        output: a folder for designs.json, .csv and .md, tests.csv, designs.png and ghosts.png; left out, nothing is
            written. Until it is complete, finished blocks of designs are beside it, with which an interrupted call is
            resumed.
        second_run: a recommender of the same dataset, trained with another seed and backbone, that is not ascended.
        dataset: the GAN's, if it has been moved.
        options: users, η, starts, steps, extractor, seed.
        panel: pairs of images of a blind panel, written into `output`/panel: panel.html for people, key.csv for
            `evaluate_panel`; 0 for none. One a request at most.
        progress: called with (done, total) of each slow part.
        if_exists: "error", or "overwrite" to replace what `output` holds.

    Raises:
        ConfigError: if an option is wrong, the extractor's weights are unavailable, or a panel has no `output`.
        RunError: if a run does not learn from pixels, or the second is of another dataset.
        DatasetError: if the dataset is not that of the GAN.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.evaluation.designs.design_report import write_design_report
    from tfdvbpr.evaluation.designs.evaluate_designs import compare_designs
    from tfdvbpr.evaluation.designs.panel import panel_pairs
    from tfdvbpr.reporting.panel import write_panel

    if panel < 0 or (panel and output is None):
        raise ConfigError(
            f"`panel` must be 0, or a number of pairs together with an `output`. Received {panel} and {output}."
        )
    cache = None
    if output is not None:
        check_output(Path(output), if_exists=if_exists)
        cache = Path(output).with_name(f".{Path(output).name}.designs")
    evaluation = compare_designs(
        opened_run(run),
        opened_gan(gan_run),
        second_run=None if second_run is None else opened_run(second_run),
        dataset=None if dataset is None else opened_dataset(dataset),
        options=options,
        cache=cache,
        progress=progress,
    )
    pairs = panel_pairs(evaluation, panel, seed=evaluation.options.seed) if panel else []

    def write(folder: Path) -> None:
        write_design_report(evaluation, folder)
        if pairs:
            write_panel(pairs, evaluation.photos.dataset, folder / "panel")

    _write(output, if_exists, write)
    if cache is not None:
        shutil.rmtree(cache, ignore_errors=True)
    return evaluation


def evaluate_panel(panel: Path | str, choices: Sequence[Path | str]) -> list[PanelResult]:
    """Tests what people chose in the panel of `evaluate_designs`: how often it was the design.

    Args:
        panel: the folder with key.csv.
        choices: the files that people saved, one each: pair, and left, right or nothing for "cannot say".

    Returns:
        One result against random images and one against best real items.

    Raises:
        SourceError: if a file cannot be read, or does not fit the key.

    Example:
        >>> for result in evaluate_panel("designs/panel", ["anna.csv", "ben.csv"]):  # doctest: +SKIP
        ...     print(result.baseline, result.design_share, result.p_value)
    """
    from tfdvbpr.evaluation.designs.panel import panel_results
    from tfdvbpr.reporting.panel import KEY_NAME

    return panel_results(Path(panel) / KEY_NAME, [Path(path) for path in choices])


def evaluate_attributes(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    truth: Path | str,
    output: Path | str | None = None,
    *,
    dataset: PreparedDataset | Path | str | None = None,
    options: AttributeEvaluationOptions | None = None,
    if_exists: IfExists = "error",
) -> AttributeEvaluation:
    """Measures how often designs show attributes that simulated users are known to like, by steps and η.

    Args:
        run: a recommender trained on a synthetic dataset, or its folder.
        gan_run: a GAN trained on it, or its folder.
        truth: the synthetic source, kept by the option `keep_source` of the synthetic importer.
        output: a folder for attributes.json, .csv, .md and .png; left out, nothing is written.
        dataset: the GAN's, if it has been moved.
        options: users, steps, η, seed.
        if_exists: "error", or "overwrite" to replace what `output` holds.

    Raises:
        SourceError: if `truth` has no truth.
        RunError: if the run does not learn from pixels, or knows fewer than four of the users.
        DatasetError: if the dataset is no synthetic one.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.data.synthetic.source import read_truth
    from tfdvbpr.evaluation.designs.known_attributes import compare_with_known_attributes, write_attribute_report

    if output is not None:
        check_output(Path(output), if_exists=if_exists)
    evaluation = compare_with_known_attributes(
        opened_run(run),
        opened_gan(gan_run),
        read_truth(truth),
        dataset=None if dataset is None else opened_dataset(dataset),
        options=options,
    )
    _write(output, if_exists, lambda folder: write_attribute_report(evaluation, folder))
    return evaluation


def _write(output: Path | str | None, if_exists: IfExists, write: Callable[[Path], None]) -> None:
    if output is not None:
        with whole_directory(Path(output), if_exists=if_exists) as folder:
            write(folder)
