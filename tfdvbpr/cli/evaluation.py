"""`tfdvbpr evaluate`, `tfdvbpr compare` and `tfdvbpr experiment`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfdvbpr.cli.options import IfExistsOption, Strategy, StrategyOption, out, strategy_of

if TYPE_CHECKING:
    from tfdvbpr.evaluation.ranking.comparison import Comparison

_log = logging.getLogger(__name__)
app = typer.Typer()


ColdThreshold = Annotated[
    int | None, typer.Option(help="Items with fewer training actions are cold; the paper's 5.", min=1)
]
SplitOption = Annotated[str, typer.Option(help="validation (to choose by) or test (to report once).")]


@app.command(epilog="Example: [bold]tfdvbpr evaluate runs/dvbpr runs/popularity --output metrics.json[/bold]")
def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders made by `tfdvbpr train`.")],
    split: SplitOption = "test",
    cold_threshold: ColdThreshold = None,
    k: Annotated[int, typer.Option("--k", help="Where recall, NDCG and the like are cut off.", min=1)] = 10,
    lists: Annotated[
        bool, typer.Option("--lists/--no-lists", help="Novelty, diversity and coverage; slow on a large catalogue.")
    ] = True,
    legacy_sampled: Annotated[
        bool,
        typer.Option("--legacy-sampled", help="Also the paper's code's own estimate, from 100 drawn items a user."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the intervals and of --legacy-sampled.", min=0)] = 0,
    dataset: Annotated[
        Path | None, typer.Option(help="The runs' dataset, if it has been moved; visual diversity needs it.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for the figures of all runs.")] = None,
) -> None:
    """Exact AUC (all, cold and warm items), recall, NDCG, MAP, MRR and more over the whole catalogue.

    No negative is sampled; ties count one half; everything a user acted on is masked. Each run's figures also go to its
    metrics.json, and those of every user to its per_user-SPLIT.parquet. Novelty is in bits, diversity is 1 - cosine of
    a fixed visual descriptor.
    """
    import json

    from tfdvbpr import api
    from tfdvbpr.cli import progress
    from tfdvbpr.files import write_text

    rows = []
    with progress.counting("Evaluating") as count:
        for done, run in enumerate(runs):
            rows.append(
                api.evaluate(
                    run,
                    split=split,
                    cold_threshold=cold_threshold,
                    k=k,
                    lists=lists,
                    legacy_sampled=legacy_sampled,
                    seed=seed,
                    dataset=dataset,
                )
            )
            count(done + 1, len(runs))
    out.print(progress.metrics_table(rows))
    if output is not None:
        write_text(output, json.dumps(rows[0] if len(rows) == 1 else rows, indent=2) + "\n")


@app.command(
    epilog="Example: [bold]tfdvbpr compare runs/dvbpr-0 runs/dvbpr-1 runs/vbpr-0 runs/vbpr-1 --output compared[/bold]"
)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders made by `tfdvbpr train`.")],
    output: Annotated[
        Path | None, typer.Option(help="A folder to make, for the table as CSV, Markdown and PNG.")
    ] = None,
    split: SplitOption = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="auc, auc_cold, auc_warm, recall@10, hit_rate@10, ndcg@10, map@10, mrr, novelty@10 or diversity@10, "
            "with any number for 10; repeat for more. auc, auc_cold, recall@10 and ndcg@10 when left out."
        ),
    ] = None,
    cold_threshold: ColdThreshold = None,
    seed: Annotated[int, typer.Option(help="Of the intervals.", min=0)] = 0,
    if_exists: IfExistsOption = "error",
) -> None:
    """Hold runs against each other: one table with 95 % intervals, the best marked only where it is significant.

    Runs that differ in nothing but the seed are one model: each user's figures are averaged over them, and their spread
    is shown. A figure is marked where its model is higher than every other by Wilcoxon's signed-rank test over users,
    p < 0.05 after Holm's correction over all pairs of the table.
    """
    from tfdvbpr import api
    from tfdvbpr.cli import progress
    from tfdvbpr.evaluation.ranking.comparison import DEFAULT_METRICS

    with progress.status("Comparing"):
        comparison = api.compare(
            list(runs),
            output,
            split=split,
            metrics=metric or DEFAULT_METRICS,
            cold_threshold=cold_threshold,
            seed=seed,
            if_exists=if_exists,
        )
    _print_comparison(comparison)
    if output is not None:
        out.print(f"Table: {output / 'comparison.md'}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: [bold]tfdvbpr experiment shop.yaml --output experiments/shop[/bold]")
def experiment(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.yaml",
            help="dataset, seeds, models (a list of name, model, config, grid), and by choice tune_by, metrics, "
            "cold_threshold.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The folder to make, or to go on with.")],
    dataset: Annotated[Path | None, typer.Option(help="In the place of the file's dataset.")] = None,
    strategy: StrategyOption = Strategy.auto,
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
    with every seed, and the test part is looked at once. Every cell is a run folder under OUTPUT/runs: the same command
    goes on where an interrupted one stopped. OUTPUT/report.md holds the table, the chosen values and the figures of the
    grid.
    """
    from tfdvbpr import api
    from tfdvbpr.cli import progress
    from tfdvbpr.evaluation.ranking.plan import read_plan

    read_plan(file)  # a wrong file is told before TensorFlow is loaded
    with progress.training("Experiment") as callbacks:
        found = api.experiment(
            file, output, dataset=dataset, callbacks=callbacks, strategy=strategy_of(strategy), told=_log.info
        )
    _print_comparison(found.comparison)
    out.print(f"Report: {output / 'report.md'}", highlight=False, soft_wrap=True)


def _print_comparison(comparison: Comparison) -> None:
    from tfdvbpr.cli import progress
    from tfdvbpr.evaluation.ranking.comparison_tables import notes, title

    out.print(progress.comparison_table(comparison, [title(name) for name in comparison.metrics]))
    out.print(notes(comparison).replace("Bold:", "Marked:"), style="dim", highlight=False)
