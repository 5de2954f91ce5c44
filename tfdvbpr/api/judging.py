"""From runs to figures of the pictures they draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfdvbpr.api.opening import Told, opened_dataset, quiet
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import check_output, whole_directory
from tfdvbpr.run import GanRun

if TYPE_CHECKING:
    from tfdvbpr.judging.gan import GanJudgement, GanJudgingOptions


def evaluate_gan(
    gan_runs: Sequence[GanRun | Path | str],
    dataset: PreparedDataset | Path | str,
    output: Path | str | None = None,
    *,
    options: GanJudgingOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
    told: Told = quiet,
    overwrite: bool = False,
) -> GanJudgement:
    """Holds what GANs draw against real photos: FID, KID, accuracy, diversity, copies; see `judging.gan.judge_gans`.

    Args:
        gan_runs: GAN runs or their folders.
        dataset: the one they were trained on, or its folder.
        output: a folder for metrics.json, .csv and .md, categories.csv and the sheets; left out, nothing is written.
        options: extractor, number of samples, seed.
        progress: called with (done, in all) of whatever takes long.
        told: takes lines for people.
        overwrite: replace what `output` holds.

    Raises:
        ConfigError: if the extractor is unknown, its weights cannot be had, or a discriminator looked through it.
        DatasetError: if the dataset's pictures or categories are not those a GAN draws.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.judging.gan import judge_gans, labels
    from tfdvbpr.judging.gan_tables import write_tables
    from tfdvbpr.judging.sheets import write_sheets

    if output is not None:
        check_output(Path(output), overwrite=overwrite)
    opened = [run if isinstance(run, GanRun) else GanRun.open(run) for run in gan_runs]
    judgement = judge_gans(labels(opened), opened_dataset(dataset), options=options, progress=progress, told=told)
    if output is not None:
        with whole_directory(Path(output), overwrite=overwrite) as folder:
            write_tables(judgement, folder)
            write_sheets(judgement, folder)
    return judgement
