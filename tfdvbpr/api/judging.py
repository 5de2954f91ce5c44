"""From runs to figures of the pictures they draw."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfdvbpr.api.opening import Told, opened_dataset, opened_run, quiet
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.run import GanRun, Run

if TYPE_CHECKING:
    from tfdvbpr.evaluation.designs.attributes import AttributeCheck, AttributeOptions
    from tfdvbpr.evaluation.designs.evaluate_designs import DesignJudgement, DesignJudgingOptions
    from tfdvbpr.evaluation.generative.evaluate_gan import GanJudgement, GanJudgingOptions


def evaluate_gan(
    gan_runs: Sequence[GanRun | Path | str],
    dataset: PreparedDataset | Path | str,
    output: Path | str | None = None,
    *,
    options: GanJudgingOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
    told: Told = quiet,
    if_exists: IfExists = "error",
) -> GanJudgement:
    """Holds what GANs draw against real photos: FID, KID, accuracy, diversity, copies; see `judging.gan.judge_gans`.

    Args:
        gan_runs: GAN runs or their folders.
        dataset: the one they were trained on, or its folder.
        output: a folder for metrics.json, .csv and .md, categories.csv and the sheets; left out, nothing is written.
        options: extractor, number of samples, seed.
        progress: called with (done, in all) of whatever takes long.
        told: takes lines for people.
        if_exists: "error", or "overwrite" to replace what `output` holds.

    Raises:
        ConfigError: if the extractor is unknown, its weights cannot be had, or a discriminator looked through it.
        DatasetError: if the dataset's pictures or categories are not those a GAN draws.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.evaluation.generative.evaluate_gan import judge_gans, labels
    from tfdvbpr.evaluation.generative.gan_tables import write_tables
    from tfdvbpr.evaluation.generative.sheets import write_sheets

    if output is not None:
        check_output(Path(output), if_exists=if_exists)
    opened = [_opened_gan(run) for run in gan_runs]
    judgement = judge_gans(labels(opened), opened_dataset(dataset), options=options, progress=progress, told=told)
    if output is not None:
        with whole_directory(Path(output), if_exists=if_exists) as folder:
            write_tables(judgement, folder)
            write_sheets(judgement, folder)
    return judgement


def evaluate_designs(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    output: Path | str | None = None,
    *,
    second_run: Run | Path | str | None = None,
    dataset: PreparedDataset | Path | str | None = None,
    options: DesignJudgingOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
    told: Told = quiet,
    if_exists: IfExists = "error",
) -> DesignJudgement:
    """Designs beside real items and random pictures: preference, realism, diversity; see `judging.designs`.

    Args:
        run: the recommender that is ascended, or its folder.
        gan_run: a GAN run or its folder.
        output: a folder for designs.json, .csv and .md, tests.csv and designs.png; left out, nothing is written. Until
            it stands, finished blocks of designs lie beside it, and an interrupted call goes on from them.
        second_run: a recommender of the same dataset, trained with another seed and backbone, that no ascent sees.
        dataset: the GAN's, if it has been moved.
        options: users, η, smoothings, starts, steps, extractor, seed.
        progress: called with (done, in all) of whatever takes long.
        told: takes lines for people.
        if_exists: "error", or "overwrite" to replace what `output` holds.

    Raises:
        ConfigError: if an option is wrong, or the extractor's weights cannot be had.
        RunError: if a run does not learn from pixels, or the second is of another dataset.
        DatasetError: if the dataset is not that of the GAN.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.evaluation.designs.design_tables import write_tables
    from tfdvbpr.evaluation.designs.evaluate_designs import judge_designs

    kept = None
    if output is not None:
        check_output(Path(output), if_exists=if_exists)
        kept = Path(output).with_name(f".{Path(output).name}.designs")
    judgement = judge_designs(
        opened_run(run),
        _opened_gan(gan_run),
        second_run=None if second_run is None else opened_run(second_run),
        dataset=None if dataset is None else opened_dataset(dataset),
        options=options,
        keep=kept,
        progress=progress,
        told=told,
    )
    if output is not None and kept is not None:
        with whole_directory(Path(output), if_exists=if_exists) as folder:
            write_tables(judgement, folder)
        shutil.rmtree(kept, ignore_errors=True)
    return judgement


def attributes_in_designs(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    truth: Path | str,
    output: Path | str | None = None,
    *,
    dataset: PreparedDataset | Path | str | None = None,
    options: AttributeOptions | None = None,
    told: Told = quiet,
    if_exists: IfExists = "error",
) -> AttributeCheck:
    """Whether what synthetic shoppers are known to like shows in their designs, by steps and η.

    See `judging.attributes.check_attributes`.

    Args:
        run: a recommender trained on a synthetic dataset, or its folder.
        gan_run: a GAN trained on it, or its folder.
        truth: the synthetic source, kept by the option `keep_source` of the synthetic importer.
        output: a folder for attributes.json, .csv, .md and .png; left out, nothing is written.
        dataset: the GAN's, if it has been moved.
        options: users, steps, η, seed.
        told: takes lines for people.
        if_exists: "error", or "overwrite" to replace what `output` holds.

    Raises:
        SourceError: if `truth` has no truth.
        RunError: if the run does not learn from pixels, or knows none of the shoppers.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.data.synthetic.source import read_truth
    from tfdvbpr.evaluation.designs.attribute_tables import write_attributes
    from tfdvbpr.evaluation.designs.attributes import check_attributes

    if output is not None:
        check_output(Path(output), if_exists=if_exists)
    found = check_attributes(
        opened_run(run),
        _opened_gan(gan_run),
        read_truth(truth),
        dataset=None if dataset is None else opened_dataset(dataset),
        options=options,
        told=told,
    )
    if output is not None:
        with whole_directory(Path(output), if_exists=if_exists) as folder:
            write_attributes(found, folder)
    return found


def _opened_gan(run: GanRun | Path | str) -> GanRun:
    return run if isinstance(run, GanRun) else GanRun.open(run)
