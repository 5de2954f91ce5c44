"""`tfdvbpr evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfdvbpr.cli.options import out

app = typer.Typer()


@app.command(epilog="Example: [bold]tfdvbpr evaluate runs/dvbpr runs/popularity --output metrics.json[/bold]")
def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders made by `tfdvbpr train`.")],
    split: Annotated[str, typer.Option(help="validation (to choose by) or test (to report once).")] = "test",
    cold_threshold: Annotated[
        int | None, typer.Option(help="Items with fewer training actions are cold; the paper's 5.", min=1)
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for the figures of all runs.")] = None,
) -> None:
    """Exact AUC (all and cold items), recall, NDCG and MRR over the whole catalogue.

    No negative is sampled; ties count one half; everything a user acted on is masked. Each run's figures also go to its
    metrics.json.
    """
    import json

    from tfdvbpr import api, progress
    from tfdvbpr.files import write_text

    rows = []
    with progress.counting("Evaluating") as count:
        for done, run in enumerate(runs):
            rows.append(api.evaluate(run, split=split, cold_threshold=cold_threshold))
            count(done + 1, len(runs))
    out.print(progress.metrics_table(rows))
    if output is not None:
        write_text(output, json.dumps(rows[0] if len(rows) == 1 else rows, indent=2) + "\n")
