"""`tfdvbpr prepare` and `tfdvbpr describe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tfdvbpr.cli import progress
from tfdvbpr.cli.health import print_health
from tfdvbpr.cli.options import (
    CaptionsOption,
    DatasetArgument,
    IfExistsOption,
    out,
    parse_captions,
    parse_image_size,
    parse_share,
)
from tfdvbpr.cli.output import JsonOption, print_json
from tfdvbpr.data import DateOrder, DuplicateHandling, ImageFit, SplitKind
from tfdvbpr.errors import ConfigError, check_choice

if TYPE_CHECKING:
    from tfdvbpr.data.dataset import PreparedDataset
    from tfdvbpr.data.preparation.health import HealthReport

app = typer.Typer()


class _PrepareCommand(TyperCommand):
    """The command whose help lists the importers, also those of other distributions."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Fills in the help of --format."""
        option: Any = next(each for each in self.params if each.name == "source_format")
        option.help = _formats_help()
        super().format_help(ctx, formatter)


def _formats_help() -> str:
    from tfdvbpr.data.importers import IMPORTERS

    lines = ["What SOURCE holds; [OPTIONS] are values for --set."]
    for name, importer in IMPORTERS.items():
        options = ", ".join(importer.model_fields)
        lines.append(f"{name}: {importer.summary}" + (f" [{options}]" if options else ""))
    return "\n\n".join(lines).replace("[", "\\[")


@app.command(
    cls=_PrepareCommand, epilog="Example: [bold]tfdvbpr prepare shop --image-size 64x64 --output shop.dataset[/bold]"
)
def prepare(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="A folder or file as --format describes it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The dataset folder to make; needed without --check.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Print the health of the source, and write nothing.")] = False,
    source_format: Annotated[str, typer.Option("--format", metavar="NAME")] = "folder",
    set_values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Sets one option of the format; repeat for more."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS",
            help="--format folder: what the tables call item_id, image, category, user_id, timestamp or split, such as "
            "item_id=sku,image=photo. Case and blanks beside a name do not matter. Give a column twice where the two "
            "tables differ.",
        ),
    ] = None,
    date_order: Annotated[
        DateOrder | None,
        typer.Option(
            help="Of day and month in dates such as 03/04/2024. Default: what the dates say, and an error where they "
            "do not.",
            show_default=False,
        ),
    ] = None,
    image_size: Annotated[
        str, typer.Option(metavar="HxW", help="Height and width of the network's input; multiples of 16 for the GAN.")
    ] = "64x64",
    fit: Annotated[
        ImageFit, typer.Option(help="What to do with images of another shape: add white borders, crop, or distort.")
    ] = "pad",
    split: Annotated[
        SplitKind | None,
        typer.Option(
            help="Which actions are held out for validation and test. leave-one-out: two random actions of each user. "
            "leave-last-out: the last two. time: everything after two points in time. source: what the source's "
            "column split says. Default: source where there is such a column, else leave-one-out.",
            show_default=False,
        ),
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option(metavar="FRACTION", help="--split time only: part of the actions to validate on.")
    ] = 0.1,
    test_fraction: Annotated[
        float, typer.Option(metavar="FRACTION", help="--split time only: part of the actions, the latest, to test on.")
    ] = 0.1,
    min_user_actions: Annotated[
        int, typer.Option(metavar="N", help="Leave out users with fewer actions; the paper has 5.", min=0)
    ] = 0,
    min_item_actions: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Leave out items with fewer actions. Both limits are applied together until nothing changes.",
            min=0,
        ),
    ] = 0,
    duplicates: Annotated[
        DuplicateHandling,
        typer.Option(
            help="Items with the same image file are listed in DATASET/duplicates.csv; merge also moves their actions "
            "to the first of them. Read the list first: a 'no photo' image would merge its items."
        ),
    ] = "keep",
    withhold_items: Annotated[
        float,
        typer.Option(metavar="FRACTION", help="Keep this part of the items out of training, for cold-start metrics."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the split, the withheld items and simulated data.", min=0)] = 0,
    max_pixels: Annotated[
        int, typer.Option(help="Images with more pixels are quarantined without being decoded.", min=1)
    ] = 50_000_000,
    max_loss: Annotated[
        str,
        typer.Option(
            metavar="PERCENT",
            help="End with exit code 2 where more of the items or of the interactions are lost. What is repeated, and "
            "what --min-user-actions and --min-item-actions leave out, does not count.",
        ),
    ] = "5%",
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Go on in spite of the errors of one health check; repeat for more."),
    ] = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Turn images and interactions into a dataset for training.

    Broken images, unknown ids, repeated and malformed rows are left out, counted, and listed with the reason in
    DATASET/quarantine.csv. A table of the source's health says what may be wrong and what to do; it is also in
    DATASET/health.json. Errors, and more loss than --max-loss, end with exit code 2. --check prints the table and ends.

    Of each user with 3 actions or more, one is kept for validation and one for the test;
    --split chooses them in another way.

    Of a repeated action the first in time counts. Where the split goes by time, an action with an unreadable timestamp
    is left out too. With --split time, users without an action before the first point in time are neither trained on
    nor evaluated; they stay in the dataset and are counted.
    """
    from tfdvbpr import api
    from tfdvbpr.config.base import parse_overrides
    from tfdvbpr.data.importers import IMPORTERS
    from tfdvbpr.data.importers.folder import parse_columns
    from tfdvbpr.data.preparation.options import PrepareOptions
    from tfdvbpr.data.preparation.refusal import refuse

    options = PrepareOptions(
        image_size=parse_image_size(image_size),
        fit=fit,
        seed=seed,
        withhold_items=withhold_items,
        max_pixels=max_pixels,
        split=split,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        min_user_actions=min_user_actions,
        min_item_actions=min_item_actions,
        duplicates=duplicates,
        date_order=date_order,
        max_loss=parse_share("--max-loss", max_loss),
        allow=tuple(allow or ()),
    )
    importer_options = parse_overrides(set_values or ())
    if columns:
        check_choice("format", source_format, IMPORTERS)
        if "columns" not in IMPORTERS[source_format].model_fields:
            raise ConfigError(f"--columns is for --format folder; {source_format} has names of its own. Leave it out.")
        importer_options["columns"] = parse_columns(columns)
    importer: dict[str, Any] = {"source_format": source_format, "importer_options": importer_options}
    reports: list[HealthReport] = []
    dataset: PreparedDataset | None = None
    if output is None and not check:
        raise ConfigError("`prepare` needs --output DATASET, or --check to write nothing. Give one of the two.")
    try:
        with progress.counting("Reading images") as count:
            if output is None or check:
                report = api.check_source(source, options=options, progress=count, **importer)
                reports.append(report)
                refuse(report, options)
                return
            dataset = api.prepare(
                source,
                output,
                options=options,
                if_exists=if_exists,
                progress=count,
                on_health=reports.append,
                **importer,
            )
    finally:
        if as_json:
            print_json("prepare", {"health": reports, "dataset": dataset and dataset.manifest})
        else:
            for report in reports:
                print_health(report)
    if as_json:
        return
    _print_manifest(dataset)


@app.command(epilog="Example: [bold]tfdvbpr describe shop.dataset --output shop.description[/bold]")
def describe(
    dataset: DatasetArgument,
    output: Annotated[
        Path | None,
        typer.Option(help="A folder to make, with long_tail.png, sample_grid.png and description.json."),
    ] = None,
    captions: CaptionsOption = None,
    verify: Annotated[bool, typer.Option("--verify", help="Also check every file against its hash.")] = False,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Print what a dataset holds, how actions spread over users and items, and what was left out.

    With --output also plot the long tail of the items and sample images of each category.
    """
    from tfdvbpr import api
    from tfdvbpr.data.dataset import PreparedDataset

    opened = PreparedDataset.open(dataset, verify=verify)
    description = api.describe(opened, output=output, captions=parse_captions(captions), if_exists=if_exists)
    if as_json:
        print_json("describe", description)
        return
    _print_manifest(opened)
    out.print(progress.facts_table("Actions", _action_facts(description)))
    spreads = {"a user": description.actions_per_user, "an item": description.actions_per_item}
    rows = [(name, f"{row.mean:.1f}", f"{row.median:g}", row.most, f"{row.gini:.2f}") for name, row in spreads.items()]
    out.print(progress.plain_table(("actions", "mean", "median", "most", "Gini"), rows))
    shares = [(row.category, row.num_items, row.num_actions, f"{row.cold_share:.1%}") for row in description.categories]
    out.print(progress.plain_table(("category", "items", "actions", "cold items"), shares))
    if output is not None:
        out.print(f"Images and figures: {output}", soft_wrap=True)
    if verify:
        out.print("Every file agrees with the manifest.")


def _print_manifest(dataset: Any) -> None:

    about = dataset.manifest
    facts = {
        "images": f"{about.image_size[0]}x{about.image_size[1]}, {about.fit}",
        "items": about.num_items,
        "categories": len(about.categories),
        "users": about.num_users,
        "actions": about.num_interactions,
        f"split: {about.split}": "",
        "  training": about.num_train,
        "  validation": about.num_validation,
        "  test": about.num_test,
        "  withheld": about.num_withheld,
        **({} if about.num_untrained_users is None else {"users without a training action": about.num_untrained_users}),
        "cold items (fewer than 5 training actions)": about.num_cold_items,
        **_filter_facts(about),
        "left out": about.num_quarantined,
        **{f"  {kind}": number for kind, number in about.quarantine.items()},
        "fingerprint": about.fingerprint,
    }
    out.print(progress.facts_table(f"{about.name} ({about.source_format})", facts))
    if about.num_quarantined:
        out.print(f"Left out, with reasons: {dataset.path / 'quarantine.csv'}", soft_wrap=True)
    if about.num_duplicate_items:
        out.print(f"Items with the same image: {dataset.path / 'duplicates.csv'}", soft_wrap=True)


def _filter_facts(about: Any) -> dict[str, object]:
    facts: dict[str, object] = {}
    limits = {"users": about.min_user_actions, "items": about.min_item_actions}
    if any(limits.values()):
        limited = ", ".join(f"{what} with fewer than {least} actions" for what, least in limits.items() if least)
        facts[f"filtered: {limited}"] = ""
        facts.update({f"  {what}": number for what, number in about.filtered.items()})
    if about.num_duplicate_items is not None:
        done = "merged" if about.duplicates == "merge" else "kept"
        facts[f"items with an earlier one's image ({done})"] = about.num_duplicate_items
    return facts


def _action_facts(description: Any) -> dict[str, object]:
    facts: dict[str, object] = {
        "density": f"{description.density:.3%}",
        "users with a test action": description.num_tested_users,
        "users without a training action": description.num_untrained_users,
        f"cold (fewer than {description.cold_threshold} training actions)": "",
        "  of the items": f"{description.cold_item_share:.1%}",
        "  of the test actions": f"{description.cold_test_share:.1%}",
    }
    for part, first in description.first_actions.items():
        facts[f"{part}: first and last"] = f"{first} – {description.last_actions[part]}"
    return facts
