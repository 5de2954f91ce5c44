"""`tfdvbpr prepare` and `tfdvbpr describe`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfdvbpr.cli.options import DatasetArgument, IfExistsOption, out, parse_image_size
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import IfExists

if TYPE_CHECKING:
    from tfdvbpr.data.preparation.prepare import PrepareOptions

app = typer.Typer()


class SplitChoice(str, Enum):
    """Which actions are held out."""

    leave_one_out = "leave-one-out"
    leave_last_out = "leave-last-out"
    time = "time"
    source = "source"


class Duplicates(str, Enum):
    """What becomes of items that show the same picture."""

    keep = "keep"
    merge = "merge"


class Fit(str, Enum):
    """What happens to a photo of another shape."""

    pad = "pad"
    crop = "crop"
    squash = "squash"


_FORMATS_HELP = (
    "folder: SOURCE as above. dvbpr-npy: an .npy file of the paper's authors. amazon-reviews-2023: NAME.jsonl, "
    "meta_NAME.jsonl (both also .gz) and images/PARENT_ASIN.jpg. hm: articles.csv, transactions_train.csv and images/ "
    "of the H&M competition. fashion-mnist: its four IDX files, by default Debian's or what Keras fetches, with "
    "simulated shoppers. synthetic: rendered garments and simulated shoppers."
)


@app.command(epilog="Example: [bold]tfdvbpr prepare shop --image-size 64x64 --output shop.dataset[/bold]")
def prepare(
    output: Annotated[Path, typer.Option(help="The dataset folder to make.")],
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A folder with items.csv or .parquet (item_id, image, by choice category and more), interactions.csv "
            "or .parquet (user_id, item_id, by choice timestamp and split), and the pictures; or what --format reads. "
            "Not for --format synthetic.",
        ),
    ] = None,
    source_format: Annotated[str, typer.Option("--format", metavar="NAME", help=_FORMATS_HELP)] = "folder",
    image_size: Annotated[
        str, typer.Option(metavar="HxW", help="Height and width the network sees; multiples of 16 for the GAN.")
    ] = "64x64",
    fit: Annotated[Fit, typer.Option(help="Photos of another shape: white borders, cut, or distorted.")] = Fit.pad,
    split: Annotated[
        SplitChoice | None,
        typer.Option(
            help="Held out for validation and test: of each user two actions drawn at random (leave-one-out) or the "
            "last two (leave-last-out); everything after two cut times (time); what the source's column split says "
            "(source). Left out: source where there is such a column, else leave-one-out.",
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
            help="Leave out items with fewer actions; 1 leaves out those without any. Both limits together are "
            "applied until nothing changes.",
            min=0,
        ),
    ] = 0,
    duplicates: Annotated[
        Duplicates,
        typer.Option(
            help="Items with the same picture file are listed in DATASET/duplicates.csv; merge also moves their "
            "actions onto the first of them. Look at the list before: a 'no photo' picture would merge its items."
        ),
    ] = Duplicates.keep,
    withhold_items: Annotated[
        float,
        typer.Option(metavar="FRACTION", help="Keep this part of the items out of training, for cold-start figures."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the split, the withheld items and the synthetic data.", min=0)] = 0,
    max_pixels: Annotated[
        int, typer.Option(help="Pictures with more pixels are quarantined undecoded.", min=1)
    ] = 50_000_000,
    num_items: Annotated[
        int | None,
        typer.Option(
            help="synthetic: garments to render, 1500 if left out; fashion-mnist: photos to take, 10,000 if left out.",
            min=1,
            show_default=False,
        ),
    ] = None,
    num_users: Annotated[
        int, typer.Option(help="synthetic and fashion-mnist only: shoppers to simulate.", min=1)
    ] = 1200,
    if_exists: IfExistsOption = "error",
) -> None:
    """Turn pictures and clicks into a dataset that training reads.

    Broken pictures, unknown ids, repeated and malformed rows never stop it: they are left out, counted, and listed with
    the reason in DATASET/quarantine.csv. Of each user with 3 actions or more, one is kept for validation and one for
    the test; --split chooses them in another way.

    Of a repeated action the first in time counts. Where the split goes by time, an action with an unreadable timestamp
    is left out too. With --split time, users without an action before the first cut are neither trained on nor
    evaluated; they stay in the dataset, and are counted.
    """
    from tfdvbpr.cli import progress
    from tfdvbpr.data.preparation.prepare import PrepareOptions

    options = PrepareOptions(
        image_size=parse_image_size(image_size),
        fit=fit.value,
        seed=seed,
        withhold_items=withhold_items,
        max_pixels=max_pixels,
        split=None if split is None else split.value,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        min_user_actions=min_user_actions,
        min_item_actions=min_item_actions,
        duplicates=duplicates.value,
    )
    with progress.counting("Rendering" if source_format == "synthetic" else "Reading pictures") as count:
        if source_format == "synthetic":
            sizes = num_items or 1500, num_users or 1200
            dataset = _prepare_synthetic(source, output, options, *sizes, if_exists, count)
        elif source_format == "fashion-mnist":
            sizes = num_items or 10_000, num_users or 5000
            dataset = _prepare_fashion_mnist(source, output, options, *sizes, if_exists, count)
        else:
            from tfdvbpr import api

            if source is None:
                raise ConfigError(f"--format {source_format} needs a SOURCE: tfdvbpr prepare SOURCE --output ...")
            dataset = api.prepare(
                source, output, source_format=source_format, options=options, if_exists=if_exists, progress=count
            )
    _describe(dataset)


def _prepare_synthetic(
    source: Path | None,
    output: Path,
    options: PrepareOptions,
    num_items: int,
    num_users: int,
    if_exists: IfExists,
    count: Callable[[int, int], None],
) -> Any:
    from tfdvbpr import api
    from tfdvbpr.data.synthetic.source import SyntheticOptions

    if source is not None:
        raise ConfigError(f"--format synthetic takes no SOURCE. Received {source}. Leave it out.")
    synthetic = SyntheticOptions(
        num_items=num_items, num_users=num_users, image_size=max(options.image_size), seed=options.seed
    )
    return api.prepare_synthetic(output, synthetic=synthetic, options=options, if_exists=if_exists, progress=count)


def _prepare_fashion_mnist(
    source: Path | None,
    output: Path,
    options: PrepareOptions,
    num_items: int,
    num_users: int,
    if_exists: IfExists,
    count: Callable[[int, int], None],
) -> Any:
    from tfdvbpr import api
    from tfdvbpr.data.importers.fashion_mnist import FashionMnistOptions

    return api.prepare_fashion_mnist(
        output,
        source=source,
        fashion_mnist=FashionMnistOptions(num_items=num_items, num_users=num_users, seed=options.seed),
        options=options,
        if_exists=if_exists,
        progress=count,
    )


@app.command(epilog="Example: [bold]tfdvbpr describe shop.dataset --output shop.description[/bold]")
def describe(
    dataset: DatasetArgument,
    output: Annotated[
        Path | None,
        typer.Option(help="A folder to make, with long_tail.png, contact_sheet.png and description.json."),
    ] = None,
    cold_threshold: Annotated[int, typer.Option(help="An item with fewer training actions is cold.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="Which items the contact sheet shows.", min=0)] = 0,
    verify: Annotated[bool, typer.Option("--verify", help="Also hold every file against its hash.")] = False,
    if_exists: IfExistsOption = "error",
) -> None:
    """Say what a dataset holds, how it spreads over users and items, and what was left out of it.

    With --output it also draws the long tail of the items and a contact sheet of each category.
    """
    from tfdvbpr import api
    from tfdvbpr.cli import progress
    from tfdvbpr.data.dataset import PreparedDataset

    opened = PreparedDataset.open(dataset, verify=verify)
    told = api.describe(opened, output=output, cold_threshold=cold_threshold, seed=seed, if_exists=if_exists)
    _describe(opened)
    out.print(progress.facts_table("Actions", _action_facts(told)))
    spreads = {"a user": told.actions_per_user, "an item": told.actions_per_item}
    rows = [(name, f"{row.mean:.1f}", f"{row.median:g}", row.most, f"{row.gini:.2f}") for name, row in spreads.items()]
    out.print(progress.plain_table(("actions", "mean", "median", "most", "Gini"), rows))
    shares = [(row.category, row.num_items, row.num_actions, f"{row.cold_share:.1%}") for row in told.categories]
    out.print(progress.plain_table(("category", "items", "actions", "cold items"), shares))
    if output is not None:
        out.print(f"Pictures and figures: {output}", highlight=False, soft_wrap=True)
    if verify:
        out.print("Every file is as the manifest says.")


def _describe(dataset: Any) -> None:
    from tfdvbpr.cli import progress

    about = dataset.manifest
    facts = {
        "pictures": f"{about.image_size[0]}x{about.image_size[1]}, {about.fit}",
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
        out.print(f"Left out, with reasons: {dataset.path / 'quarantine.csv'}", highlight=False, soft_wrap=True)
    if about.num_duplicate_items:
        out.print(f"Items with the same picture: {dataset.path / 'duplicates.csv'}", highlight=False, soft_wrap=True)


def _filter_facts(about: Any) -> dict[str, object]:
    facts: dict[str, object] = {}
    limits = {"users": about.min_user_actions, "items": about.min_item_actions}
    if any(limits.values()):
        told = ", ".join(f"{what} with fewer than {least} actions" for what, least in limits.items() if least)
        facts[f"filtered: {told}"] = ""
        facts.update({f"  {what}": number for what, number in about.filtered.items()})
    if about.num_duplicate_items is not None:
        done = "merged" if about.duplicates == "merge" else "kept"
        facts[f"items with an earlier one's picture ({done})"] = about.num_duplicate_items
    return facts


def _action_facts(told: Any) -> dict[str, object]:
    facts: dict[str, object] = {
        "density": f"{told.density:.3%}",
        "users with a test action": told.num_tested_users,
        "users without a training action": told.num_untrained_users,
        f"cold (fewer than {told.cold_threshold} training actions)": "",
        "  of the items": f"{told.cold_item_share:.1%}",
        "  of the test actions": f"{told.cold_test_share:.1%}",
    }
    for part, first in told.first_actions.items():
        facts[f"{part}: first and last"] = f"{first} – {told.last_actions[part]}"
    return facts
