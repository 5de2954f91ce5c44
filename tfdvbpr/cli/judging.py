"""`tfdvbpr evaluate-gan` and `tfdvbpr evaluate-designs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfdvbpr.cli.options import Overwrite, out

app = typer.Typer()

Extractor = Annotated[
    str,
    typer.Option(
        help="Through which network pictures are compared: efficientnet_lite2 (offline, with the extra pretrained), "
        "inception_v3 or another model of keras.applications (downloaded once), or colour-and-edges."
    ),
]


@app.command(
    "evaluate-gan",
    epilog="Example: [bold]tfdvbpr evaluate-gan runs/gan runs/gan-paper --dataset shop.dataset --output judged[/bold]",
)
def evaluate_gan(
    gan_runs: Annotated[list[Path], typer.Argument(metavar="GAN_RUN...", help="Folders made by `tfdvbpr train-gan`.")],
    dataset: Annotated[Path, typer.Option(metavar="DATASET", help="The dataset they were trained on.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    extractor: Extractor = "efficientnet_lite2",
    num_samples: Annotated[int, typer.Option(help="Pictures a run, in the photos' mix of categories.", min=10)] = 5000,
    samples_per_category: Annotated[int, typer.Option(help="Pictures of each category, at least.", min=2)] = 50,
    seed: Annotated[int, typer.Option(help="Of the pictures; the same seed gives the same figures.", min=0)] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Hold what GANs draw against the real photos, side by side.

    FID, KID, inception score, precision and recall (each named by the extractor), category accuracy by a classifier
    trained on the photos, diversity within categories, and whether pictures are copies of photos. Writes metrics.json,
    metrics.csv, metrics.md, categories.csv, and for each run sheets of samples by category, of samples beside their
    nearest photos, and a quiz without names with its answers. The photos' features and the classifier are kept in the
    dataset's folder.
    """
    from tfdvbpr import api, progress
    from tfdvbpr.files import check_output
    from tfdvbpr.run import GanRun

    check_output(output, overwrite=overwrite)
    opened = [GanRun.open(run) for run in gan_runs]
    from tfdvbpr.judging.gan import GanJudgingOptions
    from tfdvbpr.judging.gan_tables import TABLE_NAME, notes, table_rows

    options = GanJudgingOptions(
        extractor=extractor, num_samples=num_samples, samples_per_category=samples_per_category, seed=seed
    )
    with progress.counting("Judging") as count:
        judgement = api.evaluate_gan(
            opened, dataset, output, options=options, progress=count, told=progress.console.print, overwrite=overwrite
        )
    out.print(progress.plain_table(*table_rows(judgement)))
    out.print(notes(judgement), style="dim", highlight=False)
    out.print(f"Table: {output / TABLE_NAME}", highlight=False, soft_wrap=True)
