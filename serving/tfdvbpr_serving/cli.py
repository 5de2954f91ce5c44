"""`tfdvbpr-serve`: serve exported models on this machine, over TensorFlow Serving's protocol."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from tfdvbpr_serving.errors import ModelLoadError, ServingError
from tfdvbpr_serving.folders import check_base_path

if TYPE_CHECKING:
    from tfdvbpr_serving.server import LocalServer

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)

_EPILOG = (
    "Example: [bold]tfdvbpr-serve models/recommender models/designer --port 8500[/bold]\n\n"
    "Then, in Python: [bold]from tfdvbpr_serving.client import Client[/bold] and "
    "[bold]Client('localhost:8500').recommend(['user-1'], k=5)[/bold]\n\n"
    "The same folders can be mounted into the tensorflow/serving container; see serving/README.md."
)


@app.command(epilog=_EPILOG)
def serve(
    model_folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL_FOLDER",
            help="Folders written by tfdvbpr-export. Each holds numbered versions (recommender/1/saved_model.pb), of "
            "which the newest is served; the model's name is the folder's.",
        ),
    ],
    port: Annotated[int, typer.Option(help="The gRPC port; 0 takes a free one.", min=0, max=65535)] = 8500,
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 for every one. There is no authentication.")
    ] = "127.0.0.1",
    poll_seconds: Annotated[
        float | None,
        typer.Option(help="Look for newer versions this often, load them and switch over. Without it: never."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Requests answered at the same time.", min=1)] = 8,
) -> None:
    """Serve exported models on this machine, over TensorFlow Serving's gRPC protocol.

    It answers as tensorflow_model_server does, without batching and REST, and runs until Ctrl-C or SIGTERM.
    """
    models = _named(model_folders)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    console = Console()
    with console.status("Loading TensorFlow and the models"):
        from tfdvbpr_serving.server import LocalServer

        server = LocalServer(models, port=port, host=host, max_workers=workers, poll_seconds=poll_seconds).start()
    _run(server, console)


def _run(server: LocalServer, console: Console) -> None:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    table = Table("model", "version", "signatures")
    for model in server.models:
        table.add_row(model.name, str(model.version), ", ".join(model.signature_defs))
    console.print(table)
    console.print(f"Serving on {server.target} (gRPC). Ctrl-C stops.", highlight=False)
    while not stopping.wait(1.0):  # a timeout, so that signals are seen everywhere
        pass
    console.print("Stopping.")
    server.stop()


def _named(model_folders: list[Path]) -> dict[str, Path]:
    models: dict[str, Path] = {}
    for folder in model_folders:
        name = folder.resolve().name
        if name in models:
            raise ModelLoadError(f"Model folders must have different names. Received {name!r} twice. Rename one.")
        check_base_path(name, folder)
        models[name] = folder
    return models


def main() -> None:
    """The entry point: one line on stderr and exit code 2 for what the user can mend."""
    try:
        app()
    except (ServingError, ValueError) as error:
        print("tfdvbpr-serve:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
