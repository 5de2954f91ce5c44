"""`tfdvbpr evaluate-gan`, `evaluate-designs`, `evaluate-panel` and `evaluate-attributes`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfdvbpr.cli import endings, progress
from tfdvbpr.cli.options import GanOption, IfExistsOption, OutputOption, RunArgument, command_with_metrics, out
from tfdvbpr.cli.output import JsonOption, print_json

app = typer.Typer()

GanDataset = Annotated[Path | None, typer.Option(help="The GAN's dataset, if it has been moved.")]
EXTRACTOR_HELP = (
    "The network whose features are compared: efficientnet_lite2 (offline, with the extra pretrained), inception_v3 or "
    "another model of keras.applications (downloaded once), or colour-and-edges."
)
Extractor = Annotated[str, typer.Option(help=EXTRACTOR_HELP)]


@app.command(
    "evaluate-gan",
    cls=command_with_metrics("generative"),
    epilog="Example: [bold]tfdvbpr evaluate-gan runs/gan runs/gan-paper --dataset shop.dataset --output gans[/bold]",
)
def evaluate_gan(
    gan_runs: Annotated[list[Path], typer.Argument(metavar="GAN_RUN...", help="Folders made by `tfdvbpr train-gan`.")],
    dataset: Annotated[Path, typer.Option(metavar="DATASET", help="The dataset they were trained on.")],
    output: OutputOption,
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{EXTRACTOR_HELP} scratch is a network that is trained on the photos. Repeat for several; "
            "efficientnet_lite2 and scratch when left out."
        ),
    ] = None,
    num_samples: Annotated[int, typer.Option(help="Images a run, in the photos' mix of categories.", min=10)] = 5000,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Compare images of GANs with the real photos, side by side: as they are, and both blurred alike.

    Writes metrics.json, metrics.csv, metrics.md, categories.csv, and for each run grids of samples by category and of
    samples beside their nearest photos, and a quiz without names with its key. The photos' features and the category
    classifier are cached in the dataset's folder.

    \b
    {metrics}
    """
    from dataclasses import replace

    from tfdvbpr import api
    from tfdvbpr.files import check_output
    from tfdvbpr.run import GanRun

    check_output(output, if_exists=if_exists)
    opened = [GanRun.open(run) for run in gan_runs]
    from tfdvbpr.evaluation.generative.evaluate_gan import GanEvaluationOptions
    from tfdvbpr.evaluation.generative.gan_report import TABLE_NAME, as_dict, notes, tables

    options = GanEvaluationOptions(num_samples=num_samples)
    if extractor:
        options = replace(options, extractors=tuple(extractor))
    with progress.counting("Evaluating") as count:
        evaluation = api.evaluate_gan(opened, dataset, output, options=options, progress=count, if_exists=if_exists)
    if as_json:
        print_json("evaluate-gan", as_dict(evaluation))
        return
    for title, headings, rows in tables(evaluation):
        out.print(progress.plain_table(headings, rows, title=title))
    out.print(notes(evaluation), style="dim")
    out.print(f"Table: {output / TABLE_NAME}", soft_wrap=True)


@app.command(
    "evaluate-designs",
    epilog="Example: [bold]tfdvbpr evaluate-designs runs/dvbpr --gan runs/gan --second-run runs/dvbpr-other "
    "--users 500 --realism-weights 0,0.5,1,2 --output designs-evaluated[/bold]",
)
def evaluate_designs(
    run: RunArgument,
    gan: GanOption,
    output: OutputOption,
    second_run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A recommender of the same dataset with another seed and backbone."),
    ] = None,
    users: Annotated[int, typer.Option(help="Number of users, sampled at random.", min=2)] = 500,
    realism_weights: Annotated[str, typer.Option(help="Values of η, with commas.")] = "0,0.2,0.5,1",
    set_values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Gradient ascent: num_candidates=256 (random latents), num_starts=8 (the most preferred of them), "
            "num_steps=20, learning_rate=0.05; repeat for more.",
        ),
    ] = None,
    extractor: Extractor = "efficientnet_lite2",
    panel: Annotated[
        int,
        typer.Option(help="Pairs of images on a page that asks people, OUTPUT/panel; see evaluate-panel.", min=0),
    ] = 0,
    dataset: GanDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Compare designs with real items and random images: the paper's table.

    Preference (also under a second recommender, which is not ascended), realism and the metrics of `tfdvbpr
    evaluate-gan`, for random real items, random images, the best of several random images, top retrieved items, and
    designs for every η, for users in their most bought categories. Designs are tested against the others over users.
    Writes designs.json, designs.csv, designs.md, tests.csv, designs.png and ghosts.png (the
    designs that glow or are washed out most). The same command resumes an interrupted one
    after its last finished 64 requests.
    """
    from tfdvbpr import api
    from tfdvbpr.files import check_output
    from tfdvbpr.run import GanRun, Run

    check_output(output, if_exists=if_exists)
    opened, opened_gan = Run.open(run), GanRun.open(gan)
    second = None if second_run is None else Run.open(second_run)
    weights = _numbers("--realism-weights", realism_weights)
    from tfdvbpr.designing.options import DesignOptions, parse_options
    from tfdvbpr.evaluation.designs.design_report import TABLE_NAME, comparison_rows, notes, table_rows
    from tfdvbpr.evaluation.designs.evaluate_designs import DesignEvaluationOptions

    options = DesignEvaluationOptions(
        num_users=users,
        realism_weights=weights,
        design=parse_options(DesignOptions, ("num_starts=8", *(set_values or ()))),
        extractor=extractor,
    )
    with progress.counting("Evaluating") as count:
        evaluation = api.evaluate_designs(
            opened,
            opened_gan,
            output,
            second_run=second,
            dataset=dataset,
            options=options,
            panel=panel,
            progress=count,
            if_exists=if_exists,
        )
    if as_json:
        print_json("evaluate-designs", json.loads((output / "designs.json").read_text(encoding="utf-8")))
        return
    out.print(progress.plain_table(*table_rows(evaluation)))
    out.print(progress.plain_table(*comparison_rows(evaluation)))
    out.print(notes(evaluation), style="dim")
    out.print(f"Table: {output / TABLE_NAME}", soft_wrap=True)
    if panel:
        out.print(f"For people: {output / 'panel' / 'panel.html'}. Keep key.csv beside it.", soft_wrap=True)
        endings.print_next(["tfdvbpr", "evaluate-panel", output / "panel", "choices.csv"])


@app.command("evaluate-panel", epilog="Example: [bold]tfdvbpr evaluate-panel designs/panel anna.csv ben.csv[/bold]")
def evaluate_panel(
    panel: Annotated[Path, typer.Argument(metavar="PANEL", help="The folder with key.csv.")],
    choices: Annotated[list[Path], typer.Argument(metavar="CHOICES...", help="The files that people saved.")],
    as_json: JsonOption = False,
) -> None:
    """Test how often people choose designs over random images and best real items.

    The page panel.html of `tfdvbpr evaluate-designs --panel 40` shows what a user bought, and two images, one of them
    a design, without saying which. A pair counts once, by the majority of its choices; the p-value is that of a sign
    test over pairs, the interval Wilson's of the share of pairs that the design won.
    """
    from dataclasses import asdict

    from tfdvbpr import api

    results = api.evaluate_panel(panel, choices)
    if as_json:
        print_json("evaluate-panel", {"people": len(choices), "results": [asdict(result) for result in results]})
        return
    headings = ["designs against", "pairs", "choices", "cannot say", "chose the design", "won", "lost", "95 %", "p"]
    rows = [
        [
            one.baseline,
            str(one.pairs),
            str(one.choices),
            str(one.undecided),
            f"{one.design_share:.0%}" if one.choices else "",
            str(one.pairs_won),
            str(one.pairs_lost),
            f"{one.low:.0%} to {one.high:.0%}" if one.pairs_won + one.pairs_lost else "",
            f"{one.p_value:.1e}",
        ]
        for one in results
    ]
    out.print(progress.plain_table(headings, rows))


@app.command(
    "evaluate-attributes",
    epilog="Example: [bold]tfdvbpr evaluate-attributes runs/toys --gan runs/toys-gan --truth toys --output "
    "attributes[/bold]",
)
def evaluate_attributes(
    run: RunArgument,
    gan: GanOption,
    truth: Annotated[Path, typer.Option(help="The kept source of the synthetic dataset.")],
    output: OutputOption,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Measure how often designs show attributes that simulated users like, by η and after 0 to 80 steps.

    Colours are read from the images by rule, patterns and cuts by a small CNN trained on the items. η and the number
    of steps are chosen by one half of 200 users and reported on the other. Writes attributes.json, .csv, .md and .png.
    """
    from tfdvbpr import api
    from tfdvbpr.data.synthetic.source import read_truth
    from tfdvbpr.files import check_output
    from tfdvbpr.run import GanRun, Run

    check_output(output, if_exists=if_exists)
    opened, opened_gan = Run.open(run), GanRun.open(gan)
    read_truth(truth)  # a wrong folder is reported before TensorFlow is loaded
    from tfdvbpr.evaluation.designs.known_attributes import summary

    found = api.evaluate_attributes(opened, opened_gan, truth, output, if_exists=if_exists)
    if as_json:
        print_json("evaluate-attributes", found)
        return
    out.print(summary(found))
    out.print(f"Plot: {output / 'attributes.png'}", soft_wrap=True)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    from tfdvbpr.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} takes numbers with commas, such as 0,0.5,1. Received {text!r}.") from None
