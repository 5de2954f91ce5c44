"""Options that several commands share."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from tfdvbpr.errors import ConfigError
from tfdvbpr.files import IfExists

out = Console()


class Strategy(str, Enum):
    """Which devices train."""

    auto = "auto"
    one_device = "one-device"
    mirrored = "mirrored"
    multi_worker = "multi-worker"


DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="A folder made by `tfdvbpr prepare`.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `tfdvbpr train`.")]
IfExistsOption = Annotated[
    IfExists,
    typer.Option(
        "--if-exists", help="What to do where the output folder holds something: end with an error, or replace it."
    ),
]
TrainingIfExistsOption = Annotated[
    Literal["error", "overwrite", "restart", "resume"],
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
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides one configuration value; repeat for more."),
]
StrategyOption = Annotated[
    Strategy,
    typer.Option(help="Devices: auto mirrors over the GPUs there are, or follows TF_CONFIG to several machines."),
]


def parse_image_size(text: str) -> tuple[int, int]:
    """(height, width) from HEIGHTxWIDTH."""
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise ConfigError(f"--image-size takes HEIGHTxWIDTH in pixels, such as 64x64. Received {text!r}.")
    return int(match[1]), int(match[2])


def strategy_of(strategy: Strategy) -> Any:
    """The tf.distribute strategy of an option."""
    from tfdvbpr.training.distributed.strategy import make_strategy

    return make_strategy(strategy.value)
