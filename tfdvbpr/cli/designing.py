"""`tfdvbpr design`, `tfdvbpr tailor`, `tfdvbpr interpolate` and `tfdvbpr generate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tfdvbpr.cli import endings, progress
from tfdvbpr.cli.options import (
    CaptionsOption,
    GanOption,
    IfExistsOption,
    LikedOption,
    MovedDataset,
    OutputOption,
    RunArgument,
    out,
    parse_captions,
)
from tfdvbpr.cli.output import JsonOption, print_json

app = typer.Typer()

SecondRun = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Another recommender, which the ascent does not use, to score the images too."),
]
MoreLike = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ITEM",
        help="An item that the result should be more like, as far as the user's preference allows; repeat for more.",
    ),
]
LessLike = Annotated[
    list[str] | None, typer.Option(metavar="ITEM", help="An item that the result should be less like; repeat for more.")
]
SeedOption = Annotated[int, typer.Option(help="Of the random latents; the same seed gives the same images.")]
DesignSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Gradient ascent: num_candidates=256 (random latents), num_starts=16 (the most preferred of them), "
        "num_steps=20, learning_rate=0.05, realism_weight=0.2 (η, of the penalty on unreal images); repeat for more.",
    ),
]
TailorSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Inversion: num_candidates=64, num_starts=4, invert_steps=120. Gradient ascent: num_steps=40, "
        "realism_weight=1 (η, of the penalty on unreal images). Repeat for more.",
    ),
]


@app.command(
    epilog="Example: [bold]tfdvbpr design runs/dvbpr --gan runs/gan --user u17 --category dress --output designs"
    "[/bold]; for a group [bold]--user u17 --user u18[/bold]; for a new user [bold]--liked i3 --liked i90[/bold]; "
    "with a wish [bold]--user u17 --more-like i5 --less-like i8[/bold]"
)
def design(
    run: RunArgument,
    gan: GanOption,
    category: Annotated[str, typer.Option(help="A category name, as in the items.")],
    output: OutputOption,
    user: Annotated[
        list[str] | None, typer.Option(help="A user id, as in the interactions; repeated, a group of users.")
    ] = None,
    liked: LikedOption = None,
    more_like: MoreLike = None,
    less_like: LessLike = None,
    count: Annotated[int | None, typer.Option(help="Designs to keep, at most num_starts.", show_default="8")] = None,
    set_values: DesignSettings = None,
    second_run: SecondRun = None,
    seed: SeedOption = 0,
    captions: CaptionsOption = None,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Design new products of a category for a user, a group of users, or a new user.

    Ascends the gradient of preference in the GAN's latent space, from many starts, and keeps good designs that do not
    look alike. Writes grid.png (start, steps, design, nearest real items), each design as a PNG, ascent.gif, and
    designs.json with preference, realism, novelty, nearest items and the figures of every step.
    """
    from tfdvbpr import api
    from tfdvbpr.designing.options import DesignOptions, parse_options

    options = parse_options(DesignOptions, set_values or ())
    with progress.status("Designing"):
        api.design(
            run,
            gan,
            output,
            category=category,
            user_ids=user or (),
            liked=liked or (),
            more_like=more_like or (),
            less_like=less_like or (),
            num_designs=count,
            options=options,
            second_run=second_run,
            seed=seed,
            captions=parse_captions(captions),
            dataset=dataset,
            if_exists=if_exists,
        )
    from tfdvbpr.designing.folders import DESIGNS_NAME

    figures = json.loads((output / DESIGNS_NAME).read_text(encoding="utf-8"))
    if as_json:
        print_json("design", figures)
        return
    out.print(endings.designs_table(figures))
    out.print(f"Designs: {output / 'grid.png'}", soft_wrap=True)
    endings.print_next(
        ("tfdvbpr", "report", run, "--gan", gan, "--output", endings.beside(run, "report")),
        ("tfdvbpr-export", "designer", run, "--gan", gan, "--output", "models/designer"),
    )


@app.command(
    epilog="Example: [bold]tfdvbpr tailor runs/dvbpr --gan runs/gan --user u17 --item i90 --output tailored[/bold]; "
    "an image of your own [bold]--image dress.jpg --category dress[/bold]; a measurement [bold]--sample 200[/bold]"
)
def tailor(
    run: RunArgument,
    gan: GanOption,
    output: OutputOption,
    user: Annotated[str | None, typer.Option(help="A user id, as in the interactions.")] = None,
    liked: LikedOption = None,
    more_like: MoreLike = None,
    less_like: LessLike = None,
    item: Annotated[list[str] | None, typer.Option(help="An item to tailor; repeat for more.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="An image file to tailor; repeat for more.")] = None,
    category: Annotated[str | None, typer.Option(help="Of the image files.")] = None,
    sample: Annotated[
        int, typer.Option(help="Instead: so many random items, each for a random user, to measure with.", min=0)
    ] = 0,
    keep: Annotated[
        list[str] | None, typer.Option(help="What must stay of the items: colour, or cut; repeat for both.")
    ] = None,
    set_values: TailorSettings = None,
    second_run: SecondRun = None,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Show how existing items should change for a user to prefer them, while staying those items.

    Finds each item's latents by GAN inversion and ascends the gradient of preference from there, held back by the
    distance from the item. Writes strengths.png (photo, reconstruction, and one image per strength of ½, 1 and 2),
    steps.png and ascent.gif (each step), each image, and tailored.json with similarity, preference before and after,
    and realism.
    """
    from tfdvbpr import api
    from tfdvbpr.designing.options import TailorOptions, parse_options

    options = parse_options(TailorOptions, set_values or ())
    with progress.counting("Tailoring") as show:
        figures = api.tailor(
            run,
            gan,
            output,
            user_id=user,
            liked=liked or (),
            more_like=more_like or (),
            less_like=less_like or (),
            item_ids=item or (),
            images=image or (),
            category=category,
            sample=sample,
            keep=keep or (),
            options=options,
            second_run=second_run,
            dataset=dataset,
            if_exists=if_exists,
            progress=show,
        )
    if as_json:
        print_json("tailor", figures)
        return
    out.print(_tailored_table(figures))
    out.print(f"Images: {output / 'strengths.png'}", soft_wrap=True)


@app.command(
    epilog="Example: [bold]tfdvbpr interpolate runs/dvbpr --gan runs/gan --from designs/u1:1 --to designs/u2:3 "
    "--output between[/bold]"
)
def interpolate(
    run: RunArgument,
    gan: GanOption,
    output: OutputOption,
    first: Annotated[
        str, typer.Option("--from", metavar="FOLDER:N", help="Design N of a folder made by `tfdvbpr design`.")
    ],
    last: Annotated[str, typer.Option("--to", metavar="FOLDER:N", help="Another design, of the same category.")],
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Interpolate between two designs, and show both audiences' preferences for each image.

    Nine images along the sphere of latents. Writes interpolation.png, .gif and .json, and each image.
    """
    from tfdvbpr import api

    with progress.status("Interpolating"):
        figures = api.interpolate(run, gan, output, first=first, last=last, if_exists=if_exists)
    if as_json:
        print_json("interpolate", figures)
        return
    out.print(f"Interpolation: {output / 'interpolation.png'}", soft_wrap=True)


@app.command(epilog="Example: [bold]tfdvbpr generate runs/gan --category dress --count 12 --output samples[/bold]")
def generate(
    gan: Annotated[Path, typer.Argument(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.")],
    output: OutputOption,
    category: Annotated[
        list[str] | None, typer.Option(help="A category name; repeat for more. All, if left out.")
    ] = None,
    count: Annotated[int, typer.Option(help="Images per category.")] = 12,
    seed: SeedOption = 0,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Generate random images of categories.

    Writes grid.png, each image, and samples.json with realism and the nearest real item of each, which shows where the
    GAN has memorised a photo.
    """
    from tfdvbpr import api

    with progress.status("Generating"):
        samples = api.generate(
            gan, output, categories=category, count=count, seed=seed, dataset=dataset, if_exists=if_exists
        )
    if as_json:
        print_json("generate", samples)
        return
    out.print(f"Images: {output / 'grid.png'}", soft_wrap=True)


def _tailored_table(figures: dict[str, Any]) -> Any:
    strengths: list[float] = figures["strengths"]
    rows = []
    for name, value in figures["means"].items():
        cells = value if isinstance(value, list) else [value] + [""] * (len(strengths) - 1)
        rows.append([name, *(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)])
    return progress.plain_table(["mean over items", *(f"strength {strength:g}" for strength in strengths)], rows)
