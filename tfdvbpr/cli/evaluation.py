"""`tfdvbpr evaluate`, `compare`, `experiment`, `evaluate-gan`, `evaluate-designs` and `evaluate-attributes`."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text
from typer.core import TyperCommand

from tfdvbpr.cli import completion, progress
from tfdvbpr.cli.options import GanOption, IfExistsOption, OutputOption, RunArgument, out
from tfdvbpr.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from tfdvbpr.evaluation.ranking.comparison import Comparison

app = typer.Typer()


def _metrics_help(room: str, **settings: bool) -> type[TyperCommand]:
    """A kind of command whose help lists the metrics of a room, which are imported only when it is printed."""

    class MetricsHelp(TyperCommand):
        def format_help(self, ctx: Any, formatter: Any) -> None:
            lines = import_module(f"tfdvbpr.evaluation.{room}.metrics").metrics_help(**settings)
            self.help = (self.help or "").replace("{metrics}", lines)
            super().format_help(ctx, formatter)

    return MetricsHelp


Runs = Annotated[
    list[Path],
    typer.Argument(metavar="RUN...", help="Folders made by `tfdvbpr train`.", autocompletion=completion.runs),
]
SplitOption = Annotated[Literal["validation", "test"], typer.Option(help="Choose by validation, report test once.")]
GanDataset = Annotated[Path | None, typer.Option(help="The GAN's dataset, if it has been moved.")]
EXTRACTOR_HELP = (
    "The network whose features are compared: efficientnet_lite2 (offline, with the extra pretrained), inception_v3 or "
    "another model of keras.applications (downloaded once), or colour-and-edges."
)
Extractor = Annotated[str, typer.Option(help=EXTRACTOR_HELP)]


@app.command(
    cls=_metrics_help("ranking"),
    epilog="Example: [bold]tfdvbpr evaluate runs/dvbpr runs/popularity --output metrics.json[/bold]",
)
def evaluate(
    runs: Runs,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="A metric, with any number for 10; repeat for more. All but the legacy ones when left out."),
    ] = None,
    split: SplitOption = "test",
    dataset: Annotated[
        Path | None, typer.Option(help="The runs' dataset, if it has been moved; visual diversity needs it.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for the metrics of all runs.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute exact ranking metrics of runs over the whole catalogue.

    No negative is sampled; ties count one half; items that the user has acted on are masked. The means of each run are
    also written to its metrics.json, and the values of every user to its per_user-SPLIT.parquet.

    \b
    {metrics}
    """
    from tfdvbpr import api
    from tfdvbpr.files import write_text
    from tfdvbpr.run.names import distinct_names

    rows = []
    with progress.counting("Evaluating") as count:
        for done, (run, name) in enumerate(zip(runs, distinct_names(runs), strict=True), start=1):
            rows.append({**api.evaluate(run, metric, split=split, dataset=dataset), "run": name})
            count(done, len(runs))
    from tfdvbpr.evaluation.ranking.evaluate import table_rows

    if output is not None:
        write_text(output, json.dumps(rows[0] if len(rows) == 1 else rows, indent=2) + "\n")
    if as_json:
        print_json("evaluate", rows)
        return
    out.print(progress.plain_table(*table_rows(rows), title=f"{rows[0]['dataset']}, {rows[0]['split']}"))


@app.command(
    cls=_metrics_help("ranking", per_user=True),
    epilog="Example: [bold]tfdvbpr compare runs/dvbpr-0 runs/dvbpr-1 runs/vbpr-0 runs/vbpr-1 --output compared[/bold]",
)
def compare(
    runs: Runs,
    output: Annotated[
        Path | None, typer.Option(help="A folder to make, for the table as CSV, Markdown and PNG.")
    ] = None,
    split: SplitOption = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric, with any number for 10; repeat for more. auc, auc_cold, recall@10, ndcg@10 when left out."
        ),
    ] = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Compare runs: one table with 95 % intervals, the best marked only where it is significant.

    Runs that differ in nothing but the seed are one model: each user's values are averaged over them, and their spread
    is shown. A mean is marked where its model is better than every other by Wilcoxon's signed-rank test over users,
    p < 0.05 after Holm's correction over all pairs of the table.

    \b
    {metrics}
    """
    from tfdvbpr import api
    from tfdvbpr.evaluation.ranking.comparison import DEFAULT_METRICS

    with progress.status("Comparing"):
        comparison = api.compare(
            list(runs), output, split=split, metrics=metric or DEFAULT_METRICS, if_exists=if_exists
        )
    if as_json:
        print_json("compare", comparison)
        return
    _print_comparison(comparison)
    if output is not None:
        out.print(f"Table: {output / 'comparison.md'}", soft_wrap=True)


@app.command(epilog="Example: [bold]tfdvbpr experiment shop.yaml --output experiments/shop[/bold]")
def experiment(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.yaml",
            help="dataset, seeds, models (a list of name, model, config, grid), and optionally tune_by and metrics.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The folder to make, or to resume in.")],
    dataset: Annotated[Path | None, typer.Option(help="Instead of the file's dataset.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train several models with several seeds and small grids on one dataset; one table at the end.

    \b
    dataset: shop.dataset
    seeds: [0, 1, 2]
    models:
      - {name: popularity, model: popularity}
      - name: dvbpr
        model: dvbpr
        config: {epochs: 30}
        grid: {embedding_dim: [32, 64]}

    A grid is trained with the first seed and its best cell chosen by validation AUC (tune_by); that cell is trained
    with every seed, and evaluated on the test part once. Every cell is a run folder under OUTPUT/runs: the same command
    resumes an interrupted experiment. OUTPUT/report.md holds the table, the chosen values and the metrics of the grid.
    """
    from tfdvbpr import api
    from tfdvbpr.evaluation.ranking.experiment import read_plan

    read_plan(file)  # a wrong file is reported before TensorFlow is loaded
    with progress.training("Experiment") as callbacks:
        found = api.experiment(file, output, dataset=dataset, callbacks=callbacks)
    if as_json:
        print_json("experiment", found.comparison)
        return
    _print_comparison(found.comparison)
    out.print(f"Report: {output / 'report.md'}", soft_wrap=True)


def _print_comparison(comparison: Comparison) -> None:
    from tfdvbpr.evaluation.ranking.comparison import notes, table_rows

    headings, rows = table_rows(comparison)
    marked = [[model, seeds, *map(_marked, cells)] for model, seeds, *cells in rows]
    out.print(progress.plain_table(headings, marked, title=f"{comparison.dataset}, {comparison.split}"))
    out.print(notes(comparison).replace("Bold:", "Marked:"), style="dim")


def _marked(cell: str) -> Text:
    """A cell whose mean, where it is bold in Markdown, is bold and green."""
    before, _, rest = cell.partition("**")
    mean, _, after = rest.partition("**")
    return Text.assemble(before, (mean, "bold green"), after)


@app.command(
    "evaluate-gan",
    cls=_metrics_help("generative"),
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
    realism_weights: Annotated[str, typer.Option(help="Values of η, with commas.")] = "0,0.5,1,2",
    set_values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Gradient ascent: num_starts=8, num_steps=40, learning_rate=0.05, initial_stddev=0.5 (of the initial "
            "latents); repeat for more.",
        ),
    ] = None,
    extractor: Extractor = "efficientnet_lite2",
    dataset: GanDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Compare designs with real items and random images: the paper's table.

    Preference (also under a second recommender, which is not ascended), realism and the metrics of `tfdvbpr
    evaluate-gan`, for random real items, random images, the best of several random images, top retrieved items, and
    designs for every η, for users in their most bought categories. Designs are tested against the others over users.
    Writes designs.json, designs.csv, designs.md, tests.csv and designs.png. The same command resumes an interrupted one
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
    from tfdvbpr.evaluation.designs.evaluate_designs import (
        TABLE_NAME,
        DesignEvaluationOptions,
        comparison_rows,
        notes,
        table_rows,
    )

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
