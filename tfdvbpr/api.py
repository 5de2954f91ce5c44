"""What people call: one function a command, from a source folder to designs.

Each function is the command of the same name without the command line. Validation during training is put together here,
so that training itself never imports evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tfdvbpr.config import GanConfig, RecommenderConfig, recommender_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.description import Description, describe_dataset
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.importers.fashion_mnist import DEBIAN_FOLDER, FashionMnistOptions, read_fashion_mnist
from tfdvbpr.data.interactions import COLD_THRESHOLD
from tfdvbpr.data.packing import Progress
from tfdvbpr.data.prepare import PrepareOptions
from tfdvbpr.data.prepare import prepare as prepare_source
from tfdvbpr.data.synthetic import SyntheticOptions, write_synthetic
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import check_output, whole_directory
from tfdvbpr.run import GanRun, Run

if TYPE_CHECKING:
    from tfdvbpr.evaluation.compare import Comparison
    from tfdvbpr.evaluation.experiment import Experiment

Told = Callable[[str], None]


def _quiet(line: str) -> None:
    """Takes a line for people and says nothing."""


def prepare(
    source: Path | str,
    output: Path | str,
    *,
    source_format: str = "folder",
    options: PrepareOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Imports a source into a prepared dataset; see `tfdvbpr prepare --help`.

    Args:
        source: what the importer reads.
        output: the dataset folder to make.
        source_format: a name in IMPORTERS.
        options: picture size, fit, split.
        overwrite: replace a folder that is already there.
        progress: called with (pictures read, pictures in all).

    Raises:
        ConfigError: if there is no such importer.
        SourceError: if the source cannot be imported at all.
        OutputExistsError: if `output` holds something already.
    """
    if source_format not in IMPORTERS:
        known = ", ".join([*IMPORTERS, "synthetic"])
        raise ConfigError(f"`format` must be one of {known}. Received {source_format!r}.")
    check_output(Path(output), overwrite=overwrite)
    return prepare_source(
        IMPORTERS[source_format](Path(source)),
        Path(output),
        options=options or PrepareOptions(),
        source_format=source_format,
        overwrite=overwrite,
        progress=progress,
    )


def prepare_synthetic(
    output: Path | str,
    *,
    synthetic: SyntheticOptions | None = None,
    options: PrepareOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    keep_source: Path | str | None = None,
) -> PreparedDataset:
    """Renders garments, simulates shoppers and prepares them like any folder.

    Args:
        output: the dataset folder to make.
        synthetic: how many items and users, and the seed.
        options: picture size, fit, split.
        overwrite: replace a folder that is already there.
        progress: called with (pictures drawn, pictures in all).
        keep_source: a new or empty folder in which to keep the source, with the truth about the shoppers' tastes.

    Raises:
        OutputExistsError: if `output` or `keep_source` holds something already.
    """
    options = options or PrepareOptions()
    synthetic = synthetic or SyntheticOptions(image_size=max(options.image_size), seed=options.seed)
    check_output(Path(output), overwrite=overwrite)
    with TemporaryDirectory() as scratch:
        if keep_source is not None:
            check_output(Path(keep_source))
        source = Path(keep_source) if keep_source is not None else Path(scratch) / "synthetic"
        write_synthetic(source, synthetic, progress=progress)
        return prepare_source(
            IMPORTERS["folder"](source),
            Path(output),
            options=options,
            source_format="synthetic",
            overwrite=overwrite,
        )


def prepare_fashion_mnist(
    output: Path | str,
    *,
    source: Path | str | None = None,
    fashion_mnist: FashionMnistOptions | None = None,
    options: PrepareOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Prepares Fashion-MNIST with simulated shoppers.

    Args:
        output: the dataset folder to make.
        source: a folder with the four IDX files; left out, Debian's, or else what Keras fetches.
        fashion_mnist: how many photos and shoppers, and the seed.
        options: picture size, fit, split.
        overwrite: replace a folder that is already there.
        progress: called with (pictures read, pictures in all).

    Raises:
        SourceError: if the files are missing or damaged.
        OutputExistsError: if `output` holds something already.
    """
    options = options or PrepareOptions()
    check_output(Path(output), overwrite=overwrite)
    return prepare_source(
        read_fashion_mnist(
            DEBIAN_FOLDER if source is None else Path(source), fashion_mnist or FashionMnistOptions(seed=options.seed)
        ),
        Path(output),
        options=options,
        source_format="fashion-mnist",
        overwrite=overwrite,
        progress=progress,
    )


def describe(
    dataset: PreparedDataset | Path | str,
    *,
    output: Path | str | None = None,
    cold_threshold: int = COLD_THRESHOLD,
    seed: int = 0,
    overwrite: bool = False,
) -> Description:
    """Counts what a dataset holds and, with `output`, draws its long tail and a contact sheet.

    Args:
        dataset: a prepared dataset or its folder.
        output: a folder to make, with long_tail.png, contact_sheet.png and description.json; left out, nothing is
            written.
        cold_threshold: an item with fewer training actions is cold.
        seed: which items the contact sheet shows.
        overwrite: replace a folder that is already there.

    Raises:
        DatasetError: if `dataset` is no prepared dataset.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.data import description_pictures as pictures

    opened = _opened(dataset)
    told = describe_dataset(opened, cold_threshold=cold_threshold)
    if output is not None:
        with whole_directory(Path(output), overwrite=overwrite) as folder:
            pictures.draw_long_tail(
                opened.interactions, folder / pictures.LONG_TAIL_NAME, cold_threshold=cold_threshold
            )
            pictures.draw_contact_sheet(opened, folder / pictures.CONTACT_SHEET_NAME, seed=seed)
            text = json.dumps(told.as_dict(), indent=2, ensure_ascii=False)
            (folder / "description.json").write_text(text + "\n", encoding="utf-8")
    return told


def train(
    dataset: PreparedDataset | Path | str,
    output: Path | str,
    *,
    config: RecommenderConfig | None = None,
    observer: Any = None,
    strategy: Any = None,
    overwrite: bool = False,
    restart: bool = False,
    told: Told = _quiet,
) -> Run:
    """Trains a recommender, choosing its epoch by validation AUC, and writes a run folder.

    Args:
        dataset: a prepared dataset or its folder.
        output: the run folder to make.
        config: left out, DVBPR's defaults.
        observer: told how training stands about twice a second.
        strategy: a tf.distribute strategy; left out, chosen from TF_CONFIG and the GPUs.
        overwrite: replace a run that is already there.
        restart: forget an interrupted training of the same output.
        told: takes lines for people.

    Raises:
        ConfigError: if a name in the configuration is unknown.
        OutputExistsError: if `output` holds something already.
        RunError: if a different training was interrupted at the same output.
    """
    from tfdvbpr.evaluation.evaluate import validation_figures
    from tfdvbpr.training.recommender_trainer import train_recommender

    opened = _opened(dataset)
    validate = None
    if opened.manifest.num_validation:

        def validate(factors: Any) -> dict[str, float]:
            return validation_figures(factors, opened.interactions)

    return train_recommender(
        opened,
        config or recommender_config("dvbpr"),
        Path(output),
        validate=validate,
        observer=observer,
        strategy=strategy,
        overwrite=overwrite,
        restart=restart,
        told=told,
    )


def train_gan(
    dataset: PreparedDataset | Path | str,
    output: Path | str,
    *,
    config: GanConfig | None = None,
    observer: Any = None,
    strategy: Any = None,
    overwrite: bool = False,
    restart: bool = False,
    told: Told = _quiet,
) -> GanRun:
    """Trains a category-conditional GAN on a dataset's pictures and writes a run folder.

    Takes and raises what `train` does.
    """
    from tfdvbpr.design.samples import write_sample_sheet
    from tfdvbpr.training.gan_trainer import train_gan as train_gan_run

    run = train_gan_run(
        _opened(dataset),
        config or GanConfig.model_validate({}),
        Path(output),
        observer=observer,
        strategy=strategy,
        overwrite=overwrite,
        restart=restart,
        told=told,
    )
    write_sample_sheet(run)
    return run


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
    from tfdvbpr.evaluation.evaluate import evaluate_run

    return evaluate_run(
        _opened_run(run),
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
    overwrite: bool = False,
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
        overwrite: replace what `output` holds.

    Raises:
        ConfigError: if there is no such metric or part.
        RunError: if the runs are of different datasets or splits, or the part is empty.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.evaluation.compare import compare_runs, group_by_seed
    from tfdvbpr.evaluation.compare_tables import write_comparison

    if output is not None:
        check_output(Path(output), overwrite=overwrite)
    if isinstance(runs, Mapping):
        groups = {label: [_opened_run(run) for run in group] for label, group in runs.items()}
    else:
        groups = group_by_seed([_opened_run(run) for run in runs])
    comparison = compare_runs(groups, split=split, metrics=metrics, cold_threshold=cold_threshold, seed=seed)
    if output is not None:
        with whole_directory(Path(output), overwrite=overwrite) as folder:
            write_comparison(comparison, folder)
    return comparison


def experiment(
    file: Path | str,
    output: Path | str,
    *,
    dataset: PreparedDataset | Path | str | None = None,
    observer: Any = None,
    strategy: Any = None,
    told: Told = _quiet,
) -> Experiment:
    """Trains several models with several seeds and small grids, tuned on validation, tested once.

    Args:
        file: the experiment's YAML file, with the fields of `evaluation.plan.ExperimentPlan`.
        output: the folder to make or to go on with; every cell is a run below output/runs, and report.md, grid.csv and
            comparison/ stand beside them at the end.
        dataset: in the place of the file's.
        observer: told how training stands about twice a second.
        strategy: a tf.distribute strategy; left out, chosen from TF_CONFIG and the GPUs.
        told: takes a line for people a cell.

    Raises:
        ConfigError: if the file cannot be read or a value in it is wrong.
        DatasetError: if the dataset is none.
        RunError: if `output` holds a run of other values or another dataset, or a part of the split is empty.
    """
    from tfdvbpr.evaluation.experiment import run_experiment
    from tfdvbpr.evaluation.experiment_report import write_report
    from tfdvbpr.evaluation.plan import read_plan

    plan = read_plan(Path(file))
    opened = _opened(plan.dataset if dataset is None else dataset)

    def train_cell(data: PreparedDataset, config: RecommenderConfig, folder: Path) -> Run:
        import keras

        keras.utils.clear_session()  # else the graphs of every cell stay in memory
        return train(data, folder, config=config, observer=observer, strategy=strategy)

    found = run_experiment(plan, opened, Path(output), train=train_cell, told=told)
    write_report(found, Path(output))
    return found


def update_items(
    run: Run | Path | str,
    new_items: Path | str,
    output: Path | str,
    *,
    output_dataset: Path | str | None = None,
    dataset: Path | str | None = None,
    **options: Any,
) -> Run:
    """A run with new items in its catalogue, without training; see `recommending.new_items.update_items`.

    Args:
        run: a run or its folder, of a model that knows an item by its picture.
        new_items: a folder with items.csv or .parquet and pictures.
        output: the run folder to make.
        output_dataset: where the larger dataset goes; left out, into `output`.
        dataset: where the run's dataset lies now, if it has been moved.
        **options: `max_pixels`, `overwrite` and `progress`, as of `prepare`.

    Raises:
        RunError: if the model cannot know an item by its picture.
        SourceError: if no new item can be used.
        OutputExistsError: if `output` or `output_dataset` holds something already.
    """
    from tfdvbpr.recommending.new_items import update_items as update

    opened = run if isinstance(run, Run) else Run.open(run)
    larger, where = (None if place is None else Path(place) for place in (output_dataset, dataset))
    return update(opened, Path(new_items), Path(output), output_dataset=larger, dataset=where, **options)


def explain(
    run: Run | Path | str,
    user_id: str,
    item_ids: Sequence[str],
    *,
    output: Path | str | None = None,
    baseline: str = "white",
    steps: int = 64,
    dataset: Path | str | None = None,
) -> Any:
    """Where items' scores for a user come from: a list of `recommending.explain.Explanation`.

    Args:
        run: a dvbpr, hybrid-dvbpr or siamese run or its folder.
        user_id: as in the interactions.
        item_ids: what to explain.
        output: a PNG to draw it in.
        baseline: "white" or "blurred": the picture that stands for no information.
        steps: gradients a picture.
        dataset: where the run's dataset lies now, if it has been moved.

    Raises:
        RunError: if the model does not learn from pixels.
        UnknownIdError: if the run does not know the user or an item.
    """
    from tfdvbpr.recommending.explain import check_explained
    from tfdvbpr.recommending.explain import explain as explained

    opened = run if isinstance(run, Run) else Run.open(run)
    check_explained(opened)
    pictures = opened.open_dataset(None if dataset is None else Path(dataset))
    explanations = explained(opened, user_id, item_ids, dataset=pictures, baseline=baseline, steps=steps)
    if output is not None:
        from tfdvbpr.recommending.pictures import write_explanations

        part = ", its visual part" if opened.manifest.model == "hybrid-dvbpr" else ""
        title = f"The score for user {user_id}{part}: where it comes from"
        write_explanations(Path(output), explanations, dataset=pictures, title=title, baseline=baseline)
    return explanations


def make_designs(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    user_ids: Sequence[str],
    categories: Sequence[str],
    *,
    seeds: Sequence[int] | None = None,
    options: Any = None,
) -> Any:
    """New pictures for users; see `design.studio.Designer.design`.

    Args:
        run: a DVBPR run or its folder.
        gan_run: a GAN run or its folder.
        user_ids: as in the interactions.
        categories: one a user.
        seeds: one a user; 0 for each when left out.
        options: a `DesignOptions`.

    Raises:
        UnknownIdError: if a run does not know a user or a category.
    """
    from tfdvbpr.design.studio import Designer

    opened = run if isinstance(run, Run) else Run.open(run)
    opened_gan = gan_run if isinstance(gan_run, GanRun) else GanRun.open(gan_run)
    designer = Designer(opened, opened_gan, options=options)
    return designer.design(user_ids, categories, seeds=list(seeds or [0] * len(user_ids)))


def _opened(dataset: PreparedDataset | Path | str) -> PreparedDataset:
    return dataset if isinstance(dataset, PreparedDataset) else PreparedDataset.open(dataset)


def _opened_run(run: Run | Path | str) -> Run:
    return run if isinstance(run, Run) else Run.open(run)
