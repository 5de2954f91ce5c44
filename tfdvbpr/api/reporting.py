"""From a run to one page on it and its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfdvbpr.api.evaluation import Progress
from tfdvbpr.api.training import opened_gan, opened_run
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import IfExists
from tfdvbpr.run import GanRun, Run

if TYPE_CHECKING:
    from tfdvbpr.reporting.verdict import Verdict


def write_report(
    run: Run | Path | str,
    output: Path | str,
    *,
    gan_run: GanRun | Path | str | None = None,
    compared: Sequence[Run | Path | str] = (),
    dataset: PreparedDataset | Path | str | None = None,
    if_exists: IfExists = "error",
    progress: Progress | None = None,
) -> Verdict:
    """Writes one self-contained HTML page on a run and the data it was trained on, with a verdict.

    It holds the data's health and long tail, popularity as the bar to pass, learning curves, sample users with what
    they bought and are recommended, cold items that were found, and with a GAN samples and designs. On a large
    catalogue a random sample of users is evaluated, which the page says.

    Args:
        run: a trained recommender, or its folder.
        output: a folder for report.html and report.json.
        gan_run: a GAN run of the same categories, or its folder.
        compared: other runs of the same dataset, or their folders.
        dataset: the run's dataset, if it has been moved.
        if_exists: "error", or "overwrite" to replace what `output` holds.
        progress: called with (sections done, sections in all).

    Returns:
        The verdict: its `headline` and `reasons`.

    Raises:
        RunError: if no user has a test action, or a compared run is of another dataset.
        DatasetError: if the dataset is gone or another.
        OutputExistsError: if `output` holds something already.

    Example:
        >>> tfdvbpr.write_report("runs/dvbpr", "report", gan_run="runs/gan").headline  # doctest: +SKIP
        'Ready for a test with real users'
    """
    from tfdvbpr.reporting import page

    opened = opened_run(run)
    data = dataset if isinstance(dataset, PreparedDataset) else opened.open_dataset(dataset)
    return page.write_report(
        opened,
        Path(output),
        dataset=data,
        gan=None if gan_run is None else opened_gan(gan_run),
        others=[opened_run(other) for other in compared],
        if_exists=if_exists,
        progress=progress,
    )
