"""`tfdvbpr recommend`, `tfdvbpr update-items` and `tfdvbpr explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tfdvbpr.cli import progress
from tfdvbpr.cli.options import IfExistsOption, LikedOption, MovedDataset, RunArgument, out
from tfdvbpr.errors import ConfigError
from tfdvbpr.text import printable

if TYPE_CHECKING:
    from tfdvbpr.run.recommender_run import Recommendation

app = typer.Typer()


@app.command(
    epilog="Example: [bold]tfdvbpr recommend runs/dvbpr --liked i17 --liked i90 --category dress --output grid.png"
    "[/bold]"
)
def recommend(
    run: RunArgument,
    user: Annotated[str | None, typer.Option(help="A user id, as in the interactions.")] = None,
    liked: LikedOption = None,
    category: Annotated[str | None, typer.Option(help="Only items of this category.")] = None,
    k: Annotated[int, typer.Option("--k", help="How many items.", min=1)] = 10,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Also items acted on or liked.")] = False,
    output: Annotated[Path | None, typer.Option(help="A PNG of the liked and the recommended items.")] = None,
    dataset: MovedDataset = None,
) -> None:
    """Recommend items to a user, or to a new user from a few liked items.

    A new user is folded in: the user embedding is computed from the liked items while the model stays as it is.
    """
    from tfdvbpr.run import Run

    if (user is None) == (not liked):
        raise ConfigError("`recommend` takes either --user ID or one or more --liked ITEM. Give one of the two.")
    opened = Run.open(run)
    if user is not None:
        answer = opened.recommend(user, k=k, category=category, exclude_seen=not include_seen)
        row = int(opened.user_indices([user])[0])
        liked, name = [opened.items.item_ids[item] for item in opened.seen_items(row)], f"user {user}"
    else:
        liked, name = list(liked or []), "a new user"
        answer = opened.recommend_for(liked, k=k, category=category, exclude_seen=not include_seen)
    title = f"For {name}, by {opened.manifest.model}"
    _print(answer, title)
    if output is not None:
        from tfdvbpr.run.explanation import write_recommendations

        write_recommendations(output, liked, answer, dataset=opened.open_dataset(dataset), title=title)
        out.print(f"Images: {output}", soft_wrap=True)


def _print(answer: list[Recommendation], title: str) -> None:
    rows = [(number, each.item_id, each.category, f"{each.score:+.4f}") for number, each in enumerate(answer, 1)]
    out.print(progress.plain_table(("", "item", "category", "score"), rows, title=title))


@app.command(
    "update-items", epilog="Example: [bold]tfdvbpr update-items runs/dvbpr spring --output runs/dvbpr-spring[/bold]"
)
def update_items(
    run: RunArgument,
    new_items: Annotated[
        Path,
        typer.Argument(
            metavar="NEW_ITEMS",
            help="A folder with items.csv or .parquet (item_id, image, optionally category and more) and the images.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The run folder to make; the larger dataset goes into it.")],
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
) -> None:
    """Add new items to a run without training: they are embedded by their images and ranked at once.

    The new run has the same users, weights and scores of the old items. Broken images and ids that are in the catalogue
    already are left out, counted, and listed in the new dataset's quarantine.csv.
    """
    from tfdvbpr import api
    from tfdvbpr.run import Run

    opened = Run.open(run)
    before = opened.open_dataset(dataset).manifest
    with progress.counting("Reading images") as show:
        larger = api.update_items(opened, new_items, output, dataset=dataset, if_exists=if_exists, progress=show)
    after = larger.open_dataset().manifest
    left_out = after.num_quarantined - before.num_quarantined
    added = after.num_items - before.num_items
    out.print(f"Added {added:,} items, {after.num_items:,} in all; left out {left_out:,}: {output}")
    if left_out:
        where = larger.open_dataset().path / "quarantine.csv"
        out.print(f"Left out, with reasons: {where}", soft_wrap=True)


@app.command(
    epilog="Example: [bold]tfdvbpr explain runs/dvbpr --user u17 --item i90 --item i91 --output why.png[/bold]"
)
def explain(
    run: RunArgument,
    user: Annotated[str, typer.Option(help="A user id, as in the interactions.")],
    item: Annotated[list[str], typer.Option(help="An item id; repeat for more.")],
    output: Annotated[Path, typer.Option(help="The PNG to write.")],
    baseline: Annotated[
        Literal["white", "blurred"],
        typer.Option(help="The image without information: white, or the item's own, blurred."),
    ] = "white",
    dataset: MovedDataset = None,
) -> None:
    """Show which pixels of an item's image, and which liked items, a user's score comes from.

    The heat map is of integrated gradients of θᵀΦ(x), from a baseline image to the item's: red pixels raise the score,
    blue ones lower it, and they sum to the difference of the two images' scores. For hybrid-dvbpr it is the visual part
    of the score alone.
    """
    from tfdvbpr import api

    with progress.status("Explaining"):
        explanations = api.explain(run, user, item, output=output, baseline=baseline, dataset=dataset)
    for each in explanations:
        sources = ", ".join(f"{source.item_id} {source.contribution:+.2f}" for source in each.sources[:3])
        line = f"{each.item_id}: score {each.score:+.4f}, {baseline} image {each.baseline_score:+.4f}"
        out.print(printable(line + (f"; from liked items {sources}" if sources else "")), soft_wrap=True)
    out.print(f"Image: {output}", soft_wrap=True)
