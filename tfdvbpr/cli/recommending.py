"""`tfdvbpr recommend`, `update-items`, `update-users` and `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tfdvbpr.cli import progress
from tfdvbpr.cli.options import (
    CaptionsOption,
    IfExistsOption,
    LikedOption,
    MovedDataset,
    RunArgument,
    out,
    parse_captions,
)
from tfdvbpr.cli.output import JsonOption, print_json
from tfdvbpr.errors import ConfigError
from tfdvbpr.text import printable

if TYPE_CHECKING:
    from tfdvbpr.files import IfExists
    from tfdvbpr.run import Run
    from tfdvbpr.run.explanation import Explanation
    from tfdvbpr.run.recommender_run import Recommendation

app = typer.Typer()


@app.command(
    epilog="Example: [bold]tfdvbpr recommend runs/dvbpr --liked i17 --category dress --output grid.png[/bold]; many "
    "users [bold]tfdvbpr recommend runs/dvbpr --users all --where 'price < 50 and in_stock' --output mail.parquet"
    "[/bold]"
)
def recommend(
    run: RunArgument,
    user: Annotated[str | None, typer.Option(help="A user id, as in the interactions.")] = None,
    liked: LikedOption = None,
    users: Annotated[
        str | None,
        typer.Option(
            metavar="all|FILE",
            help="Many users at once, into --output: all, or those of a .csv or .parquet file with a column user_id.",
        ),
    ] = None,
    category: Annotated[str | None, typer.Option(help="Only items of this category.")] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="FILTER",
            help="Only items that this filter keeps, over the columns of items.csv: comparisons, and, or, not, in and "
            "parentheses, such as \"price < 50 and in_stock and colour in ('red', 'blue')\".",
            show_default=False,
        ),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Leave out the items of a .csv or .parquet file with a column item_id."),
    ] = None,
    k: Annotated[int, typer.Option("--k", help="How many items.", min=1)] = 10,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Also items acted on or liked.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="A PNG of the liked and the recommended items. With --users a .parquet or .csv file with a row an "
            "item, or a .jsonl file with a line a user."
        ),
    ] = None,
    captions: CaptionsOption = None,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Recommend items to a user, to a new user from a few liked items, or to many users at once.

    A new user is folded in: the user embedding is computed from the liked items while the model stays as it is.

    With --users, the same command continues after an interruption. Ids in a file that the run does not know are left
    out, counted and listed.
    """
    from tfdvbpr.run import Run

    if (user is not None) + bool(liked) + (users is not None) != 1:
        raise ConfigError(
            "`recommend` takes either --user ID or one or more --liked ITEM or --users all|FILE. Give one of the three."
        )
    opened = Run.open(run)
    if users is not None:
        _many(opened, users, output, where, category, exclude, k, include_seen, if_exists, as_json)
        return
    if exclude is not None:
        raise ConfigError("--exclude goes with --users. For one user, give a filter with --where.")
    if user is not None:
        answer = opened.recommend(user, k=k, category=category, exclude_seen=not include_seen, where=where)
        row = int(opened.user_indices([user])[0])
        liked, name = [opened.items.item_ids[item] for item in opened.seen_items(row)], f"user {user}"
    else:
        liked, name = list(liked or []), "a new user"
        answer = opened.recommend_for(liked, k=k, category=category, exclude_seen=not include_seen, where=where)
    title = f"For {name}, by {opened.manifest.model}"
    if as_json:
        print_json("recommend", {"for": name, "model": opened.manifest.model, "items": answer})
    else:
        _print(answer, title)
    if output is not None:
        from tfdvbpr.run.explanation import write_recommendations

        images, columns = opened.open_dataset(dataset), parse_captions(captions)
        write_recommendations(output, liked, answer, dataset=images, title=title, captions=columns)
        if not as_json:
            out.print(f"Images: {output}", soft_wrap=True)


def _many(
    run: Run,
    users: str,
    output: Path | None,
    where: str | None,
    category: str | None,
    exclude: Path | None,
    k: int,
    include_seen: bool,
    if_exists: IfExists,
    as_json: bool,
) -> None:
    from tfdvbpr import api

    if output is None:
        raise ConfigError("--users needs --output: a .parquet, .csv or .jsonl file.")
    with progress.counting("Recommending") as show:
        done = api.recommend(
            run,
            output,
            users=None if users == "all" else Path(users),
            k=k,
            where=where,
            category=category,
            exclude_items=() if exclude is None else exclude,
            exclude_seen=not include_seen,
            if_exists=if_exists,
            progress=show,
        )
    if as_json:
        print_json("recommend", done)
        return
    lines = [f"Recommended up to {k:,} of {done.num_items:,} items to {done.num_users:,} users: {output}"]
    if done.num_resumed:
        lines.append(f"{done.num_resumed:,} of the users were done before an interruption.")
    if done.num_empty:
        lines.append(f"No item was left for {done.num_empty:,} users.")
    if done.left_out is not None:
        lines.append(f"Left out, with reasons: {done.left_out}")
    out.print("\n".join(lines), soft_wrap=True)


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
    columns: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="What the table calls item_id, image or category, as for prepare."),
    ] = None,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Add new items to a run without training: they are embedded by their images and ranked at once.

    The new run has the same users, weights and scores of the old items. Broken images and ids that are in the catalogue
    already are left out, counted, and listed in the new dataset's quarantine.csv.
    """
    from tfdvbpr import api
    from tfdvbpr.data.importers.folder import parse_columns
    from tfdvbpr.run import Run

    opened, names = Run.open(run), parse_columns(columns) if columns else None
    with progress.counting("Reading images") as show:
        larger = api.update_items(
            opened, new_items, output, columns=names, dataset=dataset, if_exists=if_exists, progress=show
        )
    after = larger.open_dataset().manifest
    left_out, added = after.num_quarantined, after.num_items - opened.manifest.num_items
    if as_json:
        print_json("update-items", {"added": added, "items": after.num_items, "left_out": left_out, "run": larger.path})
        return
    out.print(f"Added {added:,} items, {after.num_items:,} in all; left out {left_out:,}: {output}")
    if left_out:
        where = larger.open_dataset().path / "quarantine.csv"
        out.print(f"Left out, with reasons: {where}", soft_wrap=True)


@app.command(
    "update-users", epilog="Example: [bold]tfdvbpr update-users runs/dvbpr today.csv --output runs/dvbpr-today[/bold]"
)
def update_users(
    run: RunArgument,
    interactions: Annotated[
        Path, typer.Argument(metavar="INTERACTIONS", help="A .csv or .parquet file with the columns user_id, item_id.")
    ],
    output: Annotated[Path, typer.Option(help="The run folder to make; the larger dataset goes into it.")],
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Add new users to a run without training: their embeddings are folded in from the items they acted on.

    The new run has the same items, weights and scores of the old users. Actions of users whom the run knows already and
    on items that it does not know are left out, counted, and listed in the new run's left_out.csv.
    """
    from tfdvbpr import api
    from tfdvbpr.run import Run
    from tfdvbpr.run.new_users import LEFT_OUT_NAME

    opened = Run.open(run)
    with progress.status("Folding in users"):
        larger = api.update_users(opened, interactions, output, dataset=dataset, if_exists=if_exists)
    added = larger.manifest.num_users - opened.manifest.num_users
    if as_json:
        print_json("update-users", {"added": added, "users": larger.manifest.num_users, "run": larger.path})
        return
    out.print(f"Added {added:,} users, {larger.manifest.num_users:,} in all: {output}", soft_wrap=True)
    left_out = len((larger.path / LEFT_OUT_NAME).read_text(encoding="utf-8").splitlines()) - 1
    if left_out:
        out.print(f"Left out {left_out:,} actions, with reasons: {larger.path / LEFT_OUT_NAME}", soft_wrap=True)


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
    as_json: JsonOption = False,
) -> None:
    """Show which pixels of an item's image, and which liked items, a user's score comes from.

    The heat map is of integrated gradients of θᵀΦ(x), from a baseline image to the item's: red pixels raise the score,
    blue ones lower it, and they sum to the difference of the two images' scores. For hybrid-dvbpr it is the visual part
    of the score alone.
    """
    from tfdvbpr import api

    with progress.status("Explaining"):
        explanations = api.explain(run, user, item, output=output, baseline=baseline, dataset=dataset)
    if as_json:
        print_json("explain", [_figures(each) for each in explanations])
        return
    for each in explanations:
        sources = ", ".join(f"{source.item_id} {source.contribution:+.2f}" for source in each.sources[:3])
        line = f"{each.item_id}: score {each.score:+.4f}, {baseline} image {each.baseline_score:+.4f}"
        out.print(printable(line + (f"; from liked items {sources}" if sources else "")), soft_wrap=True)
    out.print(f"Image: {output}", soft_wrap=True)


def _figures(each: Explanation) -> dict[str, object]:
    """An explanation without its pixels."""
    return {
        "item_id": each.item_id,
        "score": each.score,
        "baseline_score": each.baseline_score,
        "sources": each.sources,
    }
