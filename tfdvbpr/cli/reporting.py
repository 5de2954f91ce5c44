"""`tfdvbpr report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfdvbpr.cli import progress
from tfdvbpr.cli.options import IfExistsOption, MovedDataset, OutputOption, RunArgument, out
from tfdvbpr.cli.output import JsonOption, print_json
from tfdvbpr.text import printable

app = typer.Typer()


@app.command(
    epilog="Example: [bold]tfdvbpr report runs/dvbpr --gan runs/gan --compare runs/ease --output report[/bold], "
    "then open report/report.html"
)
def report(
    run: RunArgument,
    output: OutputOption,
    gan: Annotated[
        Path | None, typer.Option(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`: adds designs.")
    ] = None,
    compare: Annotated[
        list[Path] | None, typer.Option(metavar="RUN", help="Another run of the same dataset; repeat for more.")
    ] = None,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Write a report on a run and your own data: one HTML page with a verdict.

    The page needs nothing beside it: no network and no JavaScript. It shows whether the model beats popularity, what
    sample users bought and are recommended, new items that were found, with --gan samples and designs, how actions
    spread over the catalogue, the health of the data, and what to try next. report.json has the figures. On a large
    catalogue a random sample of users is evaluated.
    """
    from tfdvbpr import api
    from tfdvbpr.reporting.page import FIGURES_NAME, PAGE_NAME

    with progress.counting("Reporting") as count:
        found = api.write_report(
            run, output, gan_run=gan, compared=compare or (), dataset=dataset, if_exists=if_exists, progress=count
        )
    if as_json:
        print_json("report", json.loads((output / FIGURES_NAME).read_text(encoding="utf-8")))
        return
    out.print(f"{found.headline}.")
    for reason in found.reasons:
        out.print(printable(f"  {MARKS[reason.level]} {reason.text}"))
    out.print(f"Report: {(output / PAGE_NAME).resolve()}", soft_wrap=True)


MARKS = {"stop": "✕", "caution": "!", "good": "✓"}
