"""`tfdvbpr evaluate-gan` and `tfdvbpr evaluate-designs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tfdvbpr.cli.options import IfExistsOption, InitialStddev, RateOption, RunArgument, StepsOption, out

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
    if_exists: IfExistsOption = "error",
) -> None:
    """Hold what GANs draw against the real photos, side by side.

    FID, KID, inception score, precision and recall (each named by the extractor), category accuracy by a classifier
    trained on the photos, diversity within categories, and whether pictures are copies of photos. Writes metrics.json,
    metrics.csv, metrics.md, categories.csv, and for each run sheets of samples by category, of samples beside their
    nearest photos, and a quiz without names with its answers. The photos' features and the classifier are kept in the
    dataset's folder.
    """
    from tfdvbpr import api
    from tfdvbpr.cli import progress
    from tfdvbpr.files import check_output
    from tfdvbpr.run import GanRun

    check_output(output, if_exists=if_exists)
    opened = [GanRun.open(run) for run in gan_runs]
    from tfdvbpr.evaluation.generative.evaluate_gan import GanJudgingOptions
    from tfdvbpr.evaluation.generative.gan_tables import TABLE_NAME, notes, table_rows

    options = GanJudgingOptions(
        extractor=extractor, num_samples=num_samples, samples_per_category=samples_per_category, seed=seed
    )
    with progress.counting("Judging") as count:
        judgement = api.evaluate_gan(
            opened, dataset, output, options=options, progress=count, told=progress.console.print, if_exists=if_exists
        )
    out.print(progress.plain_table(*table_rows(judgement)))
    out.print(notes(judgement), style="dim", highlight=False)
    out.print(f"Table: {output / TABLE_NAME}", highlight=False, soft_wrap=True)


@app.command(
    "evaluate-designs",
    epilog="Example: [bold]tfdvbpr evaluate-designs runs/dvbpr --gan runs/gan --second-run runs/dvbpr-other "
    "--users 500 --realism-weights 0,0.5,1,2 --output designs-judged[/bold]",
)
def evaluate_designs(
    run: RunArgument,
    gan: Annotated[Path, typer.Option(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    second_run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A recommender of the same dataset with another seed and backbone."),
    ] = None,
    users: Annotated[int, typer.Option(help="Users, drawn at random.", min=2)] = 500,
    categories: Annotated[int, typer.Option(help="Requests a user, in her most bought categories.", min=1)] = 2,
    realism_weights: Annotated[str, typer.Option(help="Values of η, with commas.")] = "0,0.5,1,2",
    starts: Annotated[int, typer.Option(help="Random latents an ascent begins from.", min=1)] = 8,
    steps: StepsOption = 40,
    learning_rate: RateOption = 0.05,
    initial_stddev: InitialStddev = 0.5,
    extractor: Extractor = "efficientnet_lite2",
    seed: Annotated[int, typer.Option(help="Of users, items, latents and starts.", min=0)] = 0,
    dataset: Annotated[Path | None, typer.Option(help="The GAN's dataset, if it has been moved.")] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="The kept source of a synthetic dataset: also how far known tastes show, by η and after 0 to 80 "
            "steps, for 200 shoppers."
        ),
    ] = None,
    if_exists: IfExistsOption = "error",
) -> None:
    """Hold designs against real items and random pictures: the paper's table.

    Preference (also under a second recommender that no ascent has seen), realism, inception score, FID, KID and
    diversity of random real items, random G, the best of several random G, top retrieved items, and designs for every
    η, for users in their most bought categories. Designs are tested against their rivals over users. Writes
    designs.json, designs.csv, designs.md, tests.csv and designs.png; with --truth also the folder attributes. The same
    command takes an interrupted one up after its last finished 64 requests.
    """
    from tfdvbpr import api
    from tfdvbpr.cli import progress
    from tfdvbpr.files import check_output
    from tfdvbpr.run import GanRun, Run

    check_output(output, if_exists=if_exists)
    opened, opened_gan = Run.open(run), GanRun.open(gan)
    second = None if second_run is None else Run.open(second_run)
    weights = _numbers("--realism-weights", realism_weights)
    if truth is not None:
        from tfdvbpr.data.synthetic.source import read_truth

        read_truth(truth)  # a wrong folder is told of now, not after the table
    from tfdvbpr.designing.options import DesignOptions
    from tfdvbpr.evaluation.designs.design_tables import TABLE_NAME, notes, rival_rows, table_rows
    from tfdvbpr.evaluation.designs.evaluate_designs import DesignJudgingOptions

    options = DesignJudgingOptions(
        num_users=users,
        categories_per_user=categories,
        realism_weights=weights,
        design=DesignOptions(
            num_starts=starts, num_steps=steps, learning_rate=learning_rate, initial_stddev=initial_stddev
        ),
        extractor=extractor,
        seed=seed,
    )
    with progress.counting("Judging") as count:
        judgement = api.evaluate_designs(
            opened,
            opened_gan,
            output,
            second_run=second,
            dataset=dataset,
            options=options,
            progress=count,
            told=progress.console.print,
            if_exists=if_exists,
        )
    out.print(progress.plain_table(*table_rows(judgement)))
    out.print(progress.plain_table(*rival_rows(judgement)))
    out.print(notes(judgement), style="dim", highlight=False)
    out.print(f"Table: {output / TABLE_NAME}", highlight=False, soft_wrap=True)
    if truth is not None:
        _show_attributes(opened, opened_gan, truth, output / "attributes", dataset, options)


def _show_attributes(run: Any, gan: Any, truth: Path, output: Path, dataset: Path | None, asked: Any) -> None:
    from tfdvbpr import api
    from tfdvbpr.cli import progress
    from tfdvbpr.evaluation.designs.attribute_tables import summary
    from tfdvbpr.evaluation.designs.attributes import AttributeOptions

    options = AttributeOptions(
        realism_weights=asked.realism_weights, design=asked.design, extractor=asked.extractor, seed=asked.seed
    )
    found = api.attributes_in_designs(
        run, gan, truth, output, dataset=dataset, options=options, told=progress.console.print
    )
    out.print(summary(found), highlight=False)
    out.print(f"Plot: {output / 'attributes.png'}", highlight=False, soft_wrap=True)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    from tfdvbpr.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} takes numbers with commas, such as 0,0.5,1. Received {text!r}.") from None
