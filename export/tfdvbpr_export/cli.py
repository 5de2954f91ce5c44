"""`tfdvbpr-export`: run folders to versioned SavedModels."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tfdvbpr.errors import TfdvbprError
from tfdvbpr.signatures import DESIGNER_MODEL_NAME, RECOMMENDER_MODEL_NAME, SIGNATURES, TensorDescription

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Write trained runs as SavedModels, which TensorFlow Serving or tfdvbpr-serve answers from.",
    epilog="Then: [bold]tfdvbpr-serve models/recommender models/designer[/bold]",
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `tfdvbpr train`.")]
Output = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="The model's folder, such as models/recommender, which gets a new numbered version. Served models are "
        "named after their folders.",
    ),
]
Version = Annotated[
    int | None, typer.Option(help="The number of the version. Without it: the next. None is ever replaced.", min=1)
]


@app.command(epilog="Example: [bold]tfdvbpr-export recommender runs/dvbpr --output models/recommender[/bold]")
def recommender(run: RunArgument, output: Output, version: Version = None) -> None:
    """Write a run as a SavedModel that recommends: score, recommend and, for dvbpr, embed_images.

    Ids, categories, what each user has seen and the decoding of pictures are inside; a server needs no other file.
    """
    console = Console()
    with console.status("Loading TensorFlow, tracing and saving the recommender"):
        from tfdvbpr_export.recommender import export_recommender

        folder = export_recommender(run, output, version=version)
    _report(console, RECOMMENDER_MODEL_NAME, folder)


@app.command(epilog="Example: [bold]tfdvbpr-export designer runs/dvbpr --gan runs/gan --output models/designer[/bold]")
def designer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `tfdvbpr train --model dvbpr`.")],
    gan: Annotated[Path, typer.Option(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.")],
    output: Output,
    version: Version = None,
    starts: Annotated[
        int, typer.Option(help="Latents a request begins from; each gives a design, best first.", min=1)
    ] = 16,
    steps: Annotated[int, typer.Option(help="Gradient steps; a request's time grows with starts × steps.", min=1)] = 40,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, on the latents.")] = 0.05,
    initial_stddev: Annotated[float, typer.Option(help="Standard deviation of the latents it begins from.")] = 0.5,
    realism_weight: Annotated[float, typer.Option(help="η: what looking real counts against preference.")] = 1.0,
) -> None:
    """Write a dvbpr run and a GAN run as a SavedModel that designs: design and generate.

    The options are fixed in the model: an answer depends on the user, the category and the seed alone.
    """
    console = Console()
    with console.status("Loading TensorFlow, tracing and saving the designer"):
        from tfdvbpr.design.maximize import DesignOptions
        from tfdvbpr_export.designer import export_designer

        options = DesignOptions(
            num_starts=starts,
            num_steps=steps,
            learning_rate=learning_rate,
            initial_stddev=initial_stddev,
            realism_weight=realism_weight,
        )
        folder = export_designer(run, gan, output, options=options, version=version)
    _report(console, DESIGNER_MODEL_NAME, folder)


def _report(console: Console, model: str, folder: Path) -> None:
    from tfdvbpr_export.saving import read_manifest

    table = Table("signature", "inputs", "outputs")
    for name in read_manifest(folder)["signatures"]:
        table.add_row(name, _listed(SIGNATURES[name].inputs.items()), _listed(SIGNATURES[name].outputs.items()))
    console.print(table)
    console.print(f"Wrote version {folder.name} of the {model} to {folder}.", highlight=False, soft_wrap=True)
    console.print(f"Serve it: tfdvbpr-serve {folder.parent}", highlight=False, soft_wrap=True)


def _listed(tensors: Iterable[tuple[str, TensorDescription]]) -> str:
    """One tensor a line, such as `scores float32 [B, ?]`."""
    lines = []
    for name, tensor in tensors:
        sizes = ["B", *("?" if size is None else str(size) for size in tensor.shape[1:])]
        lines.append(f"{name} {tensor.dtype} \\[{', '.join(sizes)}]")
    return "\n".join(lines)


def main() -> None:
    """The entry point: one line on stderr, exit code 2 for what the user can mend and 1 for the rest."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        app()
    except TfdvbprError as error:
        _stop(str(error), code=2)
    except Exception as error:
        if os.environ.get("TFDVBPR_TRACEBACK"):
            traceback.print_exc()
        hint = "" if os.environ.get("TFDVBPR_TRACEBACK") else " (TFDVBPR_TRACEBACK=1 shows where)"
        _stop(f"{type(error).__name__}: {error}{hint}", code=1)


def _stop(message: str, *, code: int) -> None:
    print("tfdvbpr-export:", " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
