"""`tfdvbpr config`."""

from __future__ import annotations

from typing import Annotated

import typer

from tfdvbpr.cli.options import ConfigFile, SetValues

app = typer.Typer()

_GAN = "gan"


@app.command(
    "config", epilog="Example: [bold]tfdvbpr config dvbpr --preset pretrained > mine.yaml[/bold], then train --config"
)
def show(
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
