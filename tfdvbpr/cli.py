"""`tfdvbpr`: parse, call one function, map errors to one line and an exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from tfdvbpr._version import __version__
from tfdvbpr.errors import ConfigError, TfdvbprError

if TYPE_CHECKING:
    from tfdvbpr.data.prepare import PrepareOptions

app = typer.Typer(
    name="tfdvbpr",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Visually-aware recommendation and design: from product photos and clicks to rankings and new pictures.",
    epilog="The whole way on made-up data: [bold]tfdvbpr demo --output demo[/bold]. "
    "On your own: prepare, train, evaluate, train-gan, design; then tfdvbpr-export and tfdvbpr-serve.",
)
out = Console()


class Fit(str, Enum):
    """What happens to a photo of another shape."""

    pad = "pad"
    crop = "crop"
    squash = "squash"


class Strategy(str, Enum):
    """Which devices train."""

    auto = "auto"
    one_device = "one-device"
    mirrored = "mirrored"
    multi_worker = "multi-worker"


DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="A folder made by `tfdvbpr prepare`.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `tfdvbpr train`.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what the output folder holds.")]
Restart = Annotated[bool, typer.Option("--restart", help="Forget an interrupted training of the same output.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A YAML file of configuration values.")]
SetValues = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides one configuration value; repeat for more."),
]
StrategyOption = Annotated[
    Strategy,
    typer.Option(help="Devices: auto mirrors over the GPUs there are, or follows TF_CONFIG to several machines."),
]


def _version(asked: bool) -> None:
    if asked:
        out.print(__version__, highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: [bold]tfdvbpr prepare shop --image-size 64x64 --output shop.dataset[/bold]")
def prepare(
    output: Annotated[Path, typer.Option(help="The dataset folder to make.")],
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A folder with items.csv or .parquet (item_id, image, by choice category and more), interactions.csv "
            "or .parquet (user_id, item_id), and the pictures. Not for --format synthetic.",
        ),
    ] = None,
    source_format: Annotated[
        str, typer.Option("--format", help="folder, or synthetic: rendered garments and simulated shoppers.")
    ] = "folder",
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
    num_items: Annotated[int, typer.Option(help="Synthetic only: garments to render.", min=1)] = 1500,
    num_users: Annotated[int, typer.Option(help="Synthetic only: shoppers to simulate.", min=1)] = 1200,
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
        image_size=_image_size(image_size),
        fit=fit.value,
        seed=seed,
        withhold_items=withhold_items,
        max_pixels=max_pixels,
    )
    with progress.counting("Rendering" if source_format == "synthetic" else "Reading pictures") as count:
        if source_format == "synthetic":
            dataset = _prepare_synthetic(source, output, options, num_items, num_users, overwrite, count)
        else:
            from tfdvbpr import api

            if source is None:
                raise ConfigError(
                    f"--format {source_format} needs a SOURCE folder: tfdvbpr prepare SOURCE --output ..."
                )
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


@app.command(
    epilog="Example: [bold]tfdvbpr train shop.dataset --model dvbpr --output runs/dvbpr --set epochs=30[/bold]"
)
def train(
    dataset: DatasetArgument,
    output: Annotated[Path, typer.Option(help="The run folder to make.")],
    model: Annotated[
        str, typer.Option(help="dvbpr, hybrid-dvbpr, vbpr, fm, siamese, bpr-mf, warp, visrank or popularity.")
    ] = "dvbpr",
    config: ConfigFile = None,
    set_values: SetValues = None,
    strategy: StrategyOption = Strategy.auto,
    overwrite: Overwrite = False,
    restart: Restart = False,
) -> None:
    """Train a recommender; the epoch with the best validation AUC is kept.

    An interrupted training is taken up again by the same command. The run folder holds the resolved configuration
    (config.yaml, which lists every value --set takes), the weights, the embeddings and the history.
    """
    from tfdvbpr.config import recommender_config

    settled = recommender_config(model, file=config, overrides=set_values or ())
    from tfdvbpr import api, progress

    with progress.training(f"Training {model}") as (observe, told):
        run = api.train(
            dataset,
            output,
            config=settled,
            observer=observe,
            strategy=_strategy(strategy),
            overwrite=overwrite,
            restart=restart,
            told=told,
        )
    out.print(f"Trained {model} in {run.manifest.training_seconds:.0f} s: {run.path}", highlight=False)


@app.command("train-gan", epilog="Example: [bold]tfdvbpr train-gan shop.dataset --output runs/gan[/bold]")
def train_gan(
    dataset: DatasetArgument,
    output: Annotated[Path, typer.Option(help="The run folder to make.")],
    config: ConfigFile = None,
    set_values: SetValues = None,
    strategy: StrategyOption = Strategy.auto,
    overwrite: Overwrite = False,
    restart: Restart = False,
) -> None:
    """Train the category-conditional GAN that designs are drawn with.

    The run folder holds samples.png, one row of random pictures a category. An interrupted training is taken up again
    by the same command.
    """
    from tfdvbpr.config import GanConfig, resolve_config

    settled = resolve_config(GanConfig, file=config, overrides=set_values or ())
    from tfdvbpr import api, progress

    with progress.training("Training the GAN") as (observe, told):
        run = api.train_gan(
            dataset,
            output,
            config=settled,
            observer=observe,
            strategy=_strategy(strategy),
            overwrite=overwrite,
            restart=restart,
            told=told,
        )
    out.print(f"Trained the GAN in {run.manifest.training_seconds:.0f} s: {run.path}", highlight=False)


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


@app.command(
    epilog="Example: [bold]tfdvbpr design runs/dvbpr --gan runs/gan --user u17 --category dress --output designs[/bold]"
)
def design(
    run: RunArgument,
    gan: Annotated[Path, typer.Option(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.")],
    user: Annotated[str, typer.Option(help="A user id, as in the interactions.")],
    category: Annotated[str, typer.Option(help="A category name, as in the items.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    count: Annotated[int, typer.Option(help="Designs to write.", min=1)] = 8,
    starts: Annotated[int, typer.Option(help="Random latents the ascent begins from.", min=1)] = 16,
    steps: Annotated[int, typer.Option(help="Gradient steps; the paper's code has 10.", min=1)] = 40,
    learning_rate: Annotated[float, typer.Option(help="Adam's step size on the latents.")] = 0.05,
    realism_weight: Annotated[float, typer.Option(help="η: weight of the penalty on unreal pictures.", min=0)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the starts; the same seed gives the same designs.")] = 0,
    dataset: Annotated[Path | None, typer.Option(help="The run's dataset, if it has been moved.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Design new products of a category for a user.

    Ascends the generator's latent space toward the user's taste. Writes grid.png (start, steps, design, nearest real
    items), each design as a PNG, and designs.json with preference, realism and nearest items.
    """
    from tfdvbpr import progress
    from tfdvbpr.files import check_output
    from tfdvbpr.run import GanRun, Run

    check_output(output, overwrite=overwrite)
    opened, opened_gan = Run.open(run), GanRun.open(gan)
    opened.user_indices([user])
    opened_gan.category_id(category)
    with progress.console.status("Designing"):
        from tfdvbpr.design.maximize import DesignOptions
        from tfdvbpr.design.studio import Designer, write_designs

        options = DesignOptions(
            num_starts=max(starts, count),
            num_steps=steps,
            learning_rate=learning_rate,
            realism_weight=realism_weight,
        )
        write_designs(
            Designer(opened, opened_gan, options=options),
            output,
            user_id=user,
            category=category,
            dataset=opened.open_dataset(dataset),
            seed=seed,
            count=count,
            overwrite=overwrite,
        )
    out.print(f"Designs for {user}: {output / 'grid.png'}", highlight=False)


@app.command(epilog="Example: [bold]tfdvbpr demo --output demo[/bold], then open demo/report.html")
def demo(
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    seed: Annotated[int, typer.Option(help="Of everything.", min=0)] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Walk the whole way on made-up data: train, compare, design, export, serve, report.

    Renders garments, simulates shoppers with known tastes, trains DVBPR and baselines, trains a GAN, designs for
    several users, checks the designs against the known tastes, exports both models, serves them, and holds the served
    answers against the ones in Python. About 12 minutes on 2 cores. An interrupted demo goes on where it stopped.
    """
    from tfdvbpr.demo import run_demo

    report = run_demo(output, seed=seed, overwrite=overwrite)
    out.print(f"Report: {report.resolve()}", highlight=False, soft_wrap=True)


def _image_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise ConfigError(f"--image-size takes HEIGHTxWIDTH in pixels, such as 64x64. Received {text!r}.")
    return int(match[1]), int(match[2])


def _strategy(strategy: Strategy) -> Any:
    from tfdvbpr.training.strategy import make_strategy

    return make_strategy(strategy.value)


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


def main() -> None:
    """The entry point: one line on stderr, exit code 2 for what the user can mend and 1 for the rest."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        app()
    except TfdvbprError as error:
        _stop("", error, code=2)
    except KeyboardInterrupt:
        _stop("", "interrupted; the same command takes an interrupted training up again", code=130)
    except Exception as error:
        if os.environ.get("TFDVBPR_TRACEBACK"):
            traceback.print_exc()
        hint = "" if os.environ.get("TFDVBPR_TRACEBACK") else " (TFDVBPR_TRACEBACK=1 shows where)"
        _stop(type(error).__name__ + ": ", f"{error}{hint}", code=1)


def _stop(kind: str, message: object, *, code: int) -> None:
    print("tfdvbpr:", kind + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
