"""`tfdvbpr prepare` and `tfdvbpr describe`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfdvbpr.cli.options import DatasetArgument, Overwrite, out, parse_image_size
from tfdvbpr.errors import ConfigError

if TYPE_CHECKING:
    from tfdvbpr.data.prepare import PrepareOptions

app = typer.Typer()


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
            "or .parquet (user_id, item_id), and the pictures; or what --format reads. Not for --format synthetic.",
        ),
    ] = None,
    source_format: Annotated[str, typer.Option("--format", metavar="NAME", help=_FORMATS_HELP)] = "folder",
    image_size: Annotated[
        str, typer.Option(metavar="HxW", help="Height and width the network sees; multiples of 16 for the GAN.")
    ] = "64x64",
    fit: Annotated[Fit, typer.Option(help="Photos of another shape: white borders, cut, or distorted.")] = Fit.pad,
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
    overwrite: Overwrite = False,
) -> None:
    """Turn pictures and clicks into a dataset that training reads.

    Broken pictures, unknown ids, repeated and malformed rows never stop it: they are left out, counted, and listed with
    the reason in DATASET/quarantine.csv. Of each user with 3 actions or more, one is kept for validation and one for
    the test.
    """
    from tfdvbpr import progress
    from tfdvbpr.data.prepare import PrepareOptions

    options = PrepareOptions(
        image_size=parse_image_size(image_size),
        fit=fit.value,
        seed=seed,
        withhold_items=withhold_items,
        max_pixels=max_pixels,
    )
    with progress.counting("Rendering" if source_format == "synthetic" else "Reading pictures") as count:
        if source_format == "synthetic":
            sizes = num_items or 1500, num_users or 1200
            dataset = _prepare_synthetic(source, output, options, *sizes, overwrite, count)
        elif source_format == "fashion-mnist":
            sizes = num_items or 10_000, num_users or 5000
            dataset = _prepare_fashion_mnist(source, output, options, *sizes, overwrite, count)
        else:
            from tfdvbpr import api

            if source is None:
                raise ConfigError(f"--format {source_format} needs a SOURCE: tfdvbpr prepare SOURCE --output ...")
            dataset = api.prepare(
                source, output, source_format=source_format, options=options, overwrite=overwrite, progress=count
            )
    _describe(dataset)


def _prepare_synthetic(
    source: Path | None,
    output: Path,
    options: PrepareOptions,
    num_items: int,
    num_users: int,
    overwrite: bool,
    count: Callable[[int, int], None],
) -> Any:
    from tfdvbpr import api
    from tfdvbpr.data.synthetic import SyntheticOptions

    if source is not None:
        raise ConfigError(f"--format synthetic takes no SOURCE. Received {source}. Leave it out.")
    synthetic = SyntheticOptions(
        num_items=num_items, num_users=num_users, image_size=max(options.image_size), seed=options.seed
    )
    return api.prepare_synthetic(output, synthetic=synthetic, options=options, overwrite=overwrite, progress=count)


def _prepare_fashion_mnist(
    source: Path | None,
    output: Path,
    options: PrepareOptions,
    num_items: int,
    num_users: int,
    overwrite: bool,
    count: Callable[[int, int], None],
) -> Any:
    from tfdvbpr import api
    from tfdvbpr.data.importers.fashion_mnist import FashionMnistOptions

    return api.prepare_fashion_mnist(
        output,
        source=source,
        fashion_mnist=FashionMnistOptions(num_items=num_items, num_users=num_users, seed=options.seed),
        options=options,
        overwrite=overwrite,
        progress=count,
    )


@app.command(epilog="Example: [bold]tfdvbpr describe shop.dataset --verify[/bold]")
def describe(
    dataset: DatasetArgument,
    verify: Annotated[bool, typer.Option("--verify", help="Also hold every file against its hash.")] = False,
) -> None:
    """Say what a dataset holds, and what was left out of it."""
    from tfdvbpr.data.dataset import PreparedDataset

    _describe(PreparedDataset.open(dataset, verify=verify))
    if verify:
        out.print("Every file is as the manifest says.")


def _describe(dataset: Any) -> None:
    from tfdvbpr import progress

    about = dataset.manifest
    facts = {
        "pictures": f"{about.image_size[0]}x{about.image_size[1]}, {about.fit}",
        "items": about.num_items,
        "categories": len(about.categories),
        "users": about.num_users,
        "actions": about.num_interactions,
        "  training": about.num_train,
        "  validation": about.num_validation,
        "  test": about.num_test,
        "  on withheld items": about.num_withheld,
        "cold items (fewer than 5 training actions)": about.num_cold_items,
        "left out": about.num_quarantined,
        **{f"  {kind}": number for kind, number in about.quarantine.items()},
        "fingerprint": about.fingerprint,
    }
    out.print(progress.facts_table(f"{about.name} ({about.source_format})", facts))
    if about.num_quarantined:
        out.print(f"Left out, with reasons: {dataset.path / 'quarantine.csv'}", highlight=False, soft_wrap=True)
