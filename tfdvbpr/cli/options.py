"""Options that several commands share."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tfdvbpr.cli import completion
from tfdvbpr.config.base import StrategyName, TrainingIfExists
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import IfExists
from tfdvbpr.terminal import PlainConsole

out = PlainConsole()

DatasetArgument = Annotated[
    Path,
    typer.Argument(metavar="DATASET", help="A folder made by `tfdvbpr prepare`.", autocompletion=completion.datasets),
]
RunArgument = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A folder made by `tfdvbpr train`.", autocompletion=completion.runs),
]
GanOption = Annotated[
    Path,
    typer.Option(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.", autocompletion=completion.gan_runs),
]
OutputOption = Annotated[Path, typer.Option(help="The folder to make.")]
MovedDataset = Annotated[Path | None, typer.Option(help="The run's dataset, if it has been moved.")]
LikedOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ITEM", help="Instead of a user: an item that a new user liked; repeat for more."),
]
CaptionsOption = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMNS",
        help="Columns of items.csv below each photo, beside its id, such as title,price. Default: title and price, "
        "where there are such columns.",
        show_default=False,
    ),
]
IfExistsOption = Annotated[
    IfExists,
    typer.Option(
        "--if-exists", help="What to do where the output folder holds files: end with an error, or replace them."
    ),
]
TrainingIfExistsOption = Annotated[
    TrainingIfExists,
    typer.Option(
        "--if-exists",
        help="What to do where the output is a run, or its training was interrupted. error: refuse a run, continue an "
        "interrupted training. overwrite: replace a run, continue an interrupted training. restart: forget an "
        "interrupted training. resume: refuse to begin a new training.",
    ),
]
TensorBoardOption = Annotated[
    Path | None,
    typer.Option(
        "--tensorboard", metavar="FOLDER", help="Also write for `tensorboard --logdir FOLDER`.", show_default=False
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A YAML file of configuration values.")]
SetValues = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one configuration value; repeat for more.",
        autocompletion=completion.config_keys,
    ),
]
StrategyOption = Annotated[
    StrategyName,
    typer.Option(
        help="Devices: auto takes the machines that TF_CONFIG names, else all GPUs of this machine, else its CPU."
    ),
]


def parse_image_size(text: str) -> tuple[int, int]:
    """(height, width) from HEIGHTxWIDTH."""
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise ConfigError(f"--image-size takes HEIGHTxWIDTH in pixels, such as 64x64. Received {text!r}.")
    return int(match[1]), int(match[2])


def parse_captions(text: str | None) -> list[str] | None:
    """Column names between commas; none for an empty text, and None where the option is left out."""
    return None if text is None else [name for each in text.split(",") if (name := each.strip())]


def parse_share(option: str, text: str) -> float:
    """A share in [0, 1] from a percentage such as 5% or a fraction such as 0.05."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(\s*%)?", text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0.0 <= share <= 1.0:
        raise ConfigError(f"{option} takes a percentage such as 5%, or a fraction such as 0.05. Received {text!r}.")
    return share


def strategy_of(strategy: StrategyName) -> Any:
    """The tf.distribute strategy of an option."""
    from tfdvbpr.training.distributed.strategy import make_strategy

    return make_strategy(strategy)


def command_with_metrics(room: str, **settings: bool) -> type[TyperCommand]:
    """A kind of command whose help lists the metrics of a room, which are imported only when it is printed."""

    class CommandWithMetrics(TyperCommand):
        def format_help(self, ctx: Any, formatter: Any) -> None:
            lines = import_module(f"tfdvbpr.evaluation.{room}.metrics").metrics_help(**settings)
            self.help = (self.help or "").replace("{metrics}", lines)
            super().format_help(ctx, formatter)

    return CommandWithMetrics
