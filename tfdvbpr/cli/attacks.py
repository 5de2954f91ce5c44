"""`tfdvbpr attack`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tfdvbpr.cli import progress
from tfdvbpr.cli.options import IfExistsOption, MovedDataset, OutputOption, RunArgument, out
from tfdvbpr.cli.output import JsonOption, print_json
from tfdvbpr.errors import ConfigError

app = typer.Typer()


@app.command(
    epilog="Example: [bold]tfdvbpr attack runs/dvbpr --sample 100 --output attacked[/bold]; one item "
    "[bold]--item i90[/bold]; does it work on another model? [bold]--second-run runs/other[/bold]"
)
def attack(
    run: RunArgument,
    output: OutputOption,
    item: Annotated[list[str] | None, typer.Option(help="An item to attack; repeat for more.")] = None,
    sample: Annotated[int, typer.Option(help="Instead: so many random items.", min=1)] = 32,
    category: Annotated[str | None, typer.Option(help="Of the random items; any, if left out.")] = None,
    epsilon: Annotated[
        str, typer.Option(metavar="N/255", help="The largest change of a pixel, as a share of its range.")
    ] = "4/255",
    method: Annotated[
        Literal["pgd", "fgsm"], typer.Option(help="pgd: 40 steps along the gradient. fgsm: one step.")
    ] = "pgd",
    goal: Annotated[
        Literal["promotion", "resemblance"],
        typer.Option(help="promotion: into users' first ten. resemblance: like popular items, of --target-category."),
    ] = "promotion",
    target_category: Annotated[str | None, typer.Option(help="Of the items to resemble; any, if left out.")] = None,
    second_run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Another recommender, which is not attacked, to rank the same photos too."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random items, users and starts.", min=0)] = 0,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Measure how far imperceptible changes of photos push their items up in users' lists.

    Changes each photo by the gradient of a goal, by no more than epsilon a pixel, and ranks its item in the lists of up
    to 5,000 users: with the photo, with random noise of the same size, and with the attacked photo; as they are, saved
    as JPEG, and resized. Writes attack.png (before, after, difference × 10), attack.json, items.csv, and the photos.
    """
    from tfdvbpr import api
    from tfdvbpr.evaluation.attacks.attack import AttackOptions

    options = AttackOptions(
        attack=method, goal=goal, epsilon=_share(epsilon), target_category=target_category, seed=seed
    )
    with progress.counting("Attacking") as show:
        evaluation = api.attack(
            run,
            output,
            item_ids=item or (),
            sample=sample,
            category=category,
            options=options,
            second_run=second_run,
            dataset=dataset,
            if_exists=if_exists,
            progress=show,
        )
    if as_json:
        print_json("attack", evaluation.figures)
        return
    out.print(_table(evaluation.figures, options.k))
    means = evaluation.figures["means"]
    out.print(f"PSNR {means['psnr']:.1f} dB, SSIM {means['ssim']:.3f}: {output / 'attack.png'}", soft_wrap=True)


def _share(text: str) -> float:
    """A share of a pixel's range, from 4/255 or 0.0157."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(?:/\s*255)?\s*", text)
    if match is None:
        raise ConfigError(f"--epsilon must be a number of 255, such as 4/255, or a share. Received {text!r}.")
    return float(match[1]) / (255.0 if "/" in text else 1.0)


def _table(figures: dict[str, Any], k: int) -> Any:
    rows = []
    for row in figures["exposures"]:
        rank = "–" if row["mean_rank"] is None else f"{row['mean_rank']:,.0f} ± {row['standard_error']:,.0f}"
        hits = "–" if row["hit_rate"] is None else f"{row['hit_rate']:.2%}"
        rows.append((row["recommender"], row["defence"], row["photos"], rank, hits))
    title = f"{figures['num_items']} items, {figures['num_users']} users"
    return progress.plain_table(
        ("recommender", "defence", "photos", "mean rank", f"in the first {k}"), rows, title=title
    )
