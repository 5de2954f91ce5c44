"""`tfdvbpr evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfdvbpr.cli.options import out

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

    from tfdvbpr import api, progress
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
                    legacy_sampled=legacy_sampled,
                    seed=seed,
                    dataset=dataset,
                )
            )
            count(done + 1, len(runs))
    out.print(progress.metrics_table(rows))
    if output is not None:
        write_text(output, json.dumps(rows[0] if len(rows) == 1 else rows, indent=2) + "\n")
