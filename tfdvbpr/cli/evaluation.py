"""`tfdvbpr evaluate`, `compare` and `experiment`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from tfdvbpr.cli import completion, progress
from tfdvbpr.cli.options import IfExistsOption, command_with_metrics, out
from tfdvbpr.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from tfdvbpr.evaluation.ranking.comparison import Comparison

app = typer.Typer()


Runs = Annotated[
    list[Path],
    typer.Argument(metavar="RUN...", help="Folders made by `tfdvbpr train`.", autocompletion=completion.runs),
]
SplitOption = Annotated[Literal["validation", "test"], typer.Option(help="Choose by validation, report test once.")]


@app.command(
    cls=command_with_metrics("ranking"),
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
    cls=command_with_metrics("ranking", per_user=True),
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
