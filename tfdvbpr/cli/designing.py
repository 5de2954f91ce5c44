"""`tfdvbpr design`, `tfdvbpr tailor`, `tfdvbpr interpolate` and `tfdvbpr generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfdvbpr.cli.options import IfExistsOption, InitialStddev, RateOption, RunArgument, StepsOption, out
from tfdvbpr.errors import ConfigError

app = typer.Typer()

GanOption = Annotated[Path, typer.Option(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.")]
OutputOption = Annotated[Path, typer.Option(help="The folder to make.")]
MovedDataset = Annotated[Path | None, typer.Option(help="The run's dataset, if it has been moved.")]
LikedOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ITEM", help="Instead of a user: an item that somebody new liked; repeat for more."),
]
SecondRun = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Another recommender, which the ascent never sees, to score the pictures too."),
]
RealismWeight = Annotated[float, typer.Option(help="η: weight of the penalty on unreal pictures.")]
SmoothingOption = Annotated[
    str,
    typer.Option(
        help="What is done to Φ's input at every step, so that gains are no noise: none, augment, blur, "
        "augment-and-blur."
    ),
]
SeedOption = Annotated[int, typer.Option(help="Of the starts; the same seed gives the same pictures.")]


@app.command(
    epilog="Example: [bold]tfdvbpr design runs/dvbpr --gan runs/gan --user u17 --category dress --output designs"
    "[/bold]; for a segment [bold]--user u17 --user u18 --least-misery 0.3[/bold] or [bold]--users segment.txt[/bold]; "
    "for somebody new [bold]--liked i3 --liked i90[/bold]"
)
def design(
    run: RunArgument,
    gan: GanOption,
    category: Annotated[str, typer.Option(help="A category name, as in the items.")],
    output: OutputOption,
    user: Annotated[
        list[str] | None, typer.Option(help="A user id, as in the interactions; repeated, a group.")
    ] = None,
    users: Annotated[Path | None, typer.Option(help="A file of user ids, one a line: a group.")] = None,
    liked: LikedOption = None,
    least_misery: Annotated[
        float, typer.Option(help="Of a group: 0 pleases it on average, 1 its least pleased member.")
    ] = 0.0,
    count: Annotated[int, typer.Option(help="Designs to write.")] = 8,
    starts: Annotated[int, typer.Option(help="Random latents the ascent begins from.")] = 16,
    steps: StepsOption = 40,
    learning_rate: RateOption = 0.05,
    initial_stddev: InitialStddev = 0.5,
    realism_weight: RealismWeight = 1.0,
    diversity: Annotated[
        float, typer.Option(help="How much unlikeness counts beside the objective in what is kept; 0 not at all.")
    ] = 0.5,
    smoothing: SmoothingOption = "none",
    latents: Annotated[str, typer.Option(help="auto, gaussian, or bounded (tanh of what is moved).")] = "auto",
    norm_prior_weight: Annotated[
        float, typer.Option(help="Weight of ½‖z‖²/L against Gaussian latents that run away.")
    ] = 0.0,
    second_run: SecondRun = None,
    nearest_by: Annotated[
        str, typer.Option(help="Where nearest real items are sought: colour-and-edges, efficientnet_lite0, taste.")
    ] = "colour-and-edges",
    seed: SeedOption = 0,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
) -> None:
    """Design new products of a category for a user, a group, or somebody new.

    Ascends the generator's latent space toward the taste, from many starts, and keeps good ends that are not alike.
    Writes grid.png (start, steps, design, nearest real items), each design as a PNG, path.gif, and designs.json with
    preference, realism, novelty, nearest items and every step's figures.
    """
    from tfdvbpr.api.designing import audience_of
    from tfdvbpr.cli import progress
    from tfdvbpr.designing.options import DesignOptions, check_count
    from tfdvbpr.files import check_output
    from tfdvbpr.run import GanRun, Run

    check_output(output, if_exists=if_exists)
    check_count("count", count)
    check_count("starts", starts)
    options = DesignOptions(
        num_starts=max(starts, count),
        num_steps=steps,
        learning_rate=learning_rate,
        initial_stddev=initial_stddev,
        realism_weight=realism_weight,
        diversity=diversity,
        smoothing=smoothing,
        latents=latents,  # type: ignore[arg-type]
        norm_prior_weight=norm_prior_weight,
    )
    opened, opened_gan = Run.open(run), GanRun.open(gan)
    second = None if second_run is None else Run.open(second_run)
    audience = audience_of(opened, [*(user or []), *_lines(users)], liked or [], least_misery=least_misery, also=second)
    opened_gan.category_id(category)
    with progress.status("Designing"):
        from tfdvbpr.designing.designer import Designer
        from tfdvbpr.designing.output.folder import write_designs

        write_designs(
            Designer(opened, opened_gan, options=options),
            output,
            audience=audience,
            category=category,
            dataset=opened.open_dataset(dataset),
            seed=seed,
            count=count,
            second_run=second,
            nearest_by=nearest_by,
            if_exists=if_exists,
        )
    out.print(f"Designs for {audience.name}: {output / 'grid.png'}", highlight=False, soft_wrap=True)


@app.command(
    epilog="Example: [bold]tfdvbpr tailor runs/dvbpr --gan runs/gan --user u17 --item i90 --output tailored[/bold]; "
    "a photo of your own [bold]--image dress.jpg --category dress[/bold]; a measurement [bold]--sample 200[/bold]"
)
def tailor(
    run: RunArgument,
    gan: GanOption,
    output: OutputOption,
    user: Annotated[str | None, typer.Option(help="A user id, as in the interactions.")] = None,
    liked: LikedOption = None,
    item: Annotated[list[str] | None, typer.Option(help="An item to tailor; repeat for more.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="A picture file to tailor; repeat for more.")] = None,
    category: Annotated[str | None, typer.Option(help="Of the picture files.")] = None,
    sample: Annotated[
        int, typer.Option(help="Instead: so many random items, each for a random user, to measure with.", min=0)
    ] = 0,
    strength: Annotated[
        list[float] | None,
        typer.Option(help="How much the taste counts against staying that item; repeat for more. 0.5, 1 and 2."),
    ] = None,
    steps: StepsOption = 40,
    learning_rate: RateOption = 0.05,
    realism_weight: RealismWeight = 1.0,
    distance_weight: Annotated[float, typer.Option(help="Weight of the distance from the item.")] = 4.0,
    invert_steps: Annotated[int, typer.Option(help="Gradient steps in search of the item's latent.")] = 120,
    starts: Annotated[int, typer.Option(help="Latents that the search begins from.")] = 4,
    perception: Annotated[
        str, typer.Option(help="What likeness is measured by: backbone (the run's own) or efficientnet_lite0.")
    ] = "backbone",
    judged_by: Annotated[
        str, typer.Option(help="What the reconstruction is judged by: colour-and-edges or efficientnet_lite0.")
    ] = "colour-and-edges",
    smoothing: SmoothingOption = "none",
    second_run: SecondRun = None,
    seed: SeedOption = 0,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
) -> None:
    """Show how existing items should change for somebody to like them more, while staying those items.

    Finds each item's latent, moves it toward the taste, and holds it back by its distance from the item. Writes
    paths.png (photo, what the generator makes of it, and one picture a strength), steps.png and path.gif (the way),
    each picture, and tailored.json with likeness, preference before and after, and realism.
    """
    from tfdvbpr.api import designing as api
    from tfdvbpr.cli import progress
    from tfdvbpr.designing.options import TailorOptions

    options = TailorOptions(
        num_starts=starts,
        num_candidates=max(64, starts),
        invert_steps=invert_steps,
        num_steps=steps,
        learning_rate=learning_rate,
        realism_weight=realism_weight,
        distance_weight=distance_weight,
        smoothing=smoothing,
    )
    with progress.counting("Tailoring") as count:
        told = api.tailor(
            run,
            gan,
            output,
            user_id=user,
            liked=liked or (),
            item_ids=item or (),
            images=image or (),
            category=category,
            sample=sample,
            strengths=strength or (0.5, 1.0, 2.0),
            options=options,
            perception=perception,
            judged_by=judged_by,
            second_run=second_run,
            seed=seed,
            dataset=dataset,
            if_exists=if_exists,
            progress=count,
        )
    out.print(_tailored_table(told))
    out.print(f"Paths: {output / 'paths.png'}", highlight=False, soft_wrap=True)


@app.command(
    epilog="Example: [bold]tfdvbpr interpolate runs/dvbpr --gan runs/gan --user u1 --to-user u2 --category dress "
    "--output way[/bold]; between written designs [bold]--from designs/u1:1 --to designs/u2:3[/bold]"
)
def interpolate(
    run: RunArgument,
    gan: GanOption,
    output: OutputOption,
    user: Annotated[str | None, typer.Option(help="Whose design the way begins with.")] = None,
    to_user: Annotated[str | None, typer.Option(help="Whose design it ends with.")] = None,
    category: Annotated[str | None, typer.Option(help="Of both users' designs.")] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="FOLDER:N", help="Instead: design N of a folder of `tfdvbpr design`."),
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="FOLDER:N", help="Likewise.")] = None,
    frames: Annotated[int, typer.Option(help="Pictures, both ends included.")] = 9,
    seed: SeedOption = 0,
    if_exists: IfExistsOption = "error",
) -> None:
    """Draw the way from one design to another, with what both people think of each picture.

    Along the sphere for Gaussian latents, straight for bounded ones. Writes path.png, path.gif, each picture, and
    interpolation.json.
    """
    from tfdvbpr.api import designing as api
    from tfdvbpr.cli import progress

    with progress.status("Interpolating"):
        api.interpolate(
            run,
            gan,
            output,
            user_ids=None if user is None and to_user is None else (user or "", to_user or ""),
            category=category,
            designs=None if first is None and last is None else (first or "", last or ""),
            num_frames=frames,
            seed=seed,
            if_exists=if_exists,
        )
    out.print(f"The way: {output / 'path.png'}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: [bold]tfdvbpr generate runs/gan --category dress --count 12 --output samples[/bold]")
def generate(
    gan: Annotated[Path, typer.Argument(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.")],
    output: OutputOption,
    category: Annotated[
        list[str] | None, typer.Option(help="A category name; repeat for more. All, if left out.")
    ] = None,
    count: Annotated[int, typer.Option(help="Pictures a category.")] = 12,
    spread: Annotated[
        float, typer.Option(help="Standard deviation of the latents; below 1, more alike and often cleaner.")
    ] = 1.0,
    seed: SeedOption = 0,
    dataset: MovedDataset = None,
    if_exists: IfExistsOption = "error",
) -> None:
    """Draw random pictures of categories, for no one in particular.

    Writes grid.png, each picture, and samples.json with realism and the nearest real item of each, by which memorised
    training pictures give themselves away.
    """
    from tfdvbpr.api import designing as api
    from tfdvbpr.cli import progress

    with progress.status("Drawing"):
        api.generate(
            gan,
            output,
            categories=category,
            count=count,
            spread=spread,
            seed=seed,
            dataset=dataset,
            if_exists=if_exists,
        )
    out.print(f"Pictures: {output / 'grid.png'}", highlight=False, soft_wrap=True)


def _lines(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--users must name a text file of user ids. {file} cannot be read: {error}.") from None
    if not lines:
        raise ConfigError(f"--users must name a file with user ids, one a line. {file} has none.")
    return lines


def _tailored_table(told: dict[str, object]) -> object:
    from tfdvbpr.cli.progress import plain_table

    means: dict[str, object] = told["means"]  # type: ignore[assignment]
    strengths: list[float] = told["strengths"]  # type: ignore[assignment]
    rows = []
    for name, value in means.items():
        cells = value if isinstance(value, list) else [value] + [""] * (len(strengths) - 1)
        rows.append([name, *(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)])
    return plain_table(["mean over items", *(f"strength {strength:g}" for strength in strengths)], rows)
